// Feeds one sink from a thread of its own, so that sinks do not wait for each
// other.
#ifndef LARDER_BACKUP_INTERNAL_SINK_WORKER_H_
#define LARDER_BACKUP_INTERNAL_SINK_WORKER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "backup/cancellation.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/giving_way.h"
#include "backup/sink.h"

namespace larder::backup_internal {

// One dump into one sink.
//
//   starting --Begin--> open --Finish--> done
//       |                |         |
//       +----------------+---------+--error, Drop()--> failed (sink aborted)
//
// Its methods are single-owner (the orchestrator); the thread behind is its
// own. A worker that is dropped while its sink is stuck in a call leaves the
// thread to the owner, see TakeThread().
class SinkWorker {
 public:
  // What to build on in the sink.
  struct BaseWanted {
    bool any = true;  // Else a full dump is wanted.
    std::string id;   // Not empty: on this snapshot only.
  };

  // Starts with sink->Begin(header), then Bases(). Chunks give way, unless the
  // sink starts lasting threads.
  SinkWorker(std::shared_ptr<backup::SnapshotSink> sink,
             const backup::format::DumpHeader& header, BaseWanted base_wanted,
             std::shared_ptr<const GivingWay> giving_way);
  // Requires: TakeThread().
  ~SinkWorker();

  // Not OK: the sink has failed or was dropped; it stays so.
  absl::Status status() const;
  bool alive() const { return status().ok(); }
  // No queue, and no call under way.
  bool idle() const;
  // Calls of the sink that have returned.
  int64_t calls_returned() const;
  // Changes while it makes progress, also within a call.
  int64_t progress() const;

  // Waits a little (up to `wait`) for Begin() to return, for the queue to hold
  // fewer than `queue_chunks_max`, or for Finish() to return. Returns: whether
  // it came, or the worker is not alive.
  bool AwaitBegun(std::chrono::milliseconds wait);
  bool AwaitRoom(int32_t queue_chunks_max, std::chrono::milliseconds wait);
  bool AwaitDone(std::chrono::milliseconds wait);

  // What the sink can build on, the newest first. After AwaitBegun() and
  // alive().
  std::vector<backup::format::DumpHeader> bases() const;
  // SealedLineages::SealedBefore() of what the sink holds. After AwaitBegun().
  bool SealedBefore(const backup::format::DumpHeader& header) const;

  // Ignored when not alive.
  void Push(std::shared_ptr<const backup::format::Chunk> chunk);
  // Finishes the sink once the queue is empty. Ignored when not alive.
  void Finish(const backup::format::Manifest& manifest);
  // Waits until the thread has no more to do, alive or not.
  bool AwaitReturned(std::chrono::milliseconds wait);
  // Whether the sink was told to: from then on nobody can take it back.
  bool told_to_finish() const;
  // After AwaitDone() and alive().
  backup::SinkReceipt receipt() const;

  // Gives the dump up: the sink is aborted as soon as its call returns.
  // `reason` becomes the status, unless it has failed by itself.
  void Drop(const absl::Status& reason);

  // The thread, for joining; it ends once the sink's call returns. Requires
  // that the dump is over: done, failed or dropped.
  std::thread TakeThread() { return std::move(thread_); }

 private:
  struct Shared;
  static void Serve(const std::shared_ptr<Shared>& shared);

  const std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_SINK_WORKER_H_
