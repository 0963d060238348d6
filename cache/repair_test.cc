// What a repair mends at no cost, and how it is used.
#include "cache/repair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/l2/btree.h"
#include "cache/l2/hash.h"
#include "cache/l2/page.h"
#include "cache/l2/repair_pages.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2/superblock.h"
#include "cache/l2/synopsis.h"
#include "cache/l2/system_tree.h"
#include "cache/l2_image.h"
#include "cache/name_hash.h"
#include "cache/repair_fixture.h"
#include "cache/verify.h"

namespace larder::cache {
namespace {

using l2::kPageBytes;
using l2::SimulatedDisk;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// --- What costs nothing.

TEST_F(RepairTest, ASoundL2IsLeftAlone) {
  // Closed, so that it has no orphans; what follows is in the journal only.
  cache_.reset();
  cache_ = *BlobCache::Open(Options(&source_));
  ASSERT_TRUE(cache_->InvalidateKey("a", KeyName(3)).ok());
  Gone("a", [](int i) { return i == 3; });
  cache_->InvalidateTags("a", {"fifty"}).IgnoreError();
  Gone("a", [](int i) { return i % 50 == 0; });
  Take();
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  const auto report = RepairL2(Options(&disk));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->epoch, report->epoch_before);
  EXPECT_EQ(report->damages, 0);
  EXPECT_EQ(report->freed_bytes, 0);
  EXPECT_TRUE(report->after.clean());
  EXPECT_TRUE(ReadImage(&disk, kDirectory) == image_);
  Repair();  // The journal still holds what it held.
  EXPECT_THAT(missing_, ElementsAre());
}

TEST_F(RepairTest, ANewL2IsSound) {
  SimulatedDisk disk;
  ASSERT_TRUE(BlobCache::Open(Options(&disk)).ok());
  const L2Image before = ReadImage(&disk, kDirectory);
  const auto report = RepairL2(Options(&disk));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->damages, 0);
  EXPECT_EQ(report->epoch, 1);
  EXPECT_TRUE(ReadImage(&disk, kDirectory) == before);
}

TEST_F(RepairTest, OrphansAreFreedWithoutACommit) {
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(cache_
                    ->Put("a", absl::StrCat("orphan", i),
                          std::string(5'000, 'x') + ContentOf(1), {})
                    .ok());
  }
  Take();
  Repair();
  EXPECT_EQ(report_.epoch, report_.epoch_before);
  EXPECT_GT(report_.freed_bytes, 20 * 1'500);
  EXPECT_EQ(report_.dropped_records, 0);
  EXPECT_THAT(missing_, ElementsAre());
}

TEST_F(RepairTest, TheMapIsRebuiltFromWhatIsReached) {
  Take();
  std::string& space = image_.at("space");
  for (uint64_t at = 0; at + kSectorBytes <= space.size(); at += kSectorBytes) {
    if (at % 1024 == 0) {
      // Everything is free, it says.
      std::fill_n(space.begin() + static_cast<ptrdiff_t>(at) + 16,
                  kSectorBytes - 16, '\0');
      const uint64_t checksum =
          l2::Checksum64({space.data() + at + 8, kSectorBytes - 8});
      std::copy_n(reinterpret_cast<const char*>(&checksum), 8, &space[at]);
    } else {
      space[at + 100] ^= 1;  // This one is damaged.
    }
  }
  Repair();
  EXPECT_EQ(report_.epoch, report_.epoch_before);
  EXPECT_GT(report_.marked_bytes, 0);
  EXPECT_THAT(missing_, ElementsAre());
}

TEST_F(RepairTest, OneFlippedBitOfAnyPageIsMended) {
  Take();
  for (const auto* pages : {&whole_.records_pages, &whole_.due_pages,
                            &whole_.age_pages, &whole_.system_pages}) {
    for (const uint64_t page : {pages->front(), pages->back()}) {
      for (const uint64_t byte : {0, 29, 1000, 4095}) {
        SCOPED_TRACE(absl::StrCat("page ", page, " byte ", byte));
        L2Image before = image_;
        image_.at("meta")[page * kPageBytes + byte] ^= 0x10;
        Repair();
        EXPECT_EQ(report_.mended_pages, 1);
        EXPECT_EQ(report_.dropped_records, 0);
        EXPECT_EQ(report_.epoch, report_.epoch_before);
        EXPECT_THAT(missing_, ElementsAre());
        image_ = before;
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(RepairTest, DueAndAgeTreesFollowFromTheRecords) {
  Take();
  for (const uint64_t page : whole_.due_pages) Scramble(page);
  for (const uint64_t page : whole_.age_pages) Scramble(page);
  Repair();
  EXPECT_THAT(report_.rebuilt_trees, ElementsAre("due", "age"));
  EXPECT_EQ(report_.dropped_records, 0);
  EXPECT_THAT(missing_, ElementsAre());
  const L2Anatomy now = Dissect(ReadImage(disk_.get(), kDirectory));
  EXPECT_EQ(now.superblock.due.entries, whole_.superblock.due.entries);
  // What expires still does.
  clock_.AdvanceMillis(3'600'001);
  auto opened = BlobCache::Open(Options(disk_.get()));
  ASSERT_TRUE(opened.ok());
  const auto swept = (*opened)->SweepDueSlice({});
  ASSERT_TRUE(swept.ok()) << swept.status();
  EXPECT_EQ(swept->removed, 28);
}

TEST_F(RepairTest, SynopsesAreRebuilt) {
  for (int i = kKeys; i < 2'000; ++i) {
    ASSERT_TRUE(cache_->Put("a", absl::StrCat("more", i), "small", {}).ok());
  }
  ASSERT_TRUE(cache_->Flush().ok());
  Take();
  const uint32_t a = whole_.Find("a", KeyName(1))->ns_id;
  uint64_t page = 0;
  for (const auto& [leaf, keys] : whole_.system_leaves) {
    if (keys.first >= l2::SynopsisEntryKey(a, 0) &&
        keys.second < l2::SynopsisEntryKey(a + 1, 0)) {
      page = leaf;
    }
  }
  ASSERT_NE(page, 0);
  Scramble(page);
  Repair();
  EXPECT_EQ(report_.rebuilt_synopses, 1);
  EXPECT_EQ(report_.dropped_records, 0);
  EXPECT_THAT(missing_, ElementsAre());
  // It tells again what is not there: of "c", and of keys of "b".
  auto opened = BlobCache::Open(Options(disk_.get()));
  ASSERT_TRUE(opened.ok());
  const int64_t before = (*opened)->Stats().l2.negative_skips;
  for (int i = 0; i < 1'000; ++i) {
    EXPECT_FALSE((*opened)->Get("a", absl::StrCat("absent", i)).has_value());
  }
  EXPECT_GT((*opened)->Stats().l2.negative_skips - before, 900);
}

// Whoever asks a synopsis believes it: a key that it lacks is as good as lost,
// though its record is sound.
TEST_F(RepairTest, ASynopsisThatLacksKeysIsFoundAndRebuilt) {
  Take();
  const uint32_t a = whole_.Find("a", KeyName(1))->ns_id;
  const uint64_t hash = NameHash("a", KeyName(42));
  std::vector<std::string> lacking;
  Forge([&](l2::RepairPages* pages, l2::Superblock* s) {
    const l2::Tree system(pages, s->system);
    const auto value = system.Find(l2::NamespaceEntryKey("a"));
    ASSERT_TRUE(value.ok() && value->has_value());
    const auto entry = l2::DecodeNamespaceEntry(**value);
    ASSERT_TRUE(entry.ok()) << entry.status();
    const l2::SynopsisShape shape(entry->synopsis_keys_max);
    const l2::SynopsisShape::Place at = shape.PlaceOf(hash);
    const std::string key =
        l2::SynopsisEntryKey(a, static_cast<uint32_t>(at.chunk));
    const auto chunk = system.Find(key);
    ASSERT_TRUE(chunk.ok() && chunk->has_value());
    std::string bytes(**chunk);
    std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(at.offset),
                l2::SynopsisShape::kBlockBytes, '\0');
    for (int i = 0; i < kKeys; ++i) {
      const l2::SynopsisShape::Place p =
          shape.PlaceOf(NameHash("a", KeyName(i)));
      if (p.chunk == at.chunk && p.offset == at.offset) {
        lacking.push_back(KeyName(i));
      }
    }
    s->system = PutEntry(pages, s->system, s->epoch, key, bytes);
  });
  ASSERT_THAT(lacking, Contains(KeyName(42)));
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  const auto verified = VerifyL2(Options(&disk));
  ASSERT_TRUE(verified.ok()) << verified.status();
  for (const std::string& key : lacking) {
    EXPECT_THAT(verified->damaged,
                Contains(HasSubstr(absl::StrCat(
                    "a/", key, ": its namespace's synopsis lacks the key"))));
  }
  EXPECT_FALSE(verified->clean());
  {
    auto opened = BlobCache::Open(Options(&disk));
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_FALSE((*opened)->Get("a", KeyName(42)).has_value());
  }
  Repair();
  EXPECT_EQ(report_.rebuilt_synopses, 1);
  EXPECT_EQ(report_.damages, 1);
  EXPECT_THAT(report_.damaged,
              ElementsAre(HasSubstr("synopsis of namespace a lacks keys")));
  EXPECT_EQ(report_.dropped_records, 0);
  EXPECT_THAT(missing_, ElementsAre());
}

// An open refuses it: so verify must not call it clean.
TEST_F(RepairTest, ASynopsisLargerThanTheFileIsFoundAndRebuilt) {
  Take();
  Forge([&](l2::RepairPages* pages, l2::Superblock* s) {
    const auto value =
        l2::Tree(pages, s->system).Find(l2::NamespaceEntryKey("a"));
    ASSERT_TRUE(value.ok() && value->has_value());
    auto entry = l2::DecodeNamespaceEntry(**value);
    ASSERT_TRUE(entry.ok()) << entry.status();
    entry->synopsis_keys_max = uint64_t{1} << 36;
    s->system = PutEntry(pages, s->system, s->epoch, l2::NamespaceEntryKey("a"),
                         l2::EncodeNamespaceEntry(*entry));
  });
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  EXPECT_TRUE(absl::IsDataLoss(BlobCache::Open(Options(&disk)).status()));
  const auto verified = VerifyL2(Options(&disk));
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_THAT(verified->damaged,
              Contains(HasSubstr("synopsis for 68719476736 keys")));
  Repair();
  EXPECT_EQ(report_.rebuilt_synopses, 1);
  EXPECT_EQ(report_.dropped_records, 0);
  EXPECT_THAT(missing_, ElementsAre());
}

// --- Use.

TEST_F(RepairTest, AnL2ThatTakesNoChangesTakesThemAgain) {
  Take();
  const uint64_t page = whole_.Find("a", KeyName(100))->path.back();
  Scramble(page);
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  {
    auto opened = BlobCache::Open(Options(&disk));
    ASSERT_TRUE(opened.ok());
    ASSERT_TRUE((*opened)->InvalidateKey("a", KeyName(5)).ok());
    ASSERT_TRUE((*opened)->InvalidateKey("a", KeyName(100)).ok());
    EXPECT_FALSE((*opened)->Flush().ok());
    EXPECT_NE((*opened)->Stats().l2.degraded, "");
    disk.KillProcess();
  }
  Gone("a", [](int i) { return i == 5 || i == 100; });
  image_ = ReadImage(&disk, kDirectory);
  Repair();
  EXPECT_EQ(report_.dropped_records,
            static_cast<int64_t>(OnLeaf(page).size()) - 1);
}

TEST_F(RepairTest, VerifyChangesNothing) {
  Take();
  Scramble(whole_.records_pages.back());
  image_.at("space").resize(700);
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  const auto report = VerifyL2(Options(&disk));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->clean());
  EXPECT_TRUE(ReadImage(&disk, kDirectory) == image_);
}

TEST_F(RepairTest, OneProcessAtATime) {
  EXPECT_TRUE(absl::IsUnavailable(RepairL2(Options(&source_)).status()));
}

TEST_F(RepairTest, StopsOnRequest) {
  Take();
  Scramble(whole_.records_pages.back());
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  int asked = 0;
  const absl::Status status =
      RepairL2(Options(&disk), [&] { return ++asked == 50; }).status();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(asked, 50);
  EXPECT_TRUE(ReadImage(&disk, kDirectory) == image_);
}

TEST_F(RepairTest, WithoutRoomNothingIsChanged) {
  Take();
  // Every page is spoken for: a tree of the file's size.
  for (const uint64_t page : whole_.due_pages) Scramble(page);
  for (const uint64_t page : whole_.age_pages) Scramble(page);
  std::string& meta = image_.at("meta");
  const uint64_t used = *std::max_element(whole_.records_pages.begin(),
                                          whole_.records_pages.end());
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  disk.SetFaultScript([&](const SimulatedDisk::Operation& now) {
    const bool new_page = now.kind == SimulatedDisk::OperationKind::kWrite &&
                          absl::EndsWith(now.path, "meta");
    return new_page ? SimulatedDisk::Fault::Fail(ENOSPC)
                    : SimulatedDisk::Fault();
  });
  EXPECT_GT(meta.size() / kPageBytes, used);
  const absl::Status status = RepairL2(Options(&disk)).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(ReadImage(&disk, kDirectory).at("meta") == meta);
}

}  // namespace
}  // namespace larder::cache
