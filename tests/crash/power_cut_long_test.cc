// Cuts the power after every I/O operation of each workload, with more than one
// outcome of each cut.
//
// Replay of one cut: LARDER_FIRST=N LARDER_CUTS=1 LARDER_SEED=S, with
// --gtest_filter of one slice.
#include <gtest/gtest.h>

#include <cstdint>

#include "tests/crash/power_cut.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

using cache::Durability;

constexpr uint64_t kSlices = 16;
constexpr uint64_t kSeeds = 2;

// The operations of which the number leaves this remainder.
class PowerCutLongTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  void CutEach(Script::Options options) {
    const uint64_t first_seed = SeedOr(1);
    for (uint64_t seed = first_seed; seed < first_seed + kSeeds; ++seed) {
      SCOPED_TRACE(::testing::Message() << "LARDER_SEED=" << seed);
      EXPECT_GT(CutPowerAtEach(options,
                               {.first = GetParam(), .stride = kSlices}, seed),
                0);
      if (HasFailure()) return;
    }
  }
};

TEST_P(PowerCutLongTest, Interval) {
  CutEach({.durability = Durability::kInterval});
}

TEST_P(PowerCutLongTest, GroupCommits) {
  CutEach({.durability = Durability::kEveryPut});
}

TEST_P(PowerCutLongTest, WhileEvicting) {
  CutEach({.durability = Durability::kInterval, .evicting = true});
}

TEST_P(PowerCutLongTest, WhileEvictingInGroupCommits) {
  CutEach({.durability = Durability::kEveryPut, .evicting = true});
}

INSTANTIATE_TEST_SUITE_P(Slices, PowerCutLongTest,
                         ::testing::Range(uint64_t{0}, kSlices));

}  // namespace
}  // namespace larder::tests
