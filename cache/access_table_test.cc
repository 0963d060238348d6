#include "cache/access_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace larder::cache {
namespace {

constexpr int64_t kNow = 1'700'000'000'000;
// The same slot, another key.
constexpr uint64_t kHash = 0x1234'0000'0000'0005;
constexpr uint64_t kOther = 0x4321'0000'0000'0005;

TEST(AccessTableTest, KnowsWhenAndHowOften) {
  AccessTable table;
  EXPECT_EQ(table.LastAccess(kHash), 0);
  EXPECT_EQ(table.TakeReads(kHash), 0);
  // Within one millisecond, too.
  for (int i = 0; i < 3; ++i) table.Note(kHash, kNow);
  EXPECT_EQ(table.LastAccess(kHash), kNow);
  EXPECT_EQ(table.TakeReads(kHash), 3);
}

TEST(AccessTableTest, TakingReadsLeavesTheTime) {
  AccessTable table;
  table.Note(kHash, kNow);
  EXPECT_EQ(table.TakeReads(kHash), 1);
  EXPECT_EQ(table.TakeReads(kHash), 0);
  EXPECT_EQ(table.LastAccess(kHash), kNow);
  table.Note(kHash, kNow + 5);
  EXPECT_EQ(table.TakeReads(kHash), 1);
  EXPECT_EQ(table.LastAccess(kHash), kNow + 5);
}

TEST(AccessTableTest, CountsUpToItsMost) {
  AccessTable table;
  for (int i = 0; i < 1000; ++i) table.Note(kHash, kNow + i);
  EXPECT_EQ(table.TakeReads(kHash), AccessTable::kReadsMax);
  EXPECT_EQ(table.LastAccess(kHash), kNow + 999);
}

TEST(AccessTableTest, ANewerKeyDisplaces) {
  AccessTable table;
  table.Note(kHash, kNow);
  table.Note(kHash, kNow);
  table.Note(kOther, kNow + 1);
  EXPECT_EQ(table.LastAccess(kHash), 0);
  EXPECT_EQ(table.TakeReads(kHash), 0);
  EXPECT_EQ(table.TakeReads(kOther), 1);
  EXPECT_EQ(table.LastAccess(kOther), kNow + 1);
}

TEST(AccessTableTest, ReadersAndTheEvictorMeet) {
  AccessTable table;
  std::atomic<int> running{2};
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) table.Note(kHash, kNow);
      --running;
    });
  }
  while (running > 0) {
    EXPECT_LE(table.TakeReads(kHash), AccessTable::kReadsMax);
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(table.LastAccess(kHash), kNow);
}

}  // namespace
}  // namespace larder::cache
