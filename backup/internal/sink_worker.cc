#include "backup/internal/sink_worker.h"

#include <condition_variable>
#include <deque>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "backup/sealed_lineages.h"
#include "cache/check.h"
#include "cache/mutex.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::SealedLineages;
using backup::SinkReceipt;
using backup::SnapshotSink;
using backup::format::Chunk;
using backup::format::DumpHeader;
using backup::format::Manifest;
using cache::Mutex;
using cache::MutexLock;

// Owned by the worker and by its thread, whichever lives longer.
struct SinkWorker::Shared {
  Shared(std::shared_ptr<SnapshotSink> s, const DumpHeader& h, BaseWanted b,
         std::shared_ptr<const GivingWay> g)
      : sink(std::move(s)),
        header(h),
        base_wanted(std::move(b)),
        giving_way(std::move(g)) {}

  // Errors: of the sink.
  absl::Status Begin() ABSL_LOCKS_EXCLUDED(mu) {
    LARDER_RETURN_IF_ERROR(sink->Begin(header));
    {
      SealedLineages before = sink->Sealed();
      MutexLock lock(&mu);
      sealed = std::move(before);
    }
    if (!base_wanted.any) return absl::OkStatus();
    LARDER_ASSIGN_OR_RETURN(std::vector<DumpHeader> found,
                            sink->Bases(base_wanted.id));
    MutexLock lock(&mu);
    bases = std::move(found);
    return absl::OkStatus();
  }

  const std::shared_ptr<SnapshotSink> sink;
  const DumpHeader header;
  const BaseWanted base_wanted;
  const std::shared_ptr<const GivingWay> giving_way;

  Mutex mu;
  std::condition_variable_any changed;
  absl::Status status ABSL_GUARDED_BY(mu);
  bool begun ABSL_GUARDED_BY(mu) = false;
  SealedLineages sealed ABSL_GUARDED_BY(mu);  // Before this dump.
  std::vector<DumpHeader> bases ABSL_GUARDED_BY(mu);
  bool busy ABSL_GUARDED_BY(mu) = true;  // In a call of the sink.
  bool told_to_finish ABSL_GUARDED_BY(mu) = false;
  bool done ABSL_GUARDED_BY(mu) = false;
  int64_t calls_returned ABSL_GUARDED_BY(mu) = 0;
  std::deque<std::shared_ptr<const Chunk>> queue ABSL_GUARDED_BY(mu);
  std::optional<Manifest> manifest ABSL_GUARDED_BY(mu);
  SinkReceipt receipt ABSL_GUARDED_BY(mu);

  // Books the return of a call. Returns: whether to go on.
  bool Returned(const absl::Status& result) ABSL_LOCKS_EXCLUDED(mu) {
    MutexLock lock(&mu);
    ++calls_returned;
    busy = false;
    if (status.ok()) status = result;
    if (!status.ok()) queue.clear();
    changed.notify_all();
    return status.ok();
  }

  // The next chunk; null: it is time to finish, or to give up.
  std::shared_ptr<const Chunk> Next() ABSL_LOCKS_EXCLUDED(mu) {
    MutexLock lock(&mu);
    while (status.ok() && queue.empty() && !manifest.has_value()) {
      changed.wait(mu);
    }
    if (!status.ok()) return nullptr;
    busy = true;
    if (queue.empty()) return nullptr;
    std::shared_ptr<const Chunk> chunk = std::move(queue.front());
    queue.pop_front();
    changed.notify_all();
    return chunk;
  }

  template <typename Condition>
  bool Await(std::chrono::milliseconds wait, Condition condition)
      ABSL_LOCKS_EXCLUDED(mu) {
    const auto deadline = std::chrono::steady_clock::now() + wait;
    MutexLock lock(&mu);
    while (status.ok() && !condition()) {
      if (changed.wait_until(mu, deadline) == std::cv_status::timeout) {
        return !status.ok() || condition();
      }
    }
    return true;
  }
};

SinkWorker::SinkWorker(std::shared_ptr<SnapshotSink> sink,
                       const DumpHeader& header, BaseWanted base_wanted,
                       std::shared_ptr<const GivingWay> giving_way)
    : shared_(std::make_shared<Shared>(std::move(sink), header,
                                       std::move(base_wanted),
                                       std::move(giving_way))),
      thread_([shared = shared_] { Serve(shared); }) {}

SinkWorker::~SinkWorker() { LARDER_CHECK(!thread_.joinable()); }

void SinkWorker::Serve(const std::shared_ptr<Shared>& shared) {
  Shared& s = *shared;
  bool good = s.Returned(s.Begin());
  if (good) {
    MutexLock lock(&s.mu);
    s.begun = true;
    s.changed.notify_all();
  }
  const auto append = [&] {
    const std::shared_ptr<const Chunk> chunk = s.Next();
    if (chunk == nullptr) return false;
    return good = s.Returned(s.sink->Append(chunk));
  };
  if (good && s.sink->starts_lasting_threads()) {
    while (append()) {
    }
  } else if (good) {
    s.giving_way->Repeat(append);
  }
  std::optional<Manifest> manifest;
  {
    MutexLock lock(&s.mu);
    if (s.status.ok()) manifest = s.manifest;
    s.told_to_finish = manifest.has_value();
  }
  if (manifest.has_value()) {
    const absl::StatusOr<SinkReceipt> receipt = s.sink->Finish(*manifest);
    {
      MutexLock lock(&s.mu);
      if (receipt.ok()) s.receipt = *receipt;
    }
    good = s.Returned(receipt.status());
  } else {
    good = false;
  }
  if (!good) s.sink->Abort();
  MutexLock lock(&s.mu);
  s.busy = false;
  s.done = true;
  s.changed.notify_all();
}

absl::Status SinkWorker::status() const {
  MutexLock lock(&shared_->mu);
  return shared_->status;
}

bool SinkWorker::idle() const {
  MutexLock lock(&shared_->mu);
  return shared_->queue.empty() && !shared_->busy;
}

int64_t SinkWorker::calls_returned() const {
  MutexLock lock(&shared_->mu);
  return shared_->calls_returned;
}

int64_t SinkWorker::progress() const {
  return calls_returned() + shared_->sink->progress();
}

bool SinkWorker::AwaitBegun(std::chrono::milliseconds wait) {
  Shared& s = *shared_;
  return s.Await(wait,
                 [&s]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return s.begun; });
}

bool SinkWorker::AwaitRoom(int32_t queue_chunks_max,
                           std::chrono::milliseconds wait) {
  Shared& s = *shared_;
  return s.Await(wait, [&s, queue_chunks_max]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return static_cast<int32_t>(s.queue.size()) < queue_chunks_max;
  });
}

bool SinkWorker::AwaitDone(std::chrono::milliseconds wait) {
  Shared& s = *shared_;
  return s.Await(wait,
                 [&s]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return s.done; });
}

bool SinkWorker::AwaitReturned(std::chrono::milliseconds wait) {
  const auto deadline = std::chrono::steady_clock::now() + wait;
  MutexLock lock(&shared_->mu);
  while (!shared_->done) {
    if (shared_->changed.wait_until(shared_->mu, deadline) ==
        std::cv_status::timeout) {
      return shared_->done;
    }
  }
  return true;
}

void SinkWorker::Push(std::shared_ptr<const Chunk> chunk) {
  MutexLock lock(&shared_->mu);
  if (!shared_->status.ok()) return;
  shared_->queue.push_back(std::move(chunk));
  shared_->changed.notify_all();
}

void SinkWorker::Finish(const Manifest& manifest) {
  MutexLock lock(&shared_->mu);
  shared_->manifest = manifest;
  shared_->changed.notify_all();
}

std::vector<DumpHeader> SinkWorker::bases() const {
  MutexLock lock(&shared_->mu);
  return shared_->bases;
}

bool SinkWorker::SealedBefore(const DumpHeader& header) const {
  MutexLock lock(&shared_->mu);
  return shared_->sealed.SealedBefore(header);
}

bool SinkWorker::told_to_finish() const {
  MutexLock lock(&shared_->mu);
  return shared_->told_to_finish;
}

SinkReceipt SinkWorker::receipt() const {
  MutexLock lock(&shared_->mu);
  return shared_->receipt;
}

void SinkWorker::Drop(const absl::Status& reason) {
  LARDER_CHECK(!reason.ok());
  MutexLock lock(&shared_->mu);
  if (shared_->done) return;
  if (shared_->status.ok()) shared_->status = reason;
  shared_->queue.clear();
  shared_->changed.notify_all();
}

}  // namespace larder::backup_internal
