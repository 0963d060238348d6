#include "cache/l2/repair_ordered.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cache/l2/ordered_entry.h"
#include "cache/l2/repair_pages.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2/tree_builder.h"

namespace larder::cache::l2 {
namespace {

using Entries = std::map<std::string, std::string>;

Record SomeRecord(std::mt19937_64& random) {
  Record r;
  r.hlc = Hlc{1 + random() % 1'000'000};
  r.rank = kRankMin + random() % 1'000'000;
  if (random() % 2 == 0) {
    r.expiry.expires_at_unix_ms = static_cast<int64_t>(1 + random() % 1000);
  }
  r.last_access_unix_ms = 5;
  r.raw_bytes = r.stored_bytes = 1;
  r.header_bytes = 40;
  r.inline_chain = std::string(41, 'x');
  return r;
}

class RepairOrderedTest : public ::testing::TestWithParam<OrderedKind> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(disk_.CreateDirectories("/d").ok());
    auto file =
        disk_.Open("/d/meta", {.create = true, .size_bytes_max = 64 << 20});
    ASSERT_TRUE(file.ok()) << file.status();
    meta_ = *std::move(file);
    pages_ = std::make_unique<RepairPages>(meta_.get(), 10'000);
    std::mt19937_64 random(3);
    for (int i = 0; i < 3'000; ++i) {
      records_[RecordKey(1, absl::StrCat("key", random() % 100'000))] =
          SomeRecord(random);
    }
  }

  ChildRef Build(const Entries& entries, uint64_t epoch) {
    TreeBuilder builder(pages_.get(), epoch);
    for (const auto& [key, value] : entries) {
      EXPECT_TRUE(builder.Add("", key, value).ok());
    }
    const auto root = builder.Finish();
    EXPECT_TRUE(root.ok()) << root.status();
    return *root;
  }
  ChildRef RecordsTree() {
    Entries entries;
    for (const auto& [key, record] : records_) {
      entries[key] = EncodeRecord(record);
    }
    return Build(entries, 1);
  }
  Entries Wanted() const {
    Entries entries;
    for (const auto& [key, record] : records_) {
      const auto entry = OrderedEntryOf(GetParam(), key, record);
      if (entry.has_value()) entries[entry->key] = entry->value;
    }
    return entries;
  }
  Entries Read(const ChildRef& root) {
    Entries found;
    EXPECT_TRUE(Tree(pages_.get(), root)
                    .VisitPages([](const Tree::PageInfo&) {},
                                [](const Tree::Damage& d) {
                                  ADD_FAILURE() << d.status;
                                })
                    .ok());
    EXPECT_TRUE(Tree(pages_.get(), root)
                    .Walk("",
                          [&](absl::string_view key, absl::string_view value) {
                            found[std::string(key)] = std::string(value);
                            return true;
                          })
                    .ok());
    return found;
  }
  void AddAll(OrderedRepair* repair) {
    for (const auto& [key, record] : records_) repair->Add(key, record);
  }

  SimulatedDisk disk_;
  std::unique_ptr<File> meta_;
  std::unique_ptr<RepairPages> pages_;
  std::map<std::string, Record> records_;
};

TEST_P(RepairOrderedTest, ATreeThatMatchesStays) {
  const ChildRef root = Build(Wanted(), 1);
  OrderedRepair repair(GetParam(), pages_.get(), root, true);
  AddAll(&repair);
  ASSERT_TRUE(repair.Read().ok());
  EXPECT_TRUE(repair.Matches());
  bool rebuilt = true;
  const auto built =
      repair.Build(Tree(pages_.get(), RecordsTree()), 2, &rebuilt);
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_FALSE(rebuilt);
  EXPECT_EQ(*built, root);
}

TEST_P(RepairOrderedTest, EntriesOfNoRecordAreLeftOut) {
  const ChildRef root = Build(Wanted(), 1);
  OrderedRepair repair(GetParam(), pages_.get(), root, true);
  AddAll(&repair);
  ASSERT_TRUE(repair.Read().ok());
  for (int i = 0; i < 50; ++i) {
    const auto record = std::next(records_.begin(), i * 7);
    repair.Remove(record->first, record->second);
    records_.erase(record);
  }
  EXPECT_FALSE(repair.Matches());
  bool rebuilt = true;
  const auto built =
      repair.Build(Tree(pages_.get(), RecordsTree()), 2, &rebuilt);
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_FALSE(rebuilt);
  EXPECT_EQ(Read(*built), Wanted());
}

TEST_P(RepairOrderedTest, ATreeThatLacksEntriesIsRebuilt) {
  Entries entries = Wanted();
  entries.erase(entries.begin());
  const ChildRef root = Build(entries, 1);
  OrderedRepair repair(GetParam(), pages_.get(), root, true);
  AddAll(&repair);
  ASSERT_TRUE(repair.Read().ok());
  EXPECT_FALSE(repair.Matches());
  bool rebuilt = false;
  const auto built =
      repair.Build(Tree(pages_.get(), RecordsTree()), 2, &rebuilt);
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_TRUE(rebuilt);
  EXPECT_EQ(Read(*built), Wanted());
}

// However little is sorted at a time.
TEST_P(RepairOrderedTest, RebuildsInPasses) {
  const ChildRef records = RecordsTree();
  for (const size_t bytes :
       {size_t{5'000}, size_t{60'000}, OrderedRepair::kSortBytesMax}) {
    SCOPED_TRACE(bytes);
    OrderedRepair repair(GetParam(), pages_.get(), ChildRef(), false, bytes);
    AddAll(&repair);
    bool rebuilt = false;
    const auto built = repair.Build(Tree(pages_.get(), records), 2, &rebuilt);
    ASSERT_TRUE(built.ok()) << built.status();
    EXPECT_TRUE(rebuilt);
    EXPECT_EQ(Read(*built), Wanted());
  }
  // One at a time.
  records_.erase(std::next(records_.begin(), 20), records_.end());
  OrderedRepair repair(GetParam(), pages_.get(), ChildRef(), false, 1);
  AddAll(&repair);
  bool rebuilt = false;
  const auto built =
      repair.Build(Tree(pages_.get(), RecordsTree()), 2, &rebuilt);
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(Read(*built), Wanted());
}

INSTANTIATE_TEST_SUITE_P(Kinds, RepairOrderedTest,
                         ::testing::Values(OrderedKind::kDue,
                                           OrderedKind::kAge));

}  // namespace
}  // namespace larder::cache::l2
