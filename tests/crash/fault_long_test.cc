// Makes every single I/O operation of each workload fail, in every way that an
// operation fails, with the power cut behind some and behind the others.
//
// Replay of one fault: LARDER_FIRST=N LARDER_FAULTS=1 LARDER_SEED=S, with
// --gtest_filter of one slice.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>

#include "tests/crash/faults.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

using cache::Durability;
using Fault = cache::l2::SimulatedDisk::Fault;

constexpr uint64_t kSlices = 16;
constexpr uint64_t kSeeds = 2;

// The operations of which the number leaves this remainder.
class FaultLongTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  void FailEach(Script::Options options, Fault fault) {
    const uint64_t first_seed = SeedOr(1);
    for (uint64_t seed = first_seed; seed < first_seed + kSeeds; ++seed) {
      SCOPED_TRACE(::testing::Message() << "LARDER_SEED=" << seed);
      EXPECT_GT(FailAtEach(options, fault,
                           {.first = GetParam(), .stride = kSlices}, seed),
                0);
      if (HasFailure()) return;
    }
  }
};

TEST_P(FaultLongTest, Eio) { FailEach({}, Fault::Fail(EIO)); }

TEST_P(FaultLongTest, Enospc) { FailEach({}, Fault::Fail(ENOSPC)); }

TEST_P(FaultLongTest, ShortWrites) {
  FailEach({}, Fault::ShortWrite(700, ENOSPC));
}

TEST_P(FaultLongTest, EioAtEveryPut) {
  FailEach({.durability = Durability::kEveryPut}, Fault::Fail(EIO));
}

TEST_P(FaultLongTest, EnospcAtEveryPut) {
  FailEach({.durability = Durability::kEveryPut}, Fault::Fail(ENOSPC));
}

TEST_P(FaultLongTest, EioWhileEvicting) {
  FailEach({.evicting = true}, Fault::Fail(EIO));
}

TEST_P(FaultLongTest, EnospcWhileEvicting) {
  FailEach({.evicting = true}, Fault::Fail(ENOSPC));
}

INSTANTIATE_TEST_SUITE_P(Slices, FaultLongTest,
                         ::testing::Range(uint64_t{0}, kSlices));

}  // namespace
}  // namespace larder::tests
