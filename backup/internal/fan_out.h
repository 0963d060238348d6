// The chunks of one dump on their way to every sink.
#ifndef LARDER_BACKUP_INTERNAL_FAN_OUT_H_
#define LARDER_BACKUP_INTERNAL_FAN_OUT_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backup/cancellation.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/format/dump_seal.h"
#include "backup/internal/chunk_stream.h"
#include "backup/internal/giving_way.h"
#include "backup/internal/in_flight.h"
#include "backup/internal/rate_limit.h"
#include "backup/internal/sink_worker.h"
#include "backup/sink.h"
#include "cache/clock.h"

namespace larder::backup_internal {

// Pushes each chunk to all sinks of the stream under way that are alive,
// waiting for the slowest of them within bounds. Sinks that build on different
// bases get streams of their own, one after the other. Single-owner.
class FanOut {
 public:
  struct Options {
    int32_t queue_chunks_max = 0;
    std::chrono::milliseconds stall_max{0};
    std::chrono::milliseconds lag_max{0};
    int zstd_level = 1;
    SinkWorker::BaseWanted base_wanted;
    int64_t bytes_per_second_max = 0;  // 0: no limit.
    std::shared_ptr<GivingWay> giving_way;
    cache::Clock* clock = nullptr;
    // Lets so many nanoseconds of the clock pass.
    std::function<void(int64_t)> wait;
    const backup::Cancellation* cancellation = nullptr;
  };

  // Begins every sink.
  FanOut(const std::vector<std::shared_ptr<backup::SnapshotSink>>& sinks,
         const backup::format::DumpHeader& header, const Options& options);
  // Drops what is not finished.
  ~FanOut();

  // Waits until each sink has begun, failed or stalled.
  // Errors: kCancelled; kUnavailable when none is left. Final, as all below.
  absl::Status AwaitBegun();

  // What is sent from here on goes to `workers` (indexes), numbered from 0.
  // Before the first call nothing may be sent.
  // Sealed by `seal`, which is of this stream alone.
  void StartStream(std::vector<size_t> workers, backup::format::DumpSeal seal);

  absl::Status Send(backup::format::ChunkType type, uint16_t source,
                    bool try_compress, absl::string_view payload);

  // The same for a plain payload behind kChunkHeaderBytes of room.
  absl::Status SendInPlace(backup::format::ChunkType type, uint16_t source,
                           std::string room_and_payload);

  // Lets the sinks `workers` finish; AwaitFinished() waits for all of them,
  // within the bound.
  void Finish(const std::vector<size_t>& workers,
              const backup::format::Manifest& manifest);
  void AwaitFinished();
  // Aborts every sink.
  void Abort(const absl::Status& reason);

  const ChunkStream& stream() const { return stream_; }  // Under way.
  const InFlight& in_flight() const { return *in_flight_; }
  const std::vector<std::unique_ptr<SinkWorker>>& workers() const {
    return workers_;
  }
  // The thread of each sink that is stuck in a call, by the sink's index;
  // joins all others. Requires Finish() or Abort().
  std::vector<std::pair<size_t, std::thread>> TakeStuckThreads();

 private:
  // Waits for `ready(worker, slice)`; drops the worker past the bound.
  template <typename Ready>
  absl::Status Await(SinkWorker* worker, bool cancellable, Ready ready);
  absl::Status Push(backup::format::Chunk built);
  // Errors: kCancelled.
  absl::Status AwaitRate(const backup::format::Chunk& chunk);
  bool OthersIdle(const SinkWorker* worker) const;
  // Errors: kUnavailable when none of `workers` is alive.
  absl::Status CheckAlive(const std::vector<size_t>& workers) const;

  const Options options_;
  const std::shared_ptr<InFlight> in_flight_ = std::make_shared<InFlight>();
  ChunkStream stream_;
  RateLimit rate_;
  std::vector<std::unique_ptr<SinkWorker>> workers_;
  std::vector<size_t> active_;  // Of the stream under way.
  // By worker: how long others had to wait for it.
  std::vector<std::chrono::steady_clock::duration> lag_;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_FAN_OUT_H_
