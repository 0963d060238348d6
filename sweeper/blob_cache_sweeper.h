// Sweeps a blob cache in bounded steps beside its traffic.
#ifndef LARDER_SWEEPER_BLOB_CACHE_SWEEPER_H_
#define LARDER_SWEEPER_BLOB_CACHE_SWEEPER_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/mutex.h"
#include "cache/sweep_slice.h"
#include "sweeper/reports.h"
#include "sweeper/sweep_limit.h"

namespace larder::sweeper {

// Works in slices of at most 64 entries or 1 ms, each inside one epoch of the
// cache's lock: a snapshot holds a slice wholly or not at all, and no get waits
// for one.
//
// Thread-safe. Concurrent sweeps take turns slice by slice and share their
// progress. Borrows `cache` and `clock`, which must outlive it.
class BlobCacheSweeper {
 public:
  BlobCacheSweeper(cache::BlobCache* cache, const cache::Clock* clock)
      : cache_(cache), clock_(clock) {}

  // Removes what is expired, idle-dead or invalidated, from both tiers.
  //
  // Three phases (L1 due, L2 due, invalidated) get a slice in turn, also from
  // one call to the next. So bounded sweeps, repeated, complete a round of each
  // whatever their limit; the one that does reports no truncation. A sweep
  // without a limit runs a whole round of each from its start.
  //
  // Errors: what the cache's slices say; the other phases have then done their
  // work all the same.
  absl::StatusOr<SweepReport> SweepExpired(const SweepLimit& limit)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Reclaims chains that a crash left without a record. Repeated bounded calls
  // complete a round, as above.
  // Errors: kDataLoss when a damaged page hides what it references: then
  // nothing is reclaimed.
  absl::StatusOr<OrphanReport> ReclaimOrphans(const SweepLimit& limit);

  // Invalidates all of `ns`, durably against a process kill. O(1): what it
  // covers is removed by later sweeps.
  absl::StatusOr<NamespaceFlushReport> FlushNamespace(absl::string_view ns);

 private:
  static constexpr size_t kPhases = 3;
  using Rounds = std::array<uint64_t, kPhases>;

  // Where one call stands.
  struct Sweep {
    Rounds target{};  // Rounds after which a phase rests until the next call.
    std::array<bool, kPhases> failed{};
    absl::Status status;  // The first failure.
    SweepReport report;
  };

  Rounds TargetsOf(const SweepLimit& limit) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool Rests(size_t phase, const Sweep& sweep) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsComplete(const SweepLimit& limit, const Sweep& sweep) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RunSlice(cache::SliceLimit slice_limit, Sweep* sweep)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<cache::SliceReport> RunPhase(size_t phase,
                                              cache::SliceLimit slice_limit);

  cache::BlobCache* const cache_;
  const cache::Clock* const clock_;
  cache::Mutex mu_;  // Held for one slice at a time.
  size_t next_phase_ ABSL_GUARDED_BY(mu_) = 0;
  // Completed rounds of each phase.
  Rounds rounds_ ABSL_GUARDED_BY(mu_){};
  // The same when the bounded sweeps under way began theirs.
  Rounds bounded_base_ ABSL_GUARDED_BY(mu_){};
  // A phase's present round was begun by an earlier slice.
  std::array<bool, kPhases> in_round_ ABSL_GUARDED_BY(mu_){};
};

}  // namespace larder::sweeper

#endif  // LARDER_SWEEPER_BLOB_CACHE_SWEEPER_H_
