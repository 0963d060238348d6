// Client and replica in one process, with a network between them that fails as
// a test says.
#ifndef LARDER_REPLICATION_LOOPBACK_H_
#define LARDER_REPLICATION_LOOPBACK_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/mutex.h"
#include "replication/connection.h"
#include "replication/replica_service.h"
#include "replication/replication.pb.h"

namespace larder::replication {

// What becomes of a message.
enum class Fate {
  kArrives,
  kCut,       // Is lost, with all under way, and both ends see the cut.
  kHalfOpen,  // The same, but the replica sees nothing: it goes on waiting.
  kLost,      // Is lost, with all that follow it. Only silence tells.
};

// A call's two queues. Thread-safe.
class LoopbackPipe {
 public:
  bool Send(const TransferRequest& request, Fate fate) {
    cache::MutexLock lock(&mu_);
    if (client_cut_ || ended_) return false;
    if (fate == Fate::kCut || fate == Fate::kHalfOpen) {
      CutLocked(/*server_sees=*/fate == Fate::kCut);
      return false;
    }
    requests_lost_ = requests_lost_ || fate == Fate::kLost;
    if (!requests_lost_) requests_.push_back(request);
    changed_.notify_all();
    return true;
  }
  bool Send(const TransferReply& reply, Fate fate) {
    cache::MutexLock lock(&mu_);
    if (fate == Fate::kCut || fate == Fate::kHalfOpen) {
      CutLocked(/*server_sees=*/fate == Fate::kCut);
    }
    if (server_cut_) return false;
    replies_lost_ = replies_lost_ || fate == Fate::kLost;
    if (!replies_lost_ && !client_cut_) replies_.push_back(reply);
    changed_.notify_all();
    return true;
  }
  bool Receive(TransferRequest* request) {
    cache::MutexLock lock(&mu_);
    receiving_ = true;
    changed_.notify_all();
    while (!server_cut_ && requests_.empty()) changed_.wait(mu_);
    receiving_ = false;
    if (server_cut_) return false;
    *request = std::move(requests_.front());
    requests_.pop_front();
    return true;
  }
  // What came before an orderly end is still read; not what came before a cut.
  bool Receive(TransferReply* reply) {
    cache::MutexLock lock(&mu_);
    while (!client_cut_ && !(ended_ && !replies_lost_) && replies_.empty()) {
      changed_.wait(mu_);
    }
    if (client_cut_ || replies_.empty()) return false;
    *reply = std::move(replies_.front());
    replies_.pop_front();
    return true;
  }
  // Until the replica has done with all that was sent, or the call is over.
  void AwaitIdle() {
    cache::MutexLock lock(&mu_);
    while (!server_cut_ && !ended_ && !(receiving_ && requests_.empty())) {
      changed_.wait(mu_);
    }
  }
  void Cut(bool server_sees) {
    cache::MutexLock lock(&mu_);
    CutLocked(server_sees);
  }
  void End(const absl::Status& status) {
    cache::MutexLock lock(&mu_);
    ended_ = true;
    status_ = status;
    changed_.notify_all();
  }
  // Once the replica has seen a cut, it has let go of the call, too.
  absl::Status AwaitStatus() {
    cache::MutexLock lock(&mu_);
    while (server_cut_ && !ended_) changed_.wait(mu_);
    if (client_cut_) return absl::UnavailableError("cut");
    return status_;
  }

 private:
  void CutLocked(bool server_sees) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    client_cut_ = true;
    if (server_sees) server_cut_ = true;
    requests_.clear();
    replies_.clear();
    changed_.notify_all();
  }

  cache::Mutex mu_;
  std::condition_variable_any changed_;
  std::deque<TransferRequest> requests_ ABSL_GUARDED_BY(mu_);
  std::deque<TransferReply> replies_ ABSL_GUARDED_BY(mu_);
  bool client_cut_ ABSL_GUARDED_BY(mu_) = false;
  bool server_cut_ ABSL_GUARDED_BY(mu_) = false;
  bool requests_lost_ ABSL_GUARDED_BY(mu_) = false;
  bool replies_lost_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool receiving_ ABSL_GUARDED_BY(mu_) = false;  // The replica waits.
  absl::Status status_ ABSL_GUARDED_BY(mu_);
};

// The wire from one or more clients to a replica that may be away. Thread-safe.
class LoopbackNetwork {
 public:
  ~LoopbackNetwork() { SetReplica(nullptr); }

  // Takes the replica away (cutting and ending all its calls), or puts another
  // one there.
  void SetReplica(ReplicaService* service) ABSL_LOCKS_EXCLUDED(mu_) {
    std::vector<std::thread> threads;
    {
      cache::MutexLock lock(&mu_);
      service_ = service;
      for (const auto& pipe : pipes_) pipe->Cut(/*server_sees=*/true);
      pipes_.clear();
      threads.swap(threads_);
    }
    for (std::thread& thread : threads) thread.join();
  }

  // Waits until the replica has done with every message that has arrived.
  void AwaitIdle() ABSL_LOCKS_EXCLUDED(mu_) {
    std::vector<std::shared_ptr<LoopbackPipe>> pipes;
    {
      cache::MutexLock lock(&mu_);
      pipes = pipes_;
    }
    for (const auto& pipe : pipes) pipe->AwaitIdle();
  }

  // Say what becomes of messages; called without a lock. Null: they arrive.
  std::function<Fate(const TransferRequest&)> on_request;
  std::function<Fate(const TransferReply&)> on_reply;

 private:
  friend class LoopbackConnector;

  class Server : public ServerStream {
   public:
    Server(LoopbackNetwork* network, LoopbackPipe* pipe)
        : network_(network), pipe_(pipe) {}
    bool Read(TransferRequest* request) override {
      return pipe_->Receive(request);
    }
    bool Write(const TransferReply& reply) override {
      return pipe_->Send(reply, network_->on_reply != nullptr
                                    ? network_->on_reply(reply)
                                    : Fate::kArrives);
    }
    void Cancel() override { pipe_->Cut(/*server_sees=*/true); }

   private:
    LoopbackNetwork* const network_;
    LoopbackPipe* const pipe_;
  };

  std::shared_ptr<LoopbackPipe> Start(const std::string& peer)
      ABSL_LOCKS_EXCLUDED(mu_) {
    auto pipe = std::make_shared<LoopbackPipe>();
    cache::MutexLock lock(&mu_);
    if (service_ == nullptr) {
      pipe->Cut(/*server_sees=*/true);
      pipe->End(absl::UnavailableError("no replica"));
      return pipe;
    }
    pipes_.push_back(pipe);
    threads_.emplace_back([this, peer, pipe, service = service_] {
      Server server(this, pipe.get());
      pipe->End(service->Transfer(peer, &server));
    });
    return pipe;
  }
  ReplicaService* service() ABSL_LOCKS_EXCLUDED(mu_) {
    cache::MutexLock lock(&mu_);
    return service_;
  }

  cache::Mutex mu_;
  ReplicaService* service_ ABSL_GUARDED_BY(mu_) = nullptr;
  std::vector<std::shared_ptr<LoopbackPipe>> pipes_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mu_);
};

class LoopbackConnector : public ReplicaConnector {
 public:
  // `network` must outlive it.
  LoopbackConnector(LoopbackNetwork* network, std::string peer)
      : network_(network), peer_(std::move(peer)) {}

  std::unique_ptr<TransferCall> StartTransfer() override {
    return std::make_unique<Call>(network_, network_->Start(peer_));
  }
  absl::StatusOr<BaseReply> Base(const BaseRequest& request) override {
    BaseReply reply;
    return Unary([&](ReplicaService* s) { return s->Base(request, &reply); },
                 &reply);
  }
  absl::Status Abort(const AbortRequest& request) override {
    ReplicaService* const service = network_->service();
    return service == nullptr ? absl::UnavailableError("no replica")
                              : service->Abort(peer_, request);
  }
  absl::StatusOr<StatusReply> GetStatus() override {
    StatusReply reply;
    return Unary([&](ReplicaService* s) { return s->GetStatus(&reply); },
                 &reply);
  }

 private:
  class Call : public TransferCall {
   public:
    Call(LoopbackNetwork* network, std::shared_ptr<LoopbackPipe> pipe)
        : network_(network), pipe_(std::move(pipe)) {}
    bool Write(const TransferRequest& request) override {
      return pipe_->Send(request, network_->on_request != nullptr
                                      ? network_->on_request(request)
                                      : Fate::kArrives);
    }
    bool WritePiece(uint64_t position, absl::string_view data,
                    std::shared_ptr<const void>) override {
      TransferRequest request;
      request.mutable_piece()->set_position(position);
      request.mutable_piece()->set_data(data.data(), data.size());
      return Write(request);
    }
    bool Read(TransferReply* reply) override { return pipe_->Receive(reply); }
    void Cancel() override { pipe_->Cut(/*server_sees=*/true); }
    absl::Status Close() override { return pipe_->AwaitStatus(); }

   private:
    LoopbackNetwork* const network_;
    const std::shared_ptr<LoopbackPipe> pipe_;
  };

  template <typename Reply, typename Method>
  absl::StatusOr<Reply> Unary(Method method, Reply* reply) {
    ReplicaService* const service = network_->service();
    if (service == nullptr) return absl::UnavailableError("no replica");
    const absl::Status status = method(service);
    if (!status.ok()) return status;
    return *reply;
  }

  LoopbackNetwork* const network_;
  const std::string peer_;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_LOOPBACK_H_
