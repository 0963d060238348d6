// A sink that gives dumps to a replica, over cuts.
#ifndef LARDER_REPLICATION_REPLICA_SINK_H_
#define LARDER_REPLICATION_REPLICA_SINK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "backup/cancellation.h"
#include "backup/sink.h"
#include "cache/clock.h"
#include "replication/claimed_replicas.h"
#include "replication/connection.h"

namespace larder::replication {

// What went over the wire for all dumps so far.
struct TransferCounts {
  int64_t bytes_sent = 0;  // Of chunks, those sent again included.
  int64_t connections = 0;
  int64_t spool_bytes_peak = 0;
};

// Errors of the sink, besides what the replica says (replication.proto):
//   kPermissionDenied   a primary of a higher term has been there: stop.
//   kUnavailable        the replica could not be reached for long enough, or
//                       was, without getting on.
//   kDataLoss           the replica has lost what it acknowledged.
//   kInvalidArgument    another sink has reached the same replica.
//   kCancelled
class ReplicaSink : public backup::SnapshotSink {
 public:
  struct Options {
    std::string name = "";     // For people, e.g. "grpc://host:port".
    std::string lineage = "";  // Of the primary's L2.
    uint64_t term = 1;
    // Bytes of chunks that are kept until the replica has them durable. One
    // chunk is always kept.
    int64_t spool_bytes_max = 32 << 20;
    // The dump is given up once the replica has got no further for so long;
    // when it cannot be reached at first, earlier, since others wait.
    int64_t give_up_ms = 45'000;
    int64_t give_up_at_first_ms = 2'000;
    // For about so long a replica that has all of the dump, and says that it is
    // at work on it, counts as getting further. Source: a token is good for at
    // least so long (ReplicaService::Options::resume_ttl_ms).
    int64_t at_work_ms_max = 1'800'000;
    // A connection that is silent for so long while it is waited for counts as
    // cut.
    int64_t silence_ms_max = 20'000;
    // The first wait before connecting again; each one more is twice as long,
    // plus or minus a quarter.
    int64_t backoff_ms_min = 50;
    int64_t backoff_ms_max = 5'000;
    uint64_t random_seed = 0;  // 0: from the system.
    // Shared by the sinks of a backup, of which each must reach a replica of
    // its own. Null: nobody looks.
    std::shared_ptr<ClaimedReplicas> claimed = nullptr;
    // Borrowed; both may be null.
    cache::Clock* clock = nullptr;  // Null: SystemClock().
    const backup::Cancellation* cancellation = nullptr;
    // Waits for so many milliseconds, or less. Null: by the system's clock.
    std::function<void(int64_t)> wait = nullptr;
  };

  // Memory: the spool, whose chunks are shared with other sinks; and of a
  // connection that has ended, the chunks of its window until gRPC lets go.
  static std::unique_ptr<ReplicaSink> Create(
      std::unique_ptr<ReplicaConnector> connector, Options options);

  virtual TransferCounts counts() const = 0;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_REPLICA_SINK_H_
