#include "cache/l2/eviction_clock.h"

#include <gtest/gtest.h>

#include <vector>

#include "cache/l2/record.h"

namespace larder::cache::l2 {
namespace {

// How far above the clock a record ranks.
uint64_t WorthOf(const Worth& worth) {
  EvictionClock clock;
  return clock.Rank(worth) - kRankMin;
}

TEST(EvictionClockTest, EqualsStayInOrder) {
  EvictionClock clock;
  uint64_t last = 0;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t rank = clock.Rank({.requests = 3, .disk_bytes = 20'000});
    EXPECT_GT(rank, last);
    EXPECT_GT(rank, kRankMin);
    last = rank;
  }
}

TEST(EvictionClockTest, RequestsSizeAndPriorityWeigh) {
  const uint64_t base = WorthOf({.requests = 1, .disk_bytes = 16'384});
  // To the power of 3/4: 16 times the requests per byte are worth 8 times.
  EXPECT_EQ(WorthOf({.requests = 16, .disk_bytes = 16'384}), 8 * base);
  EXPECT_EQ(WorthOf({.requests = 1, .disk_bytes = 1024}), 8 * base);
  EXPECT_EQ(WorthOf({.disk_bytes = 16'384, .priority = 144}), 2 * base);
  EXPECT_EQ(WorthOf({.disk_bytes = 16'384, .priority = 112}), base / 2);
}

TEST(EvictionClockTest, RequestsCountUpToTheirMost) {
  EXPECT_EQ(WorthOf({.requests = EvictionClock::kRequestsMax, .disk_bytes = 1}),
            WorthOf({.requests = 1'000'000, .disk_bytes = 1}));
  EXPECT_EQ(WorthOf({.requests = 0, .disk_bytes = 4096}),
            WorthOf({.requests = 1, .disk_bytes = 4096}));
}

TEST(EvictionClockTest, TheExtremesAreInOrder) {
  std::vector<uint64_t> worths = {
      WorthOf({.disk_bytes = uint64_t{4} << 30, .priority = 0}),
      WorthOf({.disk_bytes = uint64_t{4} << 30}),
      WorthOf({.disk_bytes = 1 << 20}),
      WorthOf({.disk_bytes = 200}),
      WorthOf({.requests = 63, .disk_bytes = 200}),
      WorthOf({.requests = 63, .disk_bytes = 200, .priority = 255}),
  };
  EXPECT_GT(worths.front(), 0);
  for (size_t i = 1; i < worths.size(); ++i) {
    EXPECT_GT(worths[i], worths[i - 1]) << i;
  }
  // Room for the clock to go on for long.
  EXPECT_LT(worths.back(), UINT64_MAX >> 16);
}

TEST(EvictionClockTest, WhatIsNotReadIsOvertaken) {
  EvictionClock clock;
  const uint64_t hot = clock.Rank({.requests = 63, .disk_bytes = 16'384});
  int turnovers = 0;
  for (uint64_t cold = 0; cold < hot; ++turnovers) {
    cold = clock.Rank({.requests = 1, .disk_bytes = 16'384});
    clock.RaiseTo(cold);
  }
  EXPECT_GE(turnovers, 21);
  EXPECT_LE(turnovers, 24);
}

TEST(EvictionClockTest, NeverGoesBack) {
  EvictionClock clock;
  clock.RaiseTo(kRankMin + 1000);
  clock.RaiseTo(kRankMin + 10);
  clock.RaiseTo(5);  // An HLC.
  EXPECT_GT(clock.Rank({.disk_bytes = 1}), kRankMin + 1000);
}

TEST(EvictionClockTest, StopsBeforeRanksEnd) {
  EvictionClock clock;
  clock.RaiseTo(UINT64_MAX);
  const uint64_t small = clock.Rank({.requests = 63, .disk_bytes = 1});
  const uint64_t large = clock.Rank({.disk_bytes = uint64_t{4} << 30});
  EXPECT_LT(large, small);
  EXPECT_GT(large, kRankMin);
}

}  // namespace
}  // namespace larder::cache::l2
