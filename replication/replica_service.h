// The receiving side of the protocol, on streams of messages: no network here.
#ifndef LARDER_REPLICATION_REPLICA_SERVICE_H_
#define LARDER_REPLICATION_REPLICA_SERVICE_H_

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/clock.h"
#include "cache/mutex.h"
#include "replication/dump_receiver.h"
#include "replication/replication.pb.h"
#include "replication/resume_token.h"
#include "replication/term_store.h"

namespace larder::replication {

// The replica's end of a Transfer call.
class ServerStream {
 public:
  virtual ~ServerStream() = default;
  // Each blocks, from one thread. False: the call is over, cut or cancelled.
  virtual bool Read(TransferRequest* request) = 0;
  virtual bool Write(const TransferReply& reply) = 0;
  // Makes both return false soon. From any thread.
  virtual void Cancel() = 0;
};

// Thread-safe: serves any number of calls at once. Borrows `clock`.
//
// A transfer, by snapshot:
//
//   (absent) --Hello--> held by a call --cut--> kept --Hello, token--> held
//                          |   |                  |
//                          |   +--Ack, error------+--expiry, Abort--> (absent)
//                          +--newer Hello: cancelled, then held by that one
//
// Memory: for each stream at most a message and a chunk; for each kept transfer
// what its IncomingDump states, and the part of a chunk that has come.
class ReplicaService {
 public:
  struct Options {
    // How long what has come of a dump is kept without a connection, at most;
    // at least half as long.
    int64_t resume_ttl_ms = 3'600'000;
    int64_t streams_max = 8;
    // Dumps that are there in part. One more makes the one go that expires
    // first, of those without a stream.
    int64_t kept_max = 8;
    // How often a client that waits for its Ack hears that it is worked on,
    // also over a newer connection: a live replica may be at it for longer than
    // a silence is borne.
    int64_t heartbeat_ms = 5'000;
    cache::Clock* clock = nullptr;  // Null: SystemClock().
    // Told with each Hello (replica_id.h).
    std::string replica_id = "";
  };

  ReplicaService(std::unique_ptr<DumpReceiver> receiver,
                 std::unique_ptr<TermStore> terms, ResumeTokens tokens,
                 Options options);
  ~ReplicaService();  // Requires: no call is running.
  ReplicaService(const ReplicaService&) = delete;
  ReplicaService& operator=(const ReplicaService&) = delete;

  // The calls of replication.proto. `peer`: who calls, as the transport has
  // made sure of.
  absl::Status Transfer(const std::string& peer, ServerStream* stream);
  absl::Status Base(const BaseRequest& request, BaseReply* reply);
  absl::Status Abort(const std::string& peer, const AbortRequest& request);
  absl::Status GetStatus(StatusReply* reply);

  // Removes what has expired. Calls that begin a transfer do so, too.
  absl::Status RemoveExpired();

 private:
  struct Kept;
  // What a Hello or an Abort says, checked.
  struct Claim;
  class Session;

  static absl::StatusOr<Claim> CheckClaim(const std::string& peer,
                                          const std::string& lineage,
                                          const std::string& header_bytes);
  absl::StatusOr<std::string> NewestHeader(absl::string_view lineage);
  // Makes `stream` the holder of its transfer, once another one has let go of
  // it; ends those of lower terms. Errors: kAborted: it is cut meanwhile.
  absl::StatusOr<std::shared_ptr<Kept>> Take(const Claim& claim, uint64_t term,
                                             ServerStream* stream)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Release(Kept* kept) ABSL_LOCKS_EXCLUDED(mu_);
  // Answers with its Ack when the dump is there already. Returns: whether.
  absl::StatusOr<bool> TellPublished(const Claim& claim, ServerStream* stream);
  // Sees to it that `kept`, which the caller holds, has its dump.
  absl::Status Open(const Claim& claim, const Hello& hello, Kept* kept);
  absl::Status MakeRoom() ABSL_LOCKS_EXCLUDED(mu_);
  // Unless somebody holds it.
  absl::Status DiscardIdle(const std::string& id) ABSL_LOCKS_EXCLUDED(mu_);

  const Options options_;
  cache::Clock* const clock_;
  const std::unique_ptr<DumpReceiver> receiver_;
  const std::unique_ptr<TermStore> terms_;
  const ResumeTokens tokens_;

  cache::Mutex mu_;
  std::condition_variable_any released_;
  // By snapshot id; those with a stream, and those of this process's life.
  std::map<std::string, std::shared_ptr<Kept>> kept_ ABSL_GUARDED_BY(mu_);
  int64_t streams_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_REPLICA_SERVICE_H_
