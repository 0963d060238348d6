#include "backup/lazy_restore.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "backup/internal/blob_place.h"
#include "backup/internal/hydration_files.h"
#include "backup/internal/hydrator.h"
#include "backup/internal/invalidation_set.h"
#include "backup/internal/lazy_start.h"
#include "backup/internal/rate_limit.h"
#include "backup/internal/record_fetcher.h"
#include "cache/check.h"
#include "cache/clock.h"
#include "cache/hydration.h"
#include "cache/load_flights.h"
#include "cache/mutex.h"
#include "cache/policy.h"
#include "cache/snapshot.h"
#include "cache/stats.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using backup_internal::BlobPlace;
using backup_internal::Fetched;
using backup_internal::Hydrator;
using backup_internal::LazyStart;
using backup_internal::RateLimit;
using backup_internal::RecordFetcher;
using cache::BlobCache;
using cache::Hit;
using cache::LoadFlights;
using cache::Mutation;
using cache::Mutex;
using cache::MutexLock;
using cache::Presence;
using cache::PutOptions;
using cache::SliceLimit;
using cache::SliceReport;

class LazyRestoreImpl : public LazyRestore {
 public:
  LazyRestoreImpl(LazyRestoreOptions options, LazyStart start);
  ~LazyRestoreImpl() override;

  absl::StatusOr<bool> Hydrate(int64_t bytes_max) override;
  void HydrateInBackground(BackgroundOptions options) override;
  absl::Status WaitForBackground() override;
  absl::Status Checkpoint() override;
  LazyRestoreReport Report() const override;

  // --- What fetches.
  std::optional<Hit> Get(absl::string_view ns, absl::string_view key) override {
    return GetRange(ns, key, 0, UINT64_MAX);
  }
  std::optional<Hit> GetRange(absl::string_view ns, absl::string_view key,
                              uint64_t offset, uint64_t length) override;
  Presence Exists(absl::string_view ns, absl::string_view key) override;
  absl::StatusOr<cache::CompareAndSetResult> CompareAndSet(
      absl::string_view ns, absl::string_view key, uint64_t expected_version,
      absl::string_view bytes, const PutOptions& options) override;
  absl::StatusOr<Hit> GetOrLoad(absl::string_view ns, absl::string_view key,
                                const Loader& loader) override;
  // Gives the rest up.
  absl::Status EndHydration() override;

  // --- What is the cache's own.
  absl::StatusOr<Mutation> Put(absl::string_view ns, absl::string_view key,
                               absl::string_view bytes,
                               const PutOptions& options) override {
    return cache_->Put(ns, key, bytes, options);
  }
  absl::StatusOr<Mutation> InvalidateKey(absl::string_view ns,
                                         absl::string_view key) override {
    return cache_->InvalidateKey(ns, key);
  }
  absl::StatusOr<Mutation> InvalidatePrefix(absl::string_view ns,
                                            absl::string_view prefix) override {
    return cache_->InvalidatePrefix(ns, prefix);
  }
  absl::StatusOr<Mutation> InvalidateTags(
      absl::string_view ns, absl::Span<const std::string> tags) override {
    return cache_->InvalidateTags(ns, tags);
  }
  absl::StatusOr<Mutation> InvalidateDependencies(
      absl::string_view ns,
      absl::Span<const std::string> dependencies) override {
    return cache_->InvalidateDependencies(ns, dependencies);
  }
  absl::StatusOr<FlushResult> FlushNamespace(absl::string_view ns) override {
    return cache_->FlushNamespace(ns);
  }
  absl::Status Flush() override { return cache_->Flush(); }
  cache::CacheStats Stats() const override { return cache_->Stats(); }
  std::vector<cache::NamespaceStats> NamespacesStats() const override;
  uint64_t CurrentGeneration(absl::string_view ns) const override {
    return cache_->CurrentGeneration(ns);
  }
  void ForEachL1Entry(
      absl::FunctionRef<bool(const L1EntryView&)> visit) const override {
    cache_->ForEachL1Entry(visit);
  }
  absl::Status ForEachL2Record(
      absl::string_view ns, absl::string_view after_key,
      absl::FunctionRef<bool(const L2RecordView&)> visit) const override {
    return cache_->ForEachL2Record(ns, after_key, visit);
  }
  absl::Status L2OrphanChains(
      absl::FunctionRef<bool(const OrphanChain&)> visit) override {
    return cache_->L2OrphanChains(visit);
  }
  absl::StatusOr<std::unique_ptr<cache::Snapshot>> TakeSnapshot(
      cache::EpochLock::PinOptions options) override {
    return cache_->TakeSnapshot(std::move(options));
  }
  absl::StatusOr<bool> Adopt(const cache::StoredRecord& record,
                             cache::FrameSource read_frame,
                             bool may_evict) override {
    LetEnd();
    cache::ReaderLock lock(&ending_mu_);
    return cache_->Adopt(record, read_frame, may_evict);
  }
  absl::StatusOr<SliceReport> SweepL1Slice(SliceLimit limit) override {
    return cache_->SweepL1Slice(limit);
  }
  absl::StatusOr<SliceReport> SweepDueSlice(SliceLimit limit) override {
    return cache_->SweepDueSlice(limit);
  }
  absl::StatusOr<SliceReport> SweepTombstonedSlice(SliceLimit limit) override {
    return cache_->SweepTombstonedSlice(limit);
  }
  absl::StatusOr<SliceReport> ReclaimOrphansSlice(SliceLimit limit) override {
    return cache_->ReclaimOrphansSlice(limit);
  }
  absl::StatusOr<int64_t> SweepDebt() const override {
    return cache_->SweepDebt();
  }
  cache::EpochLock* epoch_lock() override { return cache_->epoch_lock(); }

 private:
  // Takes the key's blob into the cache, if the snapshot has it and nothing
  // stands against it. Errors: that cannot be told for now.
  absl::Status Fetch(absl::string_view ns, absl::string_view key)
      ABSL_LOCKS_EXCLUDED(ending_mu_);
  // Waits for who wants to end it, if he is about to.
  void LetEnd() ABSL_LOCKS_EXCLUDED(end_mu_) {
    if (ends_.load()) MutexLock wait(&end_mu_);
  }
  absl::Status CheckpointLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(hydrate_mu_);
  absl::Status EndLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(hydrate_mu_);
  void Publish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(hydrate_mu_);
  void RenewLeases();
  absl::Status RunInBackground(BackgroundOptions options);
  // Returns: whether to stop instead.
  bool Pause(const BackgroundOptions& options, int64_t nanos)
      ABSL_LOCKS_EXCLUDED(stop_mu_);

  const LazyRestoreOptions options_;
  LazyStart start_;
  BlobCache* const cache_;  // `start_` owns it.
  RecordFetcher fetcher_;
  LoadFlights flights_;

  // Nobody fetches any more once `done_`. Held shared by who does.
  cache::SharedMutex ending_mu_ ABSL_ACQUIRED_AFTER(end_mu_);
  // Readers come first at `ending_mu_`: those who go on coming would keep out
  // for ever who wants it alone. So he makes newcomers wait, by holding this.
  Mutex end_mu_ ABSL_ACQUIRED_AFTER(hydrate_mu_);
  std::atomic<bool> ends_{false};
  std::atomic<bool> done_{false};
  std::atomic<int64_t> fetched_{0}, fetched_bytes_{0};

  Mutex hydrate_mu_;
  format::HydrationState state_ ABSL_GUARDED_BY(hydrate_mu_);
  std::unique_ptr<Hydrator> hydrator_ ABSL_GUARDED_BY(hydrate_mu_);
  int64_t since_checkpoint_ ABSL_GUARDED_BY(hydrate_mu_) = 0;
  absl::Status hydration_ ABSL_GUARDED_BY(hydrate_mu_);  // Of the last call.

  mutable Mutex report_mu_ ABSL_ACQUIRED_AFTER(hydrate_mu_);
  LazyRestoreReport report_ ABSL_GUARDED_BY(report_mu_);

  Mutex stop_mu_;
  std::condition_variable_any stop_;
  bool stopping_ ABSL_GUARDED_BY(stop_mu_) = false;
  std::thread background_;
  absl::Status background_status_;  // Read once the thread has ended.
};

LazyRestoreImpl::LazyRestoreImpl(LazyRestoreOptions options, LazyStart start)
    : options_(std::move(options)),
      start_(std::move(start)),
      cache_(start_.cache.get()),
      fetcher_(&start_.replicas, &start_.covering, cache_, options_.cache.clock,
               options_.cancellation) {
  MutexLock lock(&hydrate_mu_);
  state_ = start_.state;
  hydrator_ = std::make_unique<Hydrator>(&start_.replicas, &fetcher_,
                                         options_.cancellation, &state_,
                                         options_.on_loss);
  Publish();
}

LazyRestoreImpl::~LazyRestoreImpl() {
  {
    MutexLock lock(&stop_mu_);
    stopping_ = true;
    stop_.notify_all();
  }
  if (background_.joinable()) background_.join();
  // What it does not keep is done again.
  Checkpoint().IgnoreError();
}

// --- Fetching

absl::Status LazyRestoreImpl::Fetch(absl::string_view ns,
                                    absl::string_view key) {
  LARDER_RETURN_IF_ERROR(cache::ValidateNamespace(ns));
  LARDER_RETURN_IF_ERROR(cache::ValidateKey(key));
  LetEnd();
  cache::ReaderLock lock(&ending_mu_);
  if (done_.load()) return absl::OkStatus();
  bool leader;
  const std::shared_ptr<LoadFlights::Flight> flight =
      flights_.Join(ns, key, /*invalidations=*/0, &leader);
  if (!leader) return flights_.Wait(flight).status();
  RenewLeases();
  int64_t bytes = 0;
  const absl::StatusOr<Fetched> fetched =
      fetcher_.Fetch({std::string(ns), std::string(key)}, /*first=*/0,
                     /*may_evict=*/true, &bytes);
  if (fetched.ok() && *fetched == Fetched::kAdded) {
    ++fetched_;
    fetched_bytes_ += bytes;
  }
  // Who waits looks into the cache: what came since is newer.
  flights_.Land(ns, key, flight,
                fetched.ok() ? LoadFlights::Result(nullptr)
                             : LoadFlights::Result(fetched.status()));
  return fetched.status();
}

std::optional<Hit> LazyRestoreImpl::GetRange(absl::string_view ns,
                                             absl::string_view key,
                                             uint64_t offset, uint64_t length) {
  // Before the look: else it may miss what comes then, and the end with it, and
  // take that for all there is.
  const bool done = done_.load();
  std::optional<Hit> hit = cache_->GetRange(ns, key, offset, length);
  if (hit.has_value() || done) return hit;
  if (!Fetch(ns, key).ok()) return hit;
  return cache_->GetRange(ns, key, offset, length);
}

Presence LazyRestoreImpl::Exists(absl::string_view ns, absl::string_view key) {
  const bool done = done_.load();  // First, as in GetRange().
  const Presence presence = cache_->Exists(ns, key);
  return presence == Presence::kAbsent && !done ? Presence::kMaybePresent
                                                : presence;
}

absl::StatusOr<cache::CompareAndSetResult> LazyRestoreImpl::CompareAndSet(
    absl::string_view ns, absl::string_view key, uint64_t expected_version,
    absl::string_view bytes, const PutOptions& options) {
  const absl::Status fetched = Fetch(ns, key);
  // What is lost is absent; what is here needs no archive.
  if (!fetched.ok() && !absl::IsDataLoss(fetched) &&
      !cache_->Get(ns, key).has_value()) {
    return fetched;
  }
  return cache_->CompareAndSet(ns, key, expected_version, bytes, options);
}

absl::StatusOr<Hit> LazyRestoreImpl::GetOrLoad(absl::string_view ns,
                                               absl::string_view key,
                                               const Loader& loader) {
  if (std::optional<Hit> hit = Get(ns, key)) return *std::move(hit);
  return cache_->GetOrLoad(ns, key, loader);
}

// Those of the snapshot are there, too.
std::vector<cache::NamespaceStats> LazyRestoreImpl::NamespacesStats() const {
  const bool done = done_.load();  // First, as in GetRange().
  std::vector<cache::NamespaceStats> all = cache_->NamespacesStats();
  if (done) return all;
  for (const cache::NamespaceState& state : start_.covering.Namespaces()) {
    const bool known = std::any_of(
        all.begin(), all.end(),
        [&](const auto& stats) { return stats.name == state.name; });
    if (known) continue;
    cache::NamespaceStats stats;
    stats.name = state.name;
    stats.generation = state.generation;
    stats.flushed_at = state.flushed_at;
    all.push_back(std::move(stats));
  }
  return all;
}

// --- Hydrating

void LazyRestoreImpl::RenewLeases() {
  for (const auto& replica : start_.replicas) replica->RenewLease();
}

absl::StatusOr<bool> LazyRestoreImpl::Hydrate(int64_t bytes_max) {
  MutexLock lock(&hydrate_mu_);
  int64_t bytes = 0;
  absl::Status status;
  while (status.ok() && !done_.load() && bytes < bytes_max) {
    if (hydrator_->done()) {
      status = EndLocked();
      break;
    }
    RenewLeases();
    absl::StatusOr<int64_t> step = hydrator_->Step(bytes_max - bytes);
    status = step.status();
    // Steps that find nothing to take count a little, or they would not end.
    constexpr int64_t kStepBytes = 4096;
    if (step.ok()) bytes += *step + kStepBytes;
  }
  since_checkpoint_ += bytes;
  if (!done_.load() && since_checkpoint_ >= options_.checkpoint_bytes) {
    status.Update(CheckpointLocked());
  }
  hydration_ = status;
  Publish();
  LARDER_RETURN_IF_ERROR(status);
  return done_.load();
}

absl::Status LazyRestoreImpl::Checkpoint() {
  MutexLock lock(&hydrate_mu_);
  return done_.load() ? absl::OkStatus() : CheckpointLocked();
}

absl::Status LazyRestoreImpl::CheckpointLocked() {
  // Of what is durable, nothing is written that is not.
  format::HydrationState state = state_;
  state.set_records_fetched(state.records_fetched() + fetched_.load());
  state.set_bytes_fetched(state.bytes_fetched() + fetched_bytes_.load());
  LARDER_RETURN_IF_ERROR(cache_->Flush());
  LARDER_RETURN_IF_ERROR(backup_internal::WriteHydrationState(
      options_.cache.file_system, options_.cache.l2_path, std::move(state)));
  since_checkpoint_ = 0;
  return absl::OkStatus();
}

absl::Status LazyRestoreImpl::EndLocked() {
  LARDER_RETURN_IF_ERROR(cache_->Flush());
  {
    MutexLock others_wait(&end_mu_);
    ends_.store(true);
    cache::WriterLock lock(&ending_mu_);
    ends_.store(false);
    if (done_.load()) return absl::OkStatus();
    LARDER_RETURN_IF_ERROR(cache_->EndHydration());
    done_.store(true);
  }
  for (const auto& replica : start_.replicas) replica->GiveLeaseBack();
  backup_internal::GiveLeasesBack(options_.cache.file_system, state_);
  return backup_internal::RemoveHydrationFiles(options_.cache.file_system,
                                               options_.cache.l2_path);
}

absl::Status LazyRestoreImpl::EndHydration() {
  MutexLock lock(&hydrate_mu_);
  const absl::Status ended = EndLocked();
  Publish();
  return ended;
}

void LazyRestoreImpl::Publish() {
  LazyRestoreReport r;
  r.snapshot_id = state_.snapshot_id();
  r.resumed = start_.resumed;
  r.done = done_.load();
  r.records = state_.records();
  r.stored_bytes = state_.stored_bytes();
  r.records_fetched = state_.records_fetched();
  r.records_added = state_.records_added() + state_.records_fetched();
  r.bytes_added = state_.bytes_added() + state_.bytes_fetched();
  r.records_expired = state_.records_expired();
  r.records_invalidated = state_.records_invalidated();
  r.records_without_room = state_.records_without_room();
  r.records_hidden = state_.records_hidden();
  r.passes = state_.passes_since_unix_ms_size();
  r.pass = static_cast<int>(state_.position().pass());
  r.lost.blobs = state_.records_lost();
  for (const format::LostBlob& lost : state_.lost()) {
    r.lost.listed.push_back({.kind = lost.ns().empty()
                                         ? Loss::Kind::kUnnamedBlobs
                                         : Loss::Kind::kBlob,
                             .source = lost.source(),
                             .ns = lost.ns(),
                             .name = lost.key(),
                             .count = lost.count(),
                             .reason = lost.reason()});
  }
  r.warnings = start_.warnings;
  r.hydration = hydration_;
  for (const auto& replica : start_.replicas) {
    r.unprotected.Update(replica->unprotected());
  }
  MutexLock lock(&report_mu_);
  report_ = std::move(r);
}

LazyRestoreReport LazyRestoreImpl::Report() const {
  MutexLock lock(&report_mu_);
  LazyRestoreReport report = report_;
  report.records_fetched += fetched_.load();
  report.records_added += fetched_.load();
  report.bytes_added += fetched_bytes_.load();
  return report;
}

// --- In the background

void LazyRestoreImpl::HydrateInBackground(BackgroundOptions options) {
  LARDER_CHECK(!background_.joinable());
  LARDER_CHECK(options.bytes_per_second > 0 && options.slice_bytes > 0);
  background_ = std::thread(
      [this, options] { background_status_ = RunInBackground(options); });
}

absl::Status LazyRestoreImpl::RunInBackground(BackgroundOptions options) {
  RateLimit rate(options.bytes_per_second);
  int64_t retry_nanos = kRetryNanosMin;
  while (true) {
    const std::chrono::nanoseconds now =
        std::chrono::steady_clock::now().time_since_epoch();
    if (Pause(options, rate.Take(options.slice_bytes, now.count()))) {
      return absl::CancelledError("stopped");
    }
    const absl::StatusOr<bool> done = Hydrate(options.slice_bytes);
    if (absl::IsCancelled(done.status())) return done.status();
    if (done.ok()) {
      if (*done) return absl::OkStatus();
      retry_nanos = kRetryNanosMin;
      continue;
    }
    if (Pause(options, retry_nanos)) return absl::CancelledError("stopped");
    retry_nanos = std::min(2 * retry_nanos, kRetryNanosMax);
  }
}

bool LazyRestoreImpl::Pause(const BackgroundOptions& options, int64_t nanos) {
  if (options.wait && nanos > 0) options.wait(nanos);
  MutexLock lock(&stop_mu_);
  const auto until = std::chrono::steady_clock::now() +
                     std::chrono::nanoseconds(options.wait ? 0 : nanos);
  // Cancellation may come from a signal handler, and wakes nobody.
  constexpr std::chrono::milliseconds kSlice{20};
  const auto over = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return stopping_ || !CheckCancelled(options_.cancellation).ok();
  };
  for (auto now = std::chrono::steady_clock::now(); !over() && now < until;
       now = std::chrono::steady_clock::now()) {
    stop_.wait_until(stop_mu_, std::min(until, now + kSlice));
  }
  return over();
}

absl::Status LazyRestoreImpl::WaitForBackground() {
  LARDER_CHECK(background_.joinable());
  background_.join();
  return background_status_;
}

void SetDefaults(cache::BlobCacheOptions* options) {
  if (options->clock == nullptr) options->clock = cache::SystemClock();
  if (options->file_system == nullptr) {
    options->file_system = cache::l2::PosixFileSystem();
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<LazyRestore>> LazyRestore::Open(
    LazyRestoreOptions options) {
  SetDefaults(&options.cache);
  if (options.holder.empty()) options.holder = options.cache.l2_path;
  LARDER_ASSIGN_OR_RETURN(LazyStart start,
                          backup_internal::StartLazily(
                              {.archives = options.archives,
                               .snapshot_id = options.snapshot_id,
                               .not_after_unix_ms = options.not_after_unix_ms,
                               .cache = options.cache,
                               .keys = options.keys,
                               .holder = options.holder,
                               .cancellation = options.cancellation}));
  return std::make_unique<LazyRestoreImpl>(std::move(options),
                                           std::move(start));
}

absl::StatusOr<HydrationGivenUp> LazyRestore::GiveUp(
    cache::BlobCacheOptions options) {
  SetDefaults(&options);
  LARDER_ASSIGN_OR_RETURN(const std::optional<format::HydrationState> state,
                          backup_internal::EndLazily(options));
  if (!state.has_value()) return HydrationGivenUp();
  const int64_t taken = state->records_added() + state->records_fetched();
  return HydrationGivenUp{
      .snapshot_id = state->snapshot_id(),
      .records = state->records(),
      .records_missing = std::max<int64_t>(0, state->records() - taken)};
}

absl::StatusOr<std::optional<HydratingL2>> LazyRestore::FindHydrating(
    cache::l2::FileSystem* file_system, const std::string& l2_path) {
  LARDER_ASSIGN_OR_RETURN(const std::optional<cache::Hlc> floor,
                          cache::ReadHydration(file_system, l2_path));
  if (!floor.has_value()) return std::optional<HydratingL2>();
  LARDER_ASSIGN_OR_RETURN(
      const format::HydrationState state,
      backup_internal::ReadHydrationState(file_system, l2_path));
  return std::make_optional(HydratingL2{
      .snapshot_id = state.snapshot_id(),
      .archives = {state.archives().begin(), state.archives().end()},
      .records = state.records(),
      .stored_bytes = state.stored_bytes()});
}

}  // namespace larder::backup
