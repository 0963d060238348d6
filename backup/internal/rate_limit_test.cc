#include "backup/internal/rate_limit.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace larder::backup_internal {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(RateLimitTest, ZeroIsNone) {
  RateLimit limit(0);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(limit.Take(1 << 20, kSecond), 0);
}

TEST(RateLimitTest, WaitsForWhatWasSentBefore) {
  RateLimit limit(1000);
  EXPECT_EQ(limit.Take(500, kSecond), 0);
  EXPECT_EQ(limit.Take(250, kSecond), kSecond / 2);
  EXPECT_EQ(limit.Take(1000, kSecond + kSecond / 2), kSecond / 4);
  EXPECT_EQ(limit.Take(1, 10 * kSecond), 0);
}

TEST(RateLimitTest, IdleTimeIsNotMadeUpFor) {
  RateLimit limit(1000);
  EXPECT_EQ(limit.Take(1000, kSecond), 0);
  EXPECT_EQ(limit.Take(1000, 60 * kSecond), 0);
  EXPECT_EQ(limit.Take(1000, 60 * kSecond), kSecond);
}

}  // namespace
}  // namespace larder::backup_internal
