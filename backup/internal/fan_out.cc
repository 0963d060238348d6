#include "backup/internal/fan_out.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::format::Chunk;
using backup::format::ChunkType;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {
// How often a wait looks up: for cancellation, which may come from a signal
// handler and can wake nobody.
constexpr milliseconds kSlice{20};
}  // namespace

FanOut::FanOut(const std::vector<std::shared_ptr<backup::SnapshotSink>>& sinks,
               const backup::format::DumpHeader& header, const Options& options)
    : options_(options),
      stream_(header.stream_id(), options.zstd_level),
      rate_(options.bytes_per_second_max) {
  for (const auto& sink : sinks) {
    workers_.push_back(std::make_unique<SinkWorker>(
        sink, header, options_.base_wanted, options_.queue_chunks_max,
        options_.giving_way));
    active_.push_back(active_.size());
  }
  lag_.resize(workers_.size());
}

FanOut::~FanOut() {
  Abort(absl::AbortedError("backup was given up"));
  for (auto& [index, thread] : TakeStuckThreads()) thread.join();
}

bool FanOut::OthersIdle(const SinkWorker* worker) const {
  return std::any_of(active_.begin(), active_.end(), [&](size_t i) {
    const SinkWorker& other = *workers_[i];
    return &other != worker && other.alive() && other.idle();
  });
}

template <typename Ready>
absl::Status FanOut::Await(SinkWorker* worker, bool cancellable, Ready ready) {
  const size_t index = static_cast<size_t>(
      std::find_if(workers_.begin(), workers_.end(),
                   [&](const auto& w) { return w.get() == worker; }) -
      workers_.begin());
  steady_clock::time_point moved = steady_clock::now();
  int64_t calls = worker->calls_returned();
  const milliseconds slice = std::min(kSlice, options_.stall_max);
  while (!ready(worker, slice)) {
    if (cancellable) {
      LARDER_RETURN_IF_ERROR(backup::CheckCancelled(options_.cancellation));
    }
    const steady_clock::time_point now = steady_clock::now();
    if (worker->calls_returned() != calls) {
      calls = worker->calls_returned();
      moved = now;
    }
    if (OthersIdle(worker)) lag_[index] += slice;
    // Before anybody is dropped for being slow.
    if (now - moved >= options_.stall_max / 4 ||
        lag_[index] >= options_.lag_max / 4) {
      options_.giving_way->End();
    }
    if (now - moved >= options_.stall_max) {
      worker->Drop(absl::DeadlineExceededError(
          absl::StrCat("no progress for ", options_.stall_max.count(), " ms")));
    } else if (lag_[index] >= options_.lag_max) {
      worker->Drop(absl::DeadlineExceededError(absl::StrCat(
          "others waited for it for ", options_.lag_max.count(), " ms")));
    }
  }
  return absl::OkStatus();
}

absl::Status FanOut::CheckAlive(const std::vector<size_t>& workers) const {
  for (const size_t i : workers) {
    if (workers_[i]->alive()) return absl::OkStatus();
  }
  return absl::UnavailableError("no sink is left");
}

absl::Status FanOut::AwaitBegun() {
  for (const auto& worker : workers_) {
    LARDER_RETURN_IF_ERROR(Await(
        worker.get(), /*cancellable=*/true,
        [](SinkWorker* w, milliseconds wait) { return w->AwaitBegun(wait); }));
  }
  return CheckAlive(active_);
}

void FanOut::StartStream(std::vector<size_t> workers,
                         backup::format::DumpSeal seal) {
  active_ = std::move(workers);
  stream_.Restart(std::move(seal));
}

absl::Status FanOut::Send(ChunkType type, uint16_t source, bool try_compress,
                          absl::string_view payload) {
  LARDER_ASSIGN_OR_RETURN(Chunk chunk,
                          stream_.Build(type, source, try_compress, payload));
  return Push(std::move(chunk));
}

absl::Status FanOut::SendInPlace(ChunkType type, uint16_t source,
                                 std::string room_and_payload) {
  LARDER_ASSIGN_OR_RETURN(
      Chunk chunk,
      stream_.BuildInPlace(type, source, std::move(room_and_payload)));
  return Push(std::move(chunk));
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

absl::Status FanOut::Push(Chunk built) {
  LARDER_RETURN_IF_ERROR(AwaitRate(built));
  const std::shared_ptr<const Chunk> chunk =
      in_flight_->Track(std::move(built));
  for (const size_t i : active_) {
    LARDER_RETURN_IF_ERROR(Await(
        workers_[i].get(), /*cancellable=*/true,
        [](SinkWorker* w, milliseconds wait) { return w->AwaitRoom(wait); }));
    workers_[i]->Push(chunk);
  }
  return CheckAlive(active_);
}

void FanOut::Finish(const std::vector<size_t>& workers,
                    const backup::format::Manifest& manifest) {
  for (const size_t i : workers) workers_[i]->Finish(manifest);
}

void FanOut::AwaitFinished() {
  for (const auto& worker : workers_) {
    // Not cancellable, hence never an error: some sinks may be done already.
    Await(worker.get(), /*cancellable=*/false,
          [](SinkWorker* w, milliseconds wait) { return w->AwaitDone(wait); })
        .IgnoreError();
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
