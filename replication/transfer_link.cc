#include "replication/transfer_link.h"

#include <chrono>
#include <utility>

namespace larder::replication {
namespace {

using cache::MutexLock;

// How often a wait looks up: at the injected clock, and for cancellation.
constexpr std::chrono::milliseconds kSlice{20};

}  // namespace

TransferLink::TransferLink(std::unique_ptr<TransferCall> call,
                           cache::Clock* clock, std::atomic<int64_t>* replies)
    : call_(std::move(call)),
      clock_(clock),
      replies_(replies),
      reader_([this] { ReadAll(); }) {}

TransferLink::~TransferLink() { End().IgnoreError(); }

bool TransferLink::Write(const TransferRequest& request) {
  write_failed_ = !call_->Write(request) || write_failed_;
  return !write_failed_;
}

bool TransferLink::WritePiece(uint64_t position, absl::string_view data,
                              std::shared_ptr<const void> owner) {
  write_failed_ =
      !call_->WritePiece(position, data, std::move(owner)) || write_failed_;
  return !write_failed_;
}

void TransferLink::ReadAll() {
  TransferReply reply;
  while (call_->Read(&reply)) {
    MutexLock lock(&mu_);
    Book(reply);
    changed_.notify_all();
  }
  MutexLock lock(&mu_);
  state_.over = true;
  changed_.notify_all();
}

void TransferLink::Book(const TransferReply& reply) {
  replies_->fetch_add(1, std::memory_order_relaxed);
  state_.heard_nanos = clock_->NowSteadyNanos();
  switch (reply.reply_case()) {
    case TransferReply::kHello:
      state_.welcome = true;
      state_.window_bytes = reply.hello().window_bytes();
      state_.piece_bytes_max = reply.hello().piece_bytes_max();
      state_.received = reply.hello().received_bytes();
      state_.durable = reply.hello().durable_bytes();
      state_.base_header = reply.hello().base_header();
      state_.resume_token = reply.hello().resume_token();
      state_.replica_id = reply.hello().replica_id();
      if (reply.hello().has_published()) state_.ack = reply.hello().published();
      break;
    case TransferReply::kProgress:
      if (state_.received == reply.progress().received_bytes() &&
          state_.durable == reply.progress().durable_bytes()) {
        state_.at_work_nanos = state_.heard_nanos;
      }
      state_.received = reply.progress().received_bytes();
      state_.durable = reply.progress().durable_bytes();
      if (!reply.progress().resume_token().empty()) {
        state_.resume_token = reply.progress().resume_token();
      }
      break;
    case TransferReply::kAck:
      state_.ack = reply.ack();
      break;
    default:
      break;
  }
}

TransferLink::State TransferLink::state() const {
  MutexLock lock(&mu_);
  return state_;
}

TransferLink::State TransferLink::Await(
    absl::FunctionRef<bool(const State&)> ready, absl::FunctionRef<bool()> stop,
    int64_t silence_ms_max) {
  MutexLock lock(&mu_);
  int64_t seen = replies_->load(std::memory_order_relaxed);
  int64_t heard_nanos = clock_->NowSteadyNanos();
  while (!state_.over && !ready(state_) && !stop()) {
    const int64_t now = clock_->NowSteadyNanos();
    const int64_t replies = replies_->load(std::memory_order_relaxed);
    if (replies != seen) {
      seen = replies;
      heard_nanos = now;
    }
    if (now - heard_nanos >= silence_ms_max * 1'000'000) {
      silent_ = true;
      state_.over = true;
      break;
    }
    changed_.wait_for(mu_, kSlice);
  }
  return state_;
}

absl::Status TransferLink::End() {
  if (ended_) return absl::UnavailableError("connection: ended");
  ended_ = true;
  bool over;
  {
    MutexLock lock(&mu_);
    // After a write that failed, reading ends by itself: with the reason, which
    // cancelling would hide.
    over = (state_.over && !silent_) || write_failed_;
  }
  if (!over) call_->Cancel();
  reader_.join();
  const absl::Status status = call_->Close();
  if (silent_) return absl::UnavailableError("connection: silent for too long");
  return over ? status : absl::UnavailableError("connection: given up");
}

}  // namespace larder::replication
