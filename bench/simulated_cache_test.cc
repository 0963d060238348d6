#include "bench/simulated_cache.h"

#include "gtest/gtest.h"

namespace larder::bench {
namespace {

using Policy = SimulatedCache::Policy;

// What is left of keys 0 to 3, 10 bytes each, in room for three, when 0 is
// read before 3 comes.
std::vector<bool> WhatIsLeft(Policy policy) {
  SimulatedCache cache(policy, 35, 4);
  for (const int64_t key : {0, 1, 2}) cache.Put(key, 10);
  EXPECT_TRUE(cache.Get(0));
  cache.Put(3, 10);
  EXPECT_EQ(cache.bytes(), 30);
  return {cache.Get(0), cache.Get(1), cache.Get(2), cache.Get(3)};
}

TEST(SimulatedCacheTest, FifoForgetsReads) {
  EXPECT_EQ(WhatIsLeft(Policy::kFifo),
            (std::vector<bool>{false, true, true, true}));
}

TEST(SimulatedCacheTest, LruKeepsWhatWasRead) {
  EXPECT_EQ(WhatIsLeft(Policy::kLru),
            (std::vector<bool>{true, false, true, true}));
}

TEST(SimulatedCacheTest, LargeOnesPushOutManyAndTooLargeOnesNone) {
  SimulatedCache cache(Policy::kLru, 30, 5);
  for (const int64_t key : {0, 1, 2}) cache.Put(key, 10);
  cache.Put(3, 31);
  EXPECT_FALSE(cache.Get(3));
  EXPECT_EQ(cache.bytes(), 30);
  cache.Put(4, 15);
  EXPECT_FALSE(cache.Get(0));
  EXPECT_FALSE(cache.Get(1));
  EXPECT_TRUE(cache.Get(2));
  EXPECT_EQ(cache.bytes(), 25);
}

TEST(SimulatedCacheTest, RatiosCountObjectsAndBytes) {
  const Trace trace{"t", {{0, 10}, {1, 30}, {0, 10}, {1, 30}, {1, 30}}, 2};
  HitRatio ratio = SimulatedHitRatio(Policy::kLru, trace, 40, 0);
  EXPECT_DOUBLE_EQ(ratio.objects, 3.0 / 5);
  EXPECT_DOUBLE_EQ(ratio.bytes, 70.0 / 110);
  // Their overhead counts: now there is room for one at a time.
  ratio = SimulatedHitRatio(Policy::kLru, trace, 40, 1);
  EXPECT_DOUBLE_EQ(ratio.objects, 1.0 / 5);
}

}  // namespace
}  // namespace larder::bench
