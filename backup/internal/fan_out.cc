#include "backup/internal/fan_out.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::format::Chunk;
using backup::format::ChunkType;
using backup::format::PackedPayload;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {
// How often a wait looks up: for cancellation, which may come from a signal
// handler and can wake nobody.
constexpr milliseconds kSlice{20};
// What a chunk that a sink takes makes good of the time that sinks on other
// bases waited for it: they need less than it does, so that alone is not its
// fault. Source: 4 MiB a second, a slow disk or a fast line between sites.
constexpr milliseconds kEarnedByChunk{250};
// The share of what a snapshot may take from which on the backup waits less for
// one sink while others have nothing to do: else it ends for all of them.
constexpr double kPatientUsedMax = 0.5;
constexpr int kImpatience =
    60;  // By default: 10 seconds instead of 10 minutes.

PackedPayload Copy(const PackedPayload& packed) {
  PackedPayload copy;
  copy.raw_bytes = packed.raw_bytes;
  copy.zstd = packed.zstd;
  copy.room_and_payload.reserve(packed.room_and_payload.size() +
                                backup::format::kSealTagBytes);
  copy.room_and_payload = packed.room_and_payload;
  return copy;
}
}  // namespace

FanOut::FanOut(const std::vector<std::shared_ptr<backup::SnapshotSink>>& sinks,
               const backup::format::DumpHeader& header, const Options& options)
    : options_(options),
      stream_id_(header.stream_id()),
      compressor_(options.zstd_level),
      rate_(options.bytes_per_second_max) {
  for (const auto& sink : sinks) {
    workers_.push_back(std::make_unique<SinkWorker>(
        sink, header, options_.base_wanted, options_.giving_way));
  }
  lag_.resize(workers_.size());
}

FanOut::~FanOut() {
  Abort(absl::AbortedError("backup was given up"));
  for (auto& [index, thread] : TakeStuckThreads()) thread.join();
}

bool FanOut::IsIdle(size_t worker) const {
  return workers_[worker]->alive() && workers_[worker]->idle();
}

bool FanOut::ShareStream(size_t a, size_t b) const {
  return streams_.empty() || absl::c_any_of(streams_, [&](const Stream& s) {
           return absl::c_linear_search(s.workers, a) &&
                  absl::c_linear_search(s.workers, b);
         });
}

void FanOut::NoteWait(size_t worker, milliseconds waited, int64_t chunks) {
  bool same = false, any = false;
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (i == worker || !IsIdle(i)) continue;
    any = true;
    same = same || ShareStream(i, worker);
  }
  if (same) {
    lag_[worker] += waited;
  } else if (any) {
    lag_[worker] = std::max<steady_clock::duration>(
        steady_clock::duration::zero(),
        lag_[worker] + waited - chunks * kEarnedByChunk);
  }
}

std::string FanOut::TooSlow(size_t worker) {
  if (lag_[worker] >= options_.lag_max) {
    return absl::StrCat("others waited for it for ", options_.lag_max.count(),
                        " ms");
  }
  if (options_.used() <= kPatientUsedMax) return "";
  if (lag_at_half_.empty()) lag_at_half_ = lag_;
  const milliseconds lag_max = options_.lag_max / kImpatience;
  if (lag_[worker] - lag_at_half_[worker] < lag_max) return "";
  return absl::StrCat(
      "others waited for it for ", lag_max.count(),
      " ms since half of what the snapshot may take was used up");
}

template <typename Ready>
absl::Status FanOut::Await(size_t index, bool cancellable, Ready ready) {
  SinkWorker* const worker = workers_[index].get();
  steady_clock::time_point moved = steady_clock::now();
  int64_t calls = worker->calls_returned();
  int64_t progress = worker->progress();
  const milliseconds slice = std::min(kSlice, options_.stall_max);
  while (!ready(worker, slice)) {
    if (cancellable) {
      LARDER_RETURN_IF_ERROR(backup::CheckCancelled(options_.cancellation));
    }
    const steady_clock::time_point now = steady_clock::now();
    const int64_t progress_now = worker->progress();
    if (progress_now != progress) moved = now;
    progress = progress_now;
    const int64_t returned = worker->calls_returned();
    NoteWait(index, slice, returned - calls);
    calls = returned;
    // Before anybody is dropped for being slow.
    if (now - moved >= options_.stall_max / 4 ||
        lag_[index] >= options_.lag_max / 4) {
      options_.giving_way->End();
    }
    if (now - moved >= options_.stall_max) {
      worker->Drop(absl::DeadlineExceededError(
          absl::StrCat("no progress for ", options_.stall_max.count(), " ms")));
    } else if (const std::string why = TooSlow(index); !why.empty()) {
      worker->Drop(absl::DeadlineExceededError(why));
    }
  }
  return absl::OkStatus();
}

absl::Status FanOut::CheckAlive() const {
  for (const auto& worker : workers_) {
    if (worker->alive()) return absl::OkStatus();
  }
  return absl::UnavailableError("no sink is left");
}

bool FanOut::IsAlive(size_t stream) const {
  return absl::c_any_of(streams_[stream].workers,
                        [&](size_t i) { return workers_[i]->alive(); });
}

int32_t FanOut::QueueChunksMax() const {
  int32_t alive = 0;
  for (size_t i = 0; i < streams_.size(); ++i) alive += IsAlive(i) ? 1 : 0;
  return std::max(1, options_.queue_chunks_max / std::max(1, alive));
}

absl::Status FanOut::AwaitBegun() {
  for (size_t i = 0; i < workers_.size(); ++i) {
    LARDER_RETURN_IF_ERROR(Await(
        i, /*cancellable=*/true,
        [](SinkWorker* w, milliseconds wait) { return w->AwaitBegun(wait); }));
  }
  return CheckAlive();
}

void FanOut::AddStream(std::vector<size_t> workers,
                       const backup::format::DumpSeal& seal) {
  streams_.emplace_back(std::move(workers), stream_id_, seal);
}

absl::Status FanOut::Send(size_t stream, ChunkType type, uint16_t source,
                          absl::string_view payload) {
  if (!IsAlive(stream)) return CheckAlive();
  LARDER_ASSIGN_OR_RETURN(PackedPayload packed, compressor_.Pack(payload));
  return SendPacked(stream, type, source, std::move(packed));
}

absl::Status FanOut::SendToAll(ChunkType type, uint16_t source,
                               absl::string_view payload) {
  absl::InlinedVector<size_t, 4> alive;
  for (size_t i = 0; i < streams_.size(); ++i) {
    if (IsAlive(i)) alive.push_back(i);
  }
  if (alive.empty()) return CheckAlive();
  LARDER_ASSIGN_OR_RETURN(PackedPayload packed, compressor_.Pack(payload));
  const size_t last = alive.back();
  alive.pop_back();
  for (const size_t i : alive) {
    LARDER_RETURN_IF_ERROR(SendPacked(i, type, source, Copy(packed)));
  }
  return SendPacked(last, type, source, std::move(packed));
}

absl::Status FanOut::SendInPlace(size_t stream, ChunkType type, uint16_t source,
                                 std::string room_and_payload) {
  return SendPacked(stream, type, source,
                    backup::format::PackInPlace(std::move(room_and_payload)));
}

absl::Status FanOut::AwaitRate(const Chunk& chunk) {
  const int64_t start = options_.clock->NowSteadyNanos();
  const int64_t until =
      start + rate_.Take(static_cast<int64_t>(chunk.bytes.size()), start);
  while (true) {
    LARDER_RETURN_IF_ERROR(backup::CheckCancelled(options_.cancellation));
    const int64_t left = until - options_.clock->NowSteadyNanos();
    if (left <= 0) return absl::OkStatus();
    options_.wait(
        std::min<int64_t>(left, std::chrono::nanoseconds(kSlice).count()));
  }
}

absl::Status FanOut::SendPacked(size_t stream, ChunkType type, uint16_t source,
                                PackedPayload payload) {
  if (!IsAlive(stream)) return CheckAlive();
  Stream& s = streams_[stream];
  LARDER_ASSIGN_OR_RETURN(Chunk built,
                          s.chunks.Build(type, source, std::move(payload)));
  LARDER_RETURN_IF_ERROR(AwaitRate(built));
  const std::shared_ptr<const Chunk> chunk =
      in_flight_->Track(std::move(built));
  const int32_t queue_max = QueueChunksMax();
  for (const size_t i : s.workers) {
    LARDER_RETURN_IF_ERROR(
        Await(i, /*cancellable=*/true, [&](SinkWorker* w, milliseconds wait) {
          return w->AwaitRoom(queue_max, wait);
        }));
    workers_[i]->Push(chunk);
  }
  return CheckAlive();
}

void FanOut::Finish(const std::vector<size_t>& workers,
                    const backup::format::Manifest& manifest) {
  for (const size_t i : workers) workers_[i]->Finish(manifest);
}

void FanOut::AwaitFinished() {
  for (size_t i = 0; i < workers_.size(); ++i) {
    // Not cancellable, hence never an error: some sinks may be done already.
    Await(i, /*cancellable=*/false, [](SinkWorker* w, milliseconds wait) {
      return w->AwaitDone(wait);
    }).IgnoreError();
  }
}

void FanOut::Abort(const absl::Status& reason) {
  for (const auto& worker : workers_) worker->Drop(reason);
}

std::vector<std::pair<size_t, std::thread>> FanOut::TakeStuckThreads() {
  std::vector<std::pair<size_t, std::thread>> stuck;
  for (size_t i = 0; i < workers_.size(); ++i) {
    std::thread thread = workers_[i]->TakeThread();
    if (!thread.joinable()) continue;
    // Who was too slow before is not waited for again.
    const bool slow = absl::IsDeadlineExceeded(workers_[i]->status());
    if (workers_[i]->AwaitReturned(slow ? milliseconds(0)
                                        : options_.stall_max)) {
      thread.join();
    } else {
      stuck.emplace_back(i, std::move(thread));
    }
  }
  return stuck;
}

}  // namespace larder::backup_internal
