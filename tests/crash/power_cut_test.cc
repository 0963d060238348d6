// Cuts the power after every I/O operation of a workload, or after some where
// that takes long: power_cut_long_test does all.
//
// Replay of one cut: LARDER_FIRST=N LARDER_CUTS=1; LARDER_SEED says what of the
// unsynced writes survives.
#include "tests/crash/power_cut.h"

#include <gtest/gtest.h>

#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

using cache::Durability;

TEST(PowerCutTest, AfterEveryOperation) {
  EXPECT_GT(
      CutPowerAtEach({.durability = Durability::kInterval}, {}, SeedOr(1)), 0);
}

TEST(PowerCutTest, AfterOperationsOfGroupCommits) {
  EXPECT_GT(CutPowerAtEach({.durability = Durability::kEveryPut}, {.stride = 3},
                           SeedOr(1)),
            0);
}

TEST(PowerCutTest, WhileEvicting) {
  EXPECT_GT(
      CutPowerAtEach({.durability = Durability::kInterval, .evicting = true},
                     {.stride = 17}, SeedOr(1)),
      0);
}

}  // namespace
}  // namespace larder::tests
