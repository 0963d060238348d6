#include "cache/l2/repair_pages.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2/superblock.h"

namespace larder::cache::l2 {
namespace {

class RepairPagesTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kPages = 20;

  void SetUp() override {
    auto file =
        disk_.Open("/meta", {.create = true, .size_bytes_max = 1 << 20});
    ASSERT_TRUE(file.ok()) << file.status();
    meta_ = *std::move(file);
    ASSERT_TRUE(meta_->Resize(kPages * kPageBytes).ok());
  }
  ChildRef WriteLeaf(uint64_t page, uint64_t epoch) {
    PageBuilder leaf(0);
    leaf.AddValue("key", "value");
    const ChildRef ref = leaf.Finish(page, epoch);
    EXPECT_TRUE(meta_->WriteAt(page * kPageBytes, leaf.bytes()).ok());
    return ref;
  }

  SimulatedDisk disk_;
  std::unique_ptr<File> meta_;
};

TEST_F(RepairPagesTest, HandsOutWhatNobodyWants) {
  RepairPages pages(meta_.get(), kPages + 3);
  for (const uint64_t page : {5, 9, 10}) pages.Keep(page);
  std::set<uint64_t> all;
  for (uint64_t i = 0; i < kPages + 3 - kSuperblockPages - 3; ++i) {
    const auto page = pages.Allocate();
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_TRUE(all.insert(*page).second);
    EXPECT_GE(*page, kSuperblockPages);
    EXPECT_TRUE(*page != 5 && *page != 9 && *page != 10);
  }
  EXPECT_EQ(meta_->Size(), (kPages + 3) * kPageBytes);
  EXPECT_TRUE(absl::IsResourceExhausted(pages.Allocate().status()));
  // What it wrote itself it may write again; what was there before, never.
  pages.Free(5);
  EXPECT_TRUE(absl::IsResourceExhausted(pages.Allocate().status()));
  pages.Free(6);
  EXPECT_EQ(*pages.Allocate(), 6);
}

TEST_F(RepairPagesTest, FindsLeavesThatNothingLeadsTo) {
  WriteLeaf(6, 3);
  WriteLeaf(7, 4);
  WriteLeaf(8, 5);
  // Another page's bytes, and a damaged one.
  std::string bytes(kPageBytes, '\0');
  ASSERT_TRUE(meta_->ReadAt(6 * kPageBytes, absl::MakeSpan(bytes)).ok());
  ASSERT_TRUE(meta_->WriteAt(9 * kPageBytes, bytes).ok());
  ASSERT_TRUE(meta_->WriteAt(8 * kPageBytes + 1000, "x").ok());
  RepairPages pages(meta_.get(), kPages);
  pages.Keep(7);
  std::vector<uint64_t> found;
  pages.ForEachLostLeaf([&](const ChildRef& ref, const PageView& leaf) {
    EXPECT_EQ(leaf.key(0), "key");
    EXPECT_EQ(ref.epoch, 3);
    found.push_back(ref.page);
  });
  EXPECT_EQ(found, std::vector<uint64_t>{6});
}

TEST_F(RepairPagesTest, RefusesWhatCannotBeRead) {
  const ChildRef good = WriteLeaf(6, 3);
  const ChildRef bad = WriteLeaf(7, 3);
  disk_.SetFaultScript([](const SimulatedDisk::Operation& now) {
    return now.kind == SimulatedDisk::OperationKind::kRead &&
                   now.offset <= 7 * kPageBytes &&
                   now.offset + now.length > 7 * kPageBytes
               ? SimulatedDisk::Fault::Fail(EIO)
               : SimulatedDisk::Fault();
  });
  RepairPages pages(meta_.get(), kPages);
  ASSERT_TRUE(pages.FindUnreadable().ok());
  EXPECT_TRUE(pages.Get(good).ok());
  EXPECT_TRUE(absl::IsDataLoss(pages.Get(bad).status()));
  EXPECT_TRUE(pages.unreadable()[7]);
  for (int i = 0; i < 15; ++i) EXPECT_NE(*pages.Allocate(), 7);
}

TEST_F(RepairPagesTest, WhatTwoPlacesClaimIsKeptFromBoth) {
  const ChildRef ref = WriteLeaf(6, 3);
  RepairPages pages(meta_.get(), kPages);
  ASSERT_TRUE(pages.Get(ref).ok());
  pages.Refuse(6);
  EXPECT_TRUE(absl::IsDataLoss(pages.Get(ref).status()));
  pages.KeepNothing();
  EXPECT_TRUE(pages.IsKept(6));
  EXPECT_TRUE(pages.IsKept(0));
  EXPECT_FALSE(pages.IsKept(7));
}

}  // namespace
}  // namespace larder::cache::l2
