#include "sweeper/background_sweeper.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/options.h"
#include "cache/policy.h"
#include "gtest/gtest.h"
#include "sweeper/blob_cache_sweeper.h"

namespace larder::sweeper {
namespace {

using cache::BlobCache;
using cache::BlobCacheOptions;

// So long that no test sees it end.
constexpr int64_t kNeverMs = 1'000'000'000;

class BackgroundSweeperTest : public testing::Test {
 protected:
  void SetUp() override { Open(); }

  void Open() {
    BlobCacheOptions options;
    options.l2_path = "/l2";
    options.l2_bytes_max = 64 << 20;
    options.background_commits = false;
    options.clock = &clock_;
    options.file_system = &disk_;
    auto opened = BlobCache::Open(std::move(options));
    ASSERT_TRUE(opened.ok()) << opened.status();
    cache_ = *std::move(opened);
    sweeper_ = std::make_unique<BlobCacheSweeper>(cache_.get(), &clock_);
  }

  void PutDue(int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(
          cache_->Put("ns", absl::StrCat(i), "bytes", {.ttl_ms = 1}).ok());
    }
    ASSERT_TRUE(cache_->Flush().ok());
    clock_.AdvanceMillis(1);
  }

  cache::ManualClock clock_{1'700'000'000'000};
  cache::l2::SimulatedDisk disk_;
  std::unique_ptr<BlobCache> cache_;
  std::unique_ptr<BlobCacheSweeper> sweeper_;
};

TEST_F(BackgroundSweeperTest, SweepsOnStartup) {
  PutDue(100);
  BackgroundSweeper background(sweeper_.get(), {.interval_ms = kNeverMs});
  background.WaitForSweepsForTest(1);
  background.Stop();
  EXPECT_EQ(cache_->Stats().l1.entries, 0);
  EXPECT_GE(background.state().last_report.entries_evicted, 100);
  EXPECT_TRUE(background.state().last_status.ok());
  EXPECT_TRUE(background.state().orphans_done);
}

TEST_F(BackgroundSweeperTest, OtherwiseSweepsAfterAnIntervalOrWhenWoken) {
  PutDue(10);
  BackgroundSweeper background(
      sweeper_.get(), {.interval_ms = kNeverMs, .sweep_on_startup = false});
  EXPECT_EQ(background.state().sweeps, 0);
  background.Wake();
  background.WaitForSweepsForTest(1);
  EXPECT_EQ(cache_->Stats().l1.entries, 0);
}

TEST_F(BackgroundSweeperTest, SweepsAgainAtEachInterval) {
  BackgroundSweeper background(sweeper_.get(), {.interval_ms = 1});
  background.WaitForSweepsForTest(5);
  EXPECT_GE(background.state().sweeps, 5);
}

TEST_F(BackgroundSweeperTest, StopsAtOnceAndTwice) {
  BackgroundSweeper background(sweeper_.get(), {.interval_ms = kNeverMs});
  background.Stop();
  const int64_t sweeps = background.state().sweeps;
  EXPECT_LE(sweeps, 1);
  background.Wake();
  background.Stop();
  EXPECT_EQ(background.state().sweeps, sweeps);
}

TEST_F(BackgroundSweeperTest, TruncatedSweepsGrowUntilTheWorkIsDone) {
  PutDue(500);
  BackgroundSweeper background(
      sweeper_.get(), {.interval_ms = kNeverMs, .limit = {.entries = 10}});
  int64_t sweeps = 1;
  for (;; ++sweeps) {
    background.WaitForSweepsForTest(sweeps);
    const BackgroundSweeper::State state = background.state();
    if (!state.last_report.truncated_due_to_limit) break;
    EXPECT_EQ(state.scale_log2, std::min<int64_t>(sweeps - 1, 6));
    ASSERT_LT(sweeps, 50);
    background.Wake();
  }
  // Ten times 1, 2, 4, ...: far fewer sweeps than fifty.
  EXPECT_LT(sweeps, 12);
  EXPECT_EQ(cache_->Stats().l1.entries, 0);
}

TEST_F(BackgroundSweeperTest, GivesWayToASufferingForeground) {
  PutDue(500);
  std::atomic<int64_t> p99{1000};
  BackgroundSweeper background(
      sweeper_.get(), {.interval_ms = kNeverMs,
                       .limit = {.entries = 64},
                       .pacing = {.p99_micros_max = 100},
                       .foreground_p99_micros = [&] { return p99.load(); }});
  background.WaitForSweepsForTest(1);
  EXPECT_EQ(background.state().scale_log2, -1);
  EXPECT_LE(background.state().last_report.entries_scanned, 32);
  background.Wake();
  background.WaitForSweepsForTest(2);
  EXPECT_EQ(background.state().scale_log2, -2);
  p99 = 50;
  background.Wake();
  background.WaitForSweepsForTest(3);
  EXPECT_EQ(background.state().scale_log2, -1);
}

TEST_F(BackgroundSweeperTest, ReclaimsWhatACrashLeft) {
  std::mt19937 random(1);
  std::string bytes(100'000, '\0');  // Of a chain, so incompressible.
  for (char& c : bytes) c = static_cast<char>(random());
  ASSERT_TRUE(cache_->Put("ns", "lost", bytes, {}).ok());
  disk_.KillProcess();
  cache_.reset();
  Open();
  BackgroundSweeper background(sweeper_.get(), {.interval_ms = kNeverMs});
  background.WaitForSweepsForTest(1);
  EXPECT_TRUE(background.state().orphans_done);
  EXPECT_GT(background.state().orphan_bytes_reclaimed, 100'000);
}

TEST_F(BackgroundSweeperTest, AFailureIsCountedAndTheNextSweepIsTried) {
  disk_.SetFaultScript([](const cache::l2::SimulatedDisk::Operation& o) {
    return o.kind == cache::l2::SimulatedDisk::OperationKind::kSync
               ? cache::l2::SimulatedDisk::Fault::Fail(EIO)
               : cache::l2::SimulatedDisk::Fault();
  });
  ASSERT_TRUE(cache_->Put("ns", "key", "bytes", {}).ok());
  ASSERT_FALSE(cache_->Flush().ok());
  BackgroundSweeper background(
      sweeper_.get(),
      {.interval_ms = kNeverMs, .reclaim_orphans_on_startup = false});
  background.WaitForSweepsForTest(1);
  background.Wake();
  background.WaitForSweepsForTest(2);
  EXPECT_EQ(background.state().failures, 2);
  EXPECT_FALSE(background.state().last_status.ok());
}

}  // namespace
}  // namespace larder::sweeper
