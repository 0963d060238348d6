#include "tests/support/shrink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

constexpr int64_t kPlenty = 1'000'000'000;

bool HasAll(const Selection& selection, const Selection& needed) {
  return std::includes(selection.begin(), selection.end(), needed.begin(),
                       needed.end());
}

TEST(ShrinkTest, FindsExactlyWhatIsNeeded) {
  std::mt19937_64 random(SeedOr(1));
  for (int round = 0; round < 200; ++round) {
    const size_t size = 1 + random() % 3000;
    Selection needed;
    for (uint64_t left = 1 + random() % 6; left > 0; --left) {
      needed.push_back(random() % size);
    }
    std::sort(needed.begin(), needed.end());
    needed.erase(std::unique(needed.begin(), needed.end()), needed.end());
    SCOPED_TRACE(absl::StrCat("round ", round, ", size ", size));
    EXPECT_THAT(
        ShrinkList(size, kPlenty,
                   [&](const Selection& s) { return HasAll(s, needed); }),
        ElementsAreArray(needed));
  }
}

TEST(ShrinkTest, NoItemCanGoAlsoWhenOthersExcludeEachOther) {
  // Fails with an even number of the upper half, at least 4 of them: chunks of
  // odd length never go.
  const auto fails = [](const Selection& s) {
    const auto upper =
        std::count_if(s.begin(), s.end(), [](size_t i) { return i >= 50; });
    return upper >= 4 && upper % 2 == 0;
  };
  const Selection shrunk = ShrinkList(100, kPlenty, fails);
  ASSERT_TRUE(fails(shrunk));
  for (size_t i = 0; i < shrunk.size(); ++i) {
    Selection without = shrunk;
    without.erase(without.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_FALSE(fails(without)) << i;
  }
}

TEST(ShrinkTest, AFailureNearTheEndCostsLittle) {
  int64_t tried = 0;
  const Selection shrunk =
      ShrinkList(100'000, kPlenty, [&](const Selection& s) {
        tried += static_cast<int64_t>(s.size());
        return HasAll(s, {99'990, 99'999});
      });
  EXPECT_THAT(shrunk, ElementsAre(99'990, 99'999));
  EXPECT_LT(tried, 200);
}

TEST(ShrinkTest, KeepsToItsBudget) {
  for (const int64_t items_max : {0, 10, 1000, 5000, 20'000}) {
    int64_t tried = 0;
    const Selection shrunk =
        ShrinkList(2000, items_max, [&](const Selection& s) {
          tried += static_cast<int64_t>(s.size());
          return HasAll(s, {0, 1000, 1999});
        });
    EXPECT_LE(tried, items_max);
    EXPECT_TRUE(HasAll(shrunk, {0, 1000, 1999}));
    EXPECT_EQ(shrunk.size() < 2000, items_max >= 20'000) << items_max;
  }
}

TEST(ShrinkTest, WhatAlwaysFailsNeedsNothing) {
  EXPECT_THAT(ShrinkList(77, kPlenty, [](const Selection&) { return true; }),
              IsEmpty());
  EXPECT_THAT(ShrinkList(0, kPlenty, [](const Selection&) { return true; }),
              IsEmpty());
}

}  // namespace
}  // namespace larder::tests
