// Sweeps a blob cache at intervals, in a thread of its own.
#ifndef LARDER_SWEEPER_BACKGROUND_SWEEPER_H_
#define LARDER_SWEEPER_BACKGROUND_SWEEPER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "cache/mutex.h"
#include "sweeper/blob_cache_sweeper.h"
#include "sweeper/reports.h"
#include "sweeper/sweep_limit.h"
#include "sweeper/sweep_pacing.h"

namespace larder::sweeper {

// Thread-safe. Runs from construction to Stop(). Borrows `sweeper`.
class BackgroundSweeper {
 public:
  struct Options {
    int64_t interval_ms = 1000;  // From the end of a sweep to the next.
    // Of one sweep at scale 1; `stop` is not used.
    SweepLimit limit = {.entries = 10'000, .millis = 20};
    // Else the first sweep comes after one interval.
    bool sweep_on_startup = true;
    // Also reclaims, by the same limit, what a crash left: one round.
    bool reclaim_orphans_on_startup = true;
    PacingOptions pacing = PacingOptions();
    // The p99 of the foreground's calls, lately, in microseconds; 0: not
    // known. Called before each sweep, from the thread. Null: never known.
    std::function<int64_t()> foreground_p99_micros = nullptr;
  };

  // A copy for status pages and metrics.
  struct State {
    int64_t sweeps = 0;
    int64_t failures = 0;
    absl::Status last_status;  // Of the newest sweep.
    SweepReport last_report;   // Of the newest that succeeded.
    int32_t scale_log2 = 0;    // Of the limit; see PacingOptions.
    int64_t orphan_bytes_reclaimed = 0;
    bool orphans_done = false;  // The round since startup is complete.
  };

  BackgroundSweeper(BlobCacheSweeper* sweeper, Options options);
  ~BackgroundSweeper() { Stop(); }

  // Sweeps now rather than when the interval ends.
  void Wake() ABSL_LOCKS_EXCLUDED(mu_);

  // Ends a sweep under way within one slice, and the thread. Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  State state() const ABSL_LOCKS_EXCLUDED(mu_);

  // Waits until at least `sweeps` have ended.
  void WaitForSweepsForTest(int64_t sweeps) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  // Waits for interval, wake or stop. Returns: false when to stop.
  bool AwaitTurn() ABSL_LOCKS_EXCLUDED(mu_);
  void SweepOnce() ABSL_LOCKS_EXCLUDED(mu_);
  void ReclaimOrphansOnce() ABSL_LOCKS_EXCLUDED(mu_);
  SweepLimit LimitAt(int32_t scale_log2) const;

  BlobCacheSweeper* const sweeper_;
  const Options options_;
  std::atomic<bool> stop_{false};  // Set under mu_; sweeps read it without.
  mutable cache::Mutex mu_;
  std::condition_variable_any changed_;
  bool wake_ ABSL_GUARDED_BY(mu_) = false;
  State state_ ABSL_GUARDED_BY(mu_);
  cache::Mutex join_mu_;  // Two stops join once.
  std::thread thread_;    // Last: starts when all else is there.
};

}  // namespace larder::sweeper

#endif  // LARDER_SWEEPER_BACKGROUND_SWEEPER_H_
