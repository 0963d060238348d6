// Superblocks, files and sectors that are lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/l2/hash.h"
#include "cache/l2/page.h"
#include "cache/l2/record.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2/superblock.h"
#include "cache/l2_image.h"
#include "cache/repair.h"
#include "cache/repair_fixture.h"
#include "cache/repair_report.h"
#include "cache/verify.h"

namespace larder::cache {
namespace {

using l2::kPageBytes;
using l2::kUnitBytes;
using l2::SimulatedDisk;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// --- Superblocks.

TEST_F(RepairTest, ASuperblockGetsItsTwinBack) {
  Take();
  for (uint64_t copy = 0; copy < 2; ++copy) {
    L2Image before = image_;
    const uint64_t page = 2 * (whole_.superblock.epoch % 2) + copy;
    image_.at("meta")[page * kPageBytes + 50] ^= 0x77;
    Repair();
    EXPECT_EQ(report_.rewritten_superblocks, 1);
    EXPECT_EQ(report_.epoch, report_.epoch_before);
    EXPECT_THAT(missing_, ElementsAre());
    image_ = before;
  }
}

TEST_F(RepairTest, WithoutASoundSuperblockNothingIsTouched) {
  Take();
  for (const bool zeros : {false, true}) {
    L2Image image = image_;
    for (uint64_t page = 0; page < l2::kSuperblockPages; ++page) {
      std::fill_n(image.at("meta").begin() +
                      static_cast<ptrdiff_t>(page * kPageBytes + 20),
                  100, zeros ? '\0' : 'x');
      if (zeros) image.at("meta")[page * kPageBytes] = 0;
    }
    SimulatedDisk disk;
    ASSERT_NO_FATAL_FAILURE(WriteImage(image, &disk, kDirectory));
    const absl::Status status = RepairL2(Options(&disk)).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("no superblock is sound"));
    EXPECT_TRUE(ReadImage(&disk, kDirectory) == image);
  }
}

TEST_F(RepairTest, ANewerFormatIsLeftToWhoKnowsIt) {
  Take();
  std::string& meta = image_.at("meta");
  const uint64_t page = 2 * (1 - whole_.superblock.epoch % 2);
  std::string bytes = l2::EncodeSuperblock(whole_.superblock);
  bytes[8] = static_cast<char>(l2::kFormatVersion + 1);
  const uint64_t checksum =
      l2::Checksum64(absl::string_view(bytes).substr(0, kPageBytes - 8));
  std::copy_n(reinterpret_cast<const char*>(&checksum), 8,
              bytes.data() + kPageBytes - 8);
  meta.replace(page * kPageBytes, kPageBytes, bytes);
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  EXPECT_TRUE(absl::IsFailedPrecondition(RepairL2(Options(&disk)).status()));
  EXPECT_TRUE(ReadImage(&disk, kDirectory) == image_);
}

// Nothing else is damaged: what an open would do, but on record.
TEST_F(RepairTest, ALostPairOfSuperblocksIsWrittenAnew) {
  Take();
  const uint64_t other = 2 * (1 - whole_.superblock.epoch % 2);
  for (const uint64_t page : {other, other + 1}) {
    image_.at("meta")[page * kPageBytes + 30] ^= 0x5a;
  }
  Repair();
  EXPECT_EQ(report_.damages, 1);
  EXPECT_EQ(report_.epoch_before, whole_.superblock.epoch);
  EXPECT_TRUE(report_.new_lineage);
  EXPECT_EQ(report_.dropped_records, 0);
  EXPECT_THAT(missing_, ElementsAre());
  const L2Anatomy now = Dissect(ReadImage(disk_.get(), kDirectory));
  EXPECT_EQ(now.superblocks.size(), 4);
}

// The newest commit is lost, and a page besides: what it invalidated stays so,
// by the journal; and it is another history from here on.
TEST_F(RepairTest, ALostCommitIsAnotherHistory) {
  ASSERT_TRUE(cache_->InvalidateKey("a", KeyName(1)).ok());
  ASSERT_TRUE(cache_->InvalidatePrefix("b", "key/000").ok());
  ASSERT_TRUE(cache_->Flush().ok());
  Gone("a", [](int i) { return i == 1; });
  Gone("b", [](int i) { return i < 10; });
  Take();
  const l2::Superblock newest = whole_.superblock;
  Scramble(2 * (newest.epoch % 2));
  Scramble(2 * (newest.epoch % 2) + 1);
  std::string& meta = image_.at("meta");
  for (uint64_t copy = 0; copy < 2; ++copy) {
    meta[(2 * (newest.epoch % 2) + copy) * kPageBytes + 30] ^= 1;
  }
  const uint64_t page = whole_.due_pages[0];
  Scramble(page);
  Repair();
  EXPECT_EQ(report_.epoch_before, newest.epoch - 1);
  EXPECT_GT(report_.epoch, newest.epoch);
  EXPECT_TRUE(report_.new_lineage);
  EXPECT_THAT(missing_, ElementsAre());
  const L2Anatomy now = Dissect(ReadImage(disk_.get(), kDirectory));
  EXPECT_NE(now.superblock.lineage, newest.lineage);
  ASSERT_EQ(now.superblock.ancestors.size(), 1);
  EXPECT_EQ(now.superblock.ancestors[0], newest.lineage);
}

// ... unless the journal has moved on: then nobody knows what was invalidated.
TEST_F(RepairTest, ALostCommitWithoutItsJournalCostsEverything) {
  ASSERT_TRUE(cache_->FlushNamespace("a").ok());
  ASSERT_TRUE(cache_->Flush().ok());
  Gone("a", [](int) { return true; });
  const l2::Superblock lost =
      Dissect(ReadImage(&source_, kDirectory)).superblock;
  // Its entries are overwritten by those of the epoch after the next one.
  {
    auto journal =
        source_.Open(absl::StrCat(kDirectory, "/journal-", lost.epoch % 2), {});
    ASSERT_TRUE(journal.ok());
    std::string bytes((*journal)->Size(), '\0');
    ASSERT_TRUE((*journal)->ReadAt(0, absl::MakeSpan(bytes)).ok());
    const uint64_t later = lost.epoch + 2;
    std::copy_n(reinterpret_cast<const char*>(&later), 8, bytes.data() + 16);
    const std::string other = "x";  // The flush was of "a".
    bytes[42] = other[0];
    uint32_t size;
    std::copy_n(bytes.data() + 12, 4, reinterpret_cast<char*>(&size));
    const uint64_t checksum =
        l2::Checksum64(absl::string_view(bytes).substr(8, size - 8));
    std::copy_n(reinterpret_cast<const char*>(&checksum), 8, bytes.data());
    ASSERT_TRUE((*journal)->WriteAt(0, bytes).ok());
  }
  Take();
  for (uint64_t copy = 0; copy < 2; ++copy) {
    image_.at("meta")[(2 * (lost.epoch % 2) + copy) * kPageBytes + 30] ^= 0x5a;
  }
  Repair();
  EXPECT_TRUE(report_.new_lineage);
  EXPECT_EQ(report_.dropped_records, kKeys + 20);
  EXPECT_EQ(Dropped(DropCause::kNamespace), report_.dropped_records);
  EXPECT_GT(generation_a_, 1);
}

// --- Files.

TEST_F(RepairTest, AShortenedOrMissingMapIsMadeAnew) {
  Take();
  image_.at("space").resize(700);
  Repair();
  EXPECT_THAT(missing_, ElementsAre());
  image_.erase("space");
  Repair();
  EXPECT_THAT(missing_, ElementsAre());
  EXPECT_EQ(report_.dropped_records, 0);
}

TEST_F(RepairTest, CutAndMissingFiles) {
  Take();
  const L2Image whole = image_;
  for (const std::string name : {"blobs", "journal-0", "journal-1"}) {
    SCOPED_TRACE(name);
    image_ = whole;
    image_.erase(name);
    Repair();
    EXPECT_EQ(missing_.empty(), name != "blobs");
  }
  image_ = whole;
  image_.at("blobs").resize(image_.at("blobs").size() / 20);
  Repair();
  EXPECT_EQ(Dropped(DropCause::kChain), report_.dropped_records);
  image_ = whole;
  image_.at("meta").resize(8 * kPageBytes + 100);
  Repair();
  EXPECT_GE(report_.damages, 1);
  image_.erase("meta");
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  EXPECT_TRUE(absl::IsNotFound(RepairL2(Options(&disk)).status()));
  SimulatedDisk nothing;
  EXPECT_TRUE(absl::IsNotFound(RepairL2(Options(&nothing)).status()));
}

// --- Sectors that cannot be read.

class BadSectors {
 public:
  using Disk = SimulatedDisk;

  void Add(const std::string& file, uint64_t offset, uint64_t length) {
    for (uint64_t at = offset / kSectorBytes;
         at <= (offset + length - 1) / kSectorBytes; ++at) {
      bad_.insert({absl::StrCat(RepairTest::kDirectory, "/", file), at});
    }
  }
  // Writing a sector replaces it.
  void Install(Disk* disk) {
    disk->SetFaultScript([this](const Disk::Operation& now) {
      if (now.length == 0) return Disk::Fault();
      bool bad = false;
      for (uint64_t at = now.offset / kSectorBytes;
           at <= (now.offset + now.length - 1) / kSectorBytes; ++at) {
        const auto sector = bad_.find({now.path, at});
        if (sector == bad_.end()) continue;
        if (now.kind == Disk::OperationKind::kRead) bad = true;
        if (now.kind == Disk::OperationKind::kWrite) bad_.erase(sector);
      }
      return bad ? Disk::Fault::Fail(EIO) : Disk::Fault();
    });
  }
  size_t size() const { return bad_.size(); }

 private:
  static constexpr uint64_t kSectorBytes = RepairTest::kSectorBytes;

  std::set<std::pair<std::string, uint64_t>> bad_;  // Path, sector.
};

TEST_F(RepairTest, WhatCannotBeReadIsLostAndWrittenAnew) {
  ASSERT_TRUE(cache_->InvalidateKey("a", KeyName(1)).ok());
  Take();
  const uint64_t leaf = whole_.Find("a", KeyName(100))->path.back();
  const std::vector<Name> names = OnLeaf(leaf);
  BadSectors bad;
  bad.Add("meta", leaf * kPageBytes + 512, 512);
  const L2Anatomy::Blob* blob = whole_.Find("a", KeyName(7));
  const uint64_t at = blob->record.extents[0].first * kUnitBytes;
  bad.Add("blobs", (at + 100'000) / kPageBytes * kPageBytes, kPageBytes);
  bad.Add("journal-1", 1024, 512);
  bad.Add("meta", 2 * (1 - whole_.superblock.epoch % 2) * kPageBytes, 512);
  bad.Add("space", 512, 512);
  disk_ = std::make_unique<SimulatedDisk>();
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, disk_.get(), kDirectory));
  bad.Install(disk_.get());
  EXPECT_TRUE(absl::IsDataLoss(VerifyL2(Options(disk_.get())).status()));
  const auto report = RepairL2(Options(disk_.get()));
  ASSERT_TRUE(report.ok()) << report.status();
  report_ = *report;
  EXPECT_TRUE(report_.after.clean());
  Gone("a", [](int i) { return i == 1; });
  EXPECT_EQ(bad.size(), 0);
  CheckCache();
  EXPECT_EQ(missing_.size(), names.size() + 1);
  EXPECT_EQ(Dropped(DropCause::kChain), 1);
  EXPECT_THAT(report_.lost_journals,
              ElementsAre(absl::StrCat(kDirectory, "/journal-1")));
}

// A read that fails once and then does not, costs nothing.
TEST_F(RepairTest, AReadThatFailsOnceCostsNothing) {
  Take();
  const uint64_t page = whole_.Find("a", KeyName(100))->path.back();
  const int64_t lost = static_cast<int64_t>(OnLeaf(page).size());
  Scramble(page);
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  std::set<std::pair<std::string, uint64_t>> failed;
  disk.SetFaultScript([&](const SimulatedDisk::Operation& now) {
    const bool fails = now.kind == SimulatedDisk::OperationKind::kRead &&
                       absl::StrContains(now.path, kDirectory) &&
                       failed.insert({now.path, now.offset}).second;
    return fails ? SimulatedDisk::Fault::Fail(EIO) : SimulatedDisk::Fault();
  });
  const auto report = RepairL2(Options(&disk));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->dropped_records, lost);
  EXPECT_TRUE(report->after.clean());
  EXPECT_GT(failed.size(), 100);
}

}  // namespace
}  // namespace larder::cache
