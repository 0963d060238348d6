// The chunks of one backup on their way to every sink.
#ifndef LARDER_BACKUP_INTERNAL_FAN_OUT_H_
#define LARDER_BACKUP_INTERNAL_FAN_OUT_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
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

// Sinks that build on the same base share a stream of chunks, and all streams
// are sent at once. Pushes each chunk to all sinks of its stream that are
// alive, waiting for the slowest of them within bounds. Single-owner.
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
    // SourceView::used(), of all that are open.
    std::function<double()> used = [] { return 0; };
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

  // Starts a stream to `workers` (indexes), each of which is in one at most;
  // its chunks are numbered from 0, and sealed by `seal`, which is of this
  // stream alone. Streams have indexes from 0 up. Requires: AwaitBegun().
  void AddStream(std::vector<size_t> workers,
                 const backup::format::DumpSeal& seal);

  // Compresses where that saves something. Does nothing for a stream whose
  // sinks are all gone, while another has some.
  absl::Status Send(size_t stream, backup::format::ChunkType type,
                    uint16_t source, absl::string_view payload);
  // The same into every stream, compressed once.
  absl::Status SendToAll(backup::format::ChunkType type, uint16_t source,
                         absl::string_view payload);
  // The same as Send() for a plain payload behind kChunkHeaderBytes of room.
  absl::Status SendInPlace(size_t stream, backup::format::ChunkType type,
                           uint16_t source, std::string room_and_payload);

  // Lets the sinks `workers` finish; AwaitFinished() waits for all of them,
  // within the bound.
  void Finish(const std::vector<size_t>& workers,
              const backup::format::Manifest& manifest);
  void AwaitFinished();
  // Aborts every sink.
  void Abort(const absl::Status& reason);

  const ChunkStream& stream(size_t i) const { return streams_[i].chunks; }
  // Whether one of the stream's sinks is.
  bool IsAlive(size_t stream) const;
  const InFlight& in_flight() const { return *in_flight_; }
  const std::vector<std::unique_ptr<SinkWorker>>& workers() const {
    return workers_;
  }
  // The thread of each sink that is stuck in a call, by the sink's index;
  // joins all others. Requires Finish() or Abort().
  std::vector<std::pair<size_t, std::thread>> TakeStuckThreads();

 private:
  struct Stream {
    Stream(std::vector<size_t> w, uint64_t id, backup::format::DumpSeal seal)
        : workers(std::move(w)), chunks(id, std::move(seal)) {}
    const std::vector<size_t> workers;
    ChunkStream chunks;
  };

  // Why others have waited for `worker` for too long; empty: they have not.
  std::string TooSlow(size_t worker);
  // Waits for `ready(worker, slice)`; drops the worker past the bound.
  template <typename Ready>
  absl::Status Await(size_t worker, bool cancellable, Ready ready);
  absl::Status SendPacked(size_t stream, backup::format::ChunkType type,
                          uint16_t source,
                          backup::format::PackedPayload payload);
  // Errors: kCancelled.
  absl::Status AwaitRate(const backup::format::Chunk& chunk);
  bool IsIdle(size_t worker) const;
  // Whether both are in one stream, or there is none yet.
  bool ShareStream(size_t a, size_t b) const;
  // That all waited for `worker` while it took so many chunks.
  void NoteWait(size_t worker, std::chrono::milliseconds waited,
                int64_t chunks);
  // Errors: kUnavailable when no worker is alive.
  absl::Status CheckAlive() const;
  // Of one worker, so that all streams together stay within the bound.
  int32_t QueueChunksMax() const;

  const Options options_;
  const std::shared_ptr<InFlight> in_flight_ = std::make_shared<InFlight>();
  const uint64_t stream_id_;
  backup::format::Compressor compressor_;
  RateLimit rate_;
  std::vector<std::unique_ptr<SinkWorker>> workers_;
  std::deque<Stream> streams_;
  // By worker: how long others had to wait for it.
  std::vector<std::chrono::steady_clock::duration> lag_;
  // The same when the snapshot was half used up; empty: it is not yet.
  std::vector<std::chrono::steady_clock::duration> lag_at_half_;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_FAN_OUT_H_
