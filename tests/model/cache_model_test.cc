// Random operations on one cache, held against a plain map: reopened, killed
// and cut off the power at random I/O operations, backed up, and continued from
// restored backups, at every durability, with room to spare and with hardly
// any.
//
// LARDER_SEED, LARDER_RUNS, LARDER_OPERATIONS: how many runs of how many
// operations. A run follows from its seed. One that fails is shrunk to the
// operations that it needs; LARDER_REPLAY=FILE runs what was saved of it.
#include <gtest/gtest.h>

#include "tests/model/model_run.h"

namespace larder::tests {
namespace {

constexpr int64_t kRuns = 2;
constexpr int64_t kOperations = 10'000;

TEST(CacheModelTest, WithRoom) {
  RunModelTest({.evicting = false, .runs = kRuns, .operations = kOperations});
  EXPECT_FALSE(HasFailure());
}

TEST(CacheModelTest, WithHardlyAnyRoom) {
  RunModelTest({.evicting = true, .runs = kRuns, .operations = kOperations});
  EXPECT_FALSE(HasFailure());
}

}  // namespace
}  // namespace larder::tests
