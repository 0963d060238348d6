#include "cache/hlc.h"

#include <cstdint>
#include <thread>
#include <vector>

#include "cache/clock.h"
#include "gtest/gtest.h"

namespace larder::cache {
namespace {

constexpr int64_t kNow = 1'700'000'000'000;

TEST(HlcTest, HoldsUnixMillis) {
  EXPECT_EQ(Hlc::FromUnixMillis(kNow).unix_millis(), kNow);
  constexpr int64_t kLast = (int64_t{1} << 48) - 1;  // The year 10889.
  EXPECT_EQ(Hlc::FromUnixMillis(kLast).unix_millis(), kLast);
  EXPECT_LT(Hlc{}, Hlc{1});
}

TEST(HlcClockTest, FollowsTheWallClock) {
  ManualClock clock(kNow);
  HlcClock hlc(&clock);
  EXPECT_EQ(hlc.Last(), Hlc{});
  EXPECT_EQ(hlc.Next(), Hlc::FromUnixMillis(kNow));
  clock.AdvanceMillis(5);
  EXPECT_EQ(hlc.Next(), Hlc::FromUnixMillis(kNow + 5));
  EXPECT_EQ(hlc.Last(), Hlc::FromUnixMillis(kNow + 5));
}

TEST(HlcClockTest, IncreasesWhileTheWallClockStandsOrStepsBack) {
  ManualClock clock(kNow);
  HlcClock hlc(&clock);
  const Hlc first = hlc.Next();
  EXPECT_EQ(hlc.Next().value, first.value + 1);
  clock.AdvanceMillis(-100'000);
  EXPECT_EQ(hlc.Next().value, first.value + 2);
  clock.AdvanceMillis(100'001);
  EXPECT_EQ(hlc.Next(), Hlc::FromUnixMillis(kNow + 1));
}

TEST(HlcClockTest, CounterOverflowsIntoTheMilliseconds) {
  ManualClock clock(kNow);
  HlcClock hlc(&clock);
  Hlc last = hlc.Next();
  for (int i = 0; i < 65'536; ++i) {
    const Hlc next = hlc.Next();
    ASSERT_GT(next, last);
    last = next;
  }
  EXPECT_EQ(last, Hlc::FromUnixMillis(kNow + 1));
}

TEST(HlcClockTest, NextIsGreaterThanWhatWasObserved) {
  ManualClock clock(kNow);
  HlcClock hlc(&clock);
  const Hlc future{Hlc::FromUnixMillis(kNow + 3'600'000).value + 7};
  hlc.Observe(future);
  EXPECT_EQ(hlc.Last(), future);
  EXPECT_EQ(hlc.Next().value, future.value + 1);
  hlc.Observe(Hlc{1});
  EXPECT_EQ(hlc.Next().value, future.value + 2);
}

TEST(HlcClockTest, ThreadsNeverShareAValue) {
  ManualClock clock(kNow);
  HlcClock hlc(&clock);
  constexpr int kThreads = 4;
  constexpr uint64_t kEach = 20'000;
  std::vector<uint64_t> seen(kThreads * kEach);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      Hlc last;
      for (uint64_t i = 0; i < kEach; ++i) {
        const Hlc next = hlc.Next();
        ASSERT_GT(next, last);
        last = next;
        // Distinct and dense: each slot is written by one thread only.
        ++seen.at(next.value - Hlc::FromUnixMillis(kNow).value);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(seen, std::vector<uint64_t>(kThreads * kEach, 1));
}

}  // namespace
}  // namespace larder::cache
