// The same as cache_model_test, in runs of 100,000 operations.
#include <gtest/gtest.h>

#include "tests/model/model_run.h"

namespace larder::tests {
namespace {

constexpr int64_t kRuns = 1;
constexpr int64_t kOperations = 100'000;

TEST(CacheModelLongTest, WithRoom) {
  RunModelTest({.evicting = false, .runs = kRuns, .operations = kOperations});
  EXPECT_FALSE(HasFailure());
}

TEST(CacheModelLongTest, WithHardlyAnyRoom) {
  RunModelTest({.evicting = true, .runs = kRuns, .operations = kOperations});
  EXPECT_FALSE(HasFailure());
}

}  // namespace
}  // namespace larder::tests
