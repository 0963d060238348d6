#include "sweeper/sweep_pacing.h"

#include <cstdint>
#include <limits>

#include "gtest/gtest.h"
#include "sweeper/sweep_limit.h"

namespace larder::sweeper {
namespace {

constexpr PacingOptions kOptions = {.p99_micros_max = 100, .debt_high = 1000};

TEST(SweepPacingTest, DoublesWhileWorkIsLeftAndTheForegroundIsFine) {
  EXPECT_EQ(NextScaleLog2(kOptions, {.p99_micros = 100, .debt = 1}), 1);
  EXPECT_EQ(NextScaleLog2(kOptions, {.p99_micros = 0, .truncated = true}), 1);
  EXPECT_EQ(NextScaleLog2(kOptions, {.scale_log2 = 3, .debt = 5000}), 4);
}

TEST(SweepPacingTest, GivesWayToTheForegroundUnlessTheDebtIsHigh) {
  EXPECT_EQ(NextScaleLog2(kOptions, {.p99_micros = 101}), -1);
  EXPECT_EQ(NextScaleLog2(kOptions, {.p99_micros = 101, .debt = 999}), -1);
  EXPECT_EQ(NextScaleLog2(kOptions,
                          {.scale_log2 = 2, .p99_micros = 101, .debt = 1000}),
            2);
}

TEST(SweepPacingTest, WithoutALimitOfTheP99ItNeverGivesWay) {
  EXPECT_EQ(NextScaleLog2({}, {.p99_micros = 1'000'000, .truncated = true}), 1);
}

TEST(SweepPacingTest, ReturnsToOneWhenNoWorkIsLeft) {
  EXPECT_EQ(NextScaleLog2(kOptions, {.scale_log2 = 4}), 3);
  EXPECT_EQ(NextScaleLog2(kOptions, {.scale_log2 = -2}), -1);
  EXPECT_EQ(NextScaleLog2(kOptions, {.scale_log2 = 0}), 0);
}

TEST(SweepPacingTest, StaysWithinItsBounds) {
  PacingInput busy = {.truncated = true};
  PacingInput suffering = {.p99_micros = 1000};
  for (int i = 0; i < 20; ++i) {
    busy.scale_log2 = NextScaleLog2(kOptions, busy);
    suffering.scale_log2 = NextScaleLog2(kOptions, suffering);
  }
  EXPECT_EQ(busy.scale_log2, kOptions.scale_log2_max);
  EXPECT_EQ(suffering.scale_log2, kOptions.scale_log2_min);
}

TEST(SweepPacingTest, ScalesWhatIsBoundedAndKeepsItWorking) {
  const SweepLimit limit = {.entries = 100, .millis = 3};
  EXPECT_EQ(ScaledLimit(limit, 2).entries, 400);
  EXPECT_EQ(ScaledLimit(limit, 2).millis, 12);
  EXPECT_EQ(ScaledLimit(limit, -4).entries, 6);
  EXPECT_EQ(ScaledLimit(limit, -4).millis, 1);
  EXPECT_EQ(ScaledLimit({.entries = 0}, 3).entries, 0);
  EXPECT_FALSE(ScaledLimit({}, 3).bounded());
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(ScaledLimit({.entries = kMost / 2}, 2).entries, kMost);
}

}  // namespace
}  // namespace larder::sweeper
