#include "cache/l2/key_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"

namespace larder::cache::l2 {
namespace {

std::vector<uint32_t> PlainOrder(const std::vector<absl::string_view>& keys) {
  std::vector<uint32_t> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return keys[a] < keys[b]; });
  return order;
}

TEST(KeyOrderTest, FewKeys) {
  EXPECT_TRUE(KeyOrder({}).empty());
  const std::vector<absl::string_view> keys = {"b", "", "a", "b", ""};
  EXPECT_EQ(KeyOrder(keys), (std::vector<uint32_t>{1, 4, 2, 0, 3}));
  const std::vector<absl::string_view> same(3, "same");
  EXPECT_EQ(KeyOrder(same), (std::vector<uint32_t>{0, 1, 2}));
}

// With and without what all share; with tails that heads cannot tell apart;
// with zeros, which heads are padded with.
TEST(KeyOrderTest, AgreesWithAPlainSort) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 500; ++round) {
    const std::string prefix(random() % 20, 'p');
    std::vector<std::string> owned;
    for (int n = static_cast<int>(random() % 200); n > 0; --n) {
      std::string key = prefix;
      for (int k = static_cast<int>(random() % 14); k > 0; --k) {
        key += "\0ab\xff"[random() % 4];
      }
      owned.push_back(key);
    }
    if (random() % 4 == 0) std::sort(owned.begin(), owned.end());
    const std::vector<absl::string_view> keys(owned.begin(), owned.end());
    ASSERT_EQ(KeyOrder(keys), PlainOrder(keys)) << "round " << round;
  }
}

}  // namespace
}  // namespace larder::cache::l2
