#include "sweeper/blob_cache_sweeper.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/check.h"
#include "cache/status_macros.h"

namespace larder::sweeper {
namespace {

using cache::SliceLimit;
using cache::SliceReport;

constexpr int64_t kNanosPerMilli = 1'000'000;
constexpr const char* kPhaseNames[] = {"sweep of l1", "sweep of l2",
                                       "sweep of invalidated"};

// What a sweep may still do.
class Budget {
 public:
  Budget(const SweepLimit& limit, const cache::Clock* clock)
      : limit_(limit),
        clock_(clock),
        start_nanos_(clock->NowSteadyNanos()),
        entries_left_(limit.entries.value_or(0)) {}

  void Spend(int64_t entries) { entries_left_ -= entries; }

  // What the next slice may do; entries_max 0: nothing.
  SliceLimit NextSlice() const {
    SliceLimit slice;
    if (limit_.entries.has_value()) {
      slice.entries_max =
          std::clamp<int64_t>(entries_left_, 0, slice.entries_max);
    }
    if (limit_.millis.has_value()) {
      const int64_t left = MillisLeft();
      if (left <= 0) slice.entries_max = 0;
      slice.nanos_max = std::min(slice.nanos_max, left);
    }
    if (limit_.stop != nullptr && limit_.stop->load()) slice.entries_max = 0;
    return slice;
  }

  int64_t ElapsedNanos() const {
    return clock_->NowSteadyNanos() - start_nanos_;
  }
  int64_t ElapsedMillis() const { return ElapsedNanos() / kNanosPerMilli; }

 private:
  // In nanoseconds. A limit past the range of the clock is none.
  int64_t MillisLeft() const {
    constexpr int64_t kMillisMax = INT64_MAX / kNanosPerMilli;
    return std::min(*limit_.millis, kMillisMax) * kNanosPerMilli -
           ElapsedNanos();
  }

  const SweepLimit& limit_;
  const cache::Clock* const clock_;
  const int64_t start_nanos_;
  int64_t entries_left_;
};

void Add(const SliceReport& slice, SweepReport* report) {
  report->entries_scanned += slice.scanned;
  report->entries_evicted += slice.removed;
  report->bytes_reclaimed += slice.bytes;
  for (const SliceReport::PerNamespace& one : slice.by_namespace) {
    SweepReport::PerNamespace& sum = report->by_namespace[one.ns];
    sum.entries_evicted += one.removed;
    sum.bytes_reclaimed += one.bytes;
  }
}

}  // namespace

absl::StatusOr<SliceReport> BlobCacheSweeper::RunPhase(size_t phase,
                                                       SliceLimit slice_limit) {
  switch (phase) {
    case 0:
      return cache_->SweepL1Slice(slice_limit);
    case 1:
      return cache_->SweepDueSlice(slice_limit);
    default:
      return cache_->SweepTombstonedSlice(slice_limit);
  }
}

// A round that an earlier call began says nothing of what became due behind
// its back: a sweep without a limit finishes it and runs another.
BlobCacheSweeper::Rounds BlobCacheSweeper::TargetsOf(
    const SweepLimit& limit) const {
  Rounds target;
  for (size_t i = 0; i < kPhases; ++i) {
    target[i] = rounds_[i] + (in_round_[i] && !limit.bounded() ? 2 : 1);
  }
  return target;
}

bool BlobCacheSweeper::Rests(size_t phase, const Sweep& sweep) const {
  return sweep.failed[phase] || rounds_[phase] >= sweep.target[phase];
}

bool BlobCacheSweeper::IsComplete(const SweepLimit& limit,
                                  const Sweep& sweep) const {
  for (size_t i = 0; i < kPhases; ++i) {
    const bool done_before = limit.bounded() && rounds_[i] > bounded_base_[i];
    if (!done_before && !Rests(i, sweep)) return false;
  }
  return true;
}

// One slice of the phase whose turn it is.
void BlobCacheSweeper::RunSlice(SliceLimit slice_limit, Sweep* sweep) {
  size_t phase = next_phase_;
  while (Rests(phase, *sweep)) {
    phase = (phase + 1) % kPhases;
    LARDER_CHECK(phase != next_phase_);  // Or the sweep was complete.
  }
  next_phase_ = (phase + 1) % kPhases;
  const absl::StatusOr<SliceReport> slice = RunPhase(phase, slice_limit);
  if (!slice.ok()) {
    sweep->failed[phase] = true;
    sweep->status.Update(absl::Status(
        slice.status().code(),
        absl::StrCat(kPhaseNames[phase], ": ", slice.status().message())));
    return;
  }
  Add(*slice, &sweep->report);
  in_round_[phase] = !slice->done;
  if (slice->done) ++rounds_[phase];
}

absl::StatusOr<SweepReport> BlobCacheSweeper::SweepExpired(
    const SweepLimit& limit) {
  Budget budget(limit, clock_);
  Sweep sweep;
  SweepReport& report = sweep.report;
  {
    cache::MutexLock lock(&mu_);
    sweep.target = TargetsOf(limit);
  }
  for (;;) {
    cache::MutexLock lock(&mu_);
    if (IsComplete(limit, sweep)) {
      bounded_base_ = rounds_;
      break;
    }
    const SliceLimit slice_limit = budget.NextSlice();
    if (slice_limit.entries_max <= 0) {
      report.truncated_due_to_limit = true;
      break;
    }
    const int64_t scanned_before = report.entries_scanned;
    RunSlice(slice_limit, &sweep);
    budget.Spend(report.entries_scanned - scanned_before);
  }
  LARDER_RETURN_IF_ERROR(sweep.status);
  LARDER_ASSIGN_OR_RETURN(report.remaining_debt, cache_->SweepDebt());
  report.elapsed_ms = budget.ElapsedMillis();
  return std::move(report);
}

absl::StatusOr<OrphanReport> BlobCacheSweeper::ReclaimOrphans(
    const SweepLimit& limit) {
  Budget budget(limit, clock_);
  OrphanReport report;
  for (;;) {
    const SliceLimit slice_limit = budget.NextSlice();
    if (slice_limit.entries_max <= 0) {
      report.truncated_due_to_limit = true;
      break;
    }
    LARDER_ASSIGN_OR_RETURN(const SliceReport slice,
                            cache_->ReclaimOrphansSlice(slice_limit));
    // A slice either marks what records hold or removes what none does.
    const int64_t chains = std::max(slice.scanned, slice.removed);
    budget.Spend(chains);
    report.blob_chains_scanned += chains;
    report.blob_chains_reclaimed += slice.removed;
    report.bytes_reclaimed += slice.bytes;
    if (slice.done) break;
  }
  report.elapsed_ms = budget.ElapsedMillis();
  return report;
}

absl::StatusOr<NamespaceFlushReport> BlobCacheSweeper::FlushNamespace(
    absl::string_view ns) {
  const int64_t start_nanos = clock_->NowSteadyNanos();
  LARDER_ASSIGN_OR_RETURN(const cache::BlobCache::FlushResult flushed,
                          cache_->FlushNamespace(ns));
  return NamespaceFlushReport{
      .ns = std::string(ns),
      .generation_before = flushed.generation_before,
      .generation_after = flushed.generation_after,
      .elapsed_micros = (clock_->NowSteadyNanos() - start_nanos) / 1000};
}

}  // namespace larder::sweeper
