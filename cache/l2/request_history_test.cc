#include "cache/l2/request_history.h"

#include <gtest/gtest.h>

namespace larder::cache::l2 {
namespace {

TEST(RequestHistoryTest, AddsUpToItsMost) {
  RequestHistory history;
  constexpr uint64_t kHash = 0xABCD'EF01'2345'6789;
  EXPECT_EQ(history.Find(kHash), 0);
  EXPECT_EQ(history.Add(kHash, 1), 1);
  EXPECT_EQ(history.Add(kHash, 63), 64);
  EXPECT_EQ(history.Find(kHash), 64);
  for (int i = 0; i < 10; ++i) history.Add(kHash, 63);
  EXPECT_EQ(history.Find(kHash), 255);
}

TEST(RequestHistoryTest, ANewerKeyDisplaces) {
  RequestHistory history;
  constexpr uint64_t kFirst = 0x1111'1100'0000'0007;
  constexpr uint64_t kSecond = 0x2222'2200'0000'0007;
  history.Add(kFirst, 5);
  EXPECT_EQ(history.Find(kSecond), 0);
  EXPECT_EQ(history.Add(kSecond, 2), 2);
  EXPECT_EQ(history.Find(kFirst), 0);
}

}  // namespace
}  // namespace larder::cache::l2
