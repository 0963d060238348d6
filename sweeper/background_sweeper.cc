#include "sweeper/background_sweeper.h"

#include <chrono>
#include <utility>

#include "absl/status/statusor.h"

namespace larder::sweeper {

BackgroundSweeper::BackgroundSweeper(BlobCacheSweeper* sweeper, Options options)
    : sweeper_(sweeper),
      options_(std::move(options)),
      thread_([this] { Run(); }) {}

void BackgroundSweeper::Wake() {
  cache::MutexLock lock(&mu_);
  wake_ = true;
  changed_.notify_all();
}

void BackgroundSweeper::Stop() {
  {
    cache::MutexLock lock(&mu_);
    stop_ = true;
    changed_.notify_all();
  }
  cache::MutexLock lock(&join_mu_);
  if (thread_.joinable()) thread_.join();
}

BackgroundSweeper::State BackgroundSweeper::state() const {
  cache::MutexLock lock(&mu_);
  return state_;
}

void BackgroundSweeper::WaitForSweepsForTest(int64_t sweeps) {
  cache::MutexLock lock(&mu_);
  while (state_.sweeps < sweeps) changed_.wait(mu_);
}

void BackgroundSweeper::Run() {
  bool now = options_.sweep_on_startup;
  while (now ? !stop_ : AwaitTurn()) {
    now = false;
    if (options_.reclaim_orphans_on_startup) ReclaimOrphansOnce();
    SweepOnce();
  }
}

bool BackgroundSweeper::AwaitTurn() {
  const auto turn = std::chrono::steady_clock::now() +
                    std::chrono::milliseconds(options_.interval_ms);
  cache::MutexLock lock(&mu_);
  while (!stop_ && !wake_) {
    if (changed_.wait_until(mu_, turn) == std::cv_status::timeout) break;
  }
  wake_ = false;
  return !stop_;
}

SweepLimit BackgroundSweeper::LimitAt(int32_t scale_log2) const {
  SweepLimit limit = ScaledLimit(options_.limit, scale_log2);
  limit.stop = &stop_;
  return limit;
}

// The scale that the last sweep left is corrected by what the foreground shows
// now, before it is used.
void BackgroundSweeper::SweepOnce() {
  PacingInput input;
  if (options_.foreground_p99_micros != nullptr) {
    input.p99_micros = options_.foreground_p99_micros();
  }
  {
    cache::MutexLock lock(&mu_);
    input.scale_log2 = state_.scale_log2;
    input.debt = state_.last_report.remaining_debt;
    input.truncated = state_.last_report.truncated_due_to_limit;
  }
  const int32_t scale_log2 = NextScaleLog2(options_.pacing, input);
  absl::StatusOr<SweepReport> report =
      sweeper_->SweepExpired(LimitAt(scale_log2));

  cache::MutexLock lock(&mu_);
  ++state_.sweeps;
  state_.scale_log2 = scale_log2;
  state_.last_status = report.status();
  if (report.ok()) {
    state_.last_report = *std::move(report);
  } else {
    ++state_.failures;
  }
  changed_.notify_all();
}

void BackgroundSweeper::ReclaimOrphansOnce() {
  int32_t scale_log2;
  {
    cache::MutexLock lock(&mu_);
    if (state_.orphans_done) return;
    scale_log2 = state_.scale_log2;
  }
  const absl::StatusOr<OrphanReport> report =
      sweeper_->ReclaimOrphans(LimitAt(scale_log2));
  cache::MutexLock lock(&mu_);
  if (!report.ok()) {
    ++state_.failures;
    return;
  }
  state_.orphan_bytes_reclaimed += report->bytes_reclaimed;
  state_.orphans_done = !report->truncated_due_to_limit;
}

}  // namespace larder::sweeper
