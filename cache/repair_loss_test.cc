// What is lost with records and with invalidations, and what is not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/hlc.h"
#include "cache/l2/page.h"
#include "cache/l2/record.h"
#include "cache/l2/repair_pages.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2/superblock.h"
#include "cache/l2/system_tree.h"
#include "cache/l2_image.h"
#include "cache/policy.h"
#include "cache/repair.h"
#include "cache/repair_fixture.h"
#include "cache/repair_report.h"
#include "cache/snapshot.h"
#include "cache/tombstone.h"

namespace larder::cache {
namespace {

using l2::kPageBytes;
using l2::kUnitBytes;
using l2::SimulatedDisk;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

// --- What costs records.

TEST_F(RepairTest, ADamagedChainCostsItsRecord) {
  Take();
  const L2Anatomy::Blob* blob = whole_.Find("a", KeyName(7));
  image_.at("blobs")[blob->record.extents[0].first * kUnitBytes + 300'000] ^= 1;
  const L2Anatomy::Blob* other = whole_.Find("b", KeyName(1));
  image_.at("blobs")[other->record.extents[0].first * kUnitBytes] ^= 1;
  Repair();
  EXPECT_EQ(report_.dropped_records, 2);
  EXPECT_EQ(Dropped(DropCause::kChain), 2);
  EXPECT_THAT(missing_, UnorderedElementsAre(Name("a", KeyName(7)),
                                             Name("b", KeyName(1))));
  // Few removals do not rebuild a tree.
  EXPECT_THAT(report_.rebuilt_trees, ElementsAre());
  EXPECT_TRUE(ApplyDelta(whole_, ReadImage(disk_.get(), kDirectory)) ==
              Dissect(ReadImage(disk_.get(), kDirectory)).records);
}

TEST_F(RepairTest, ADamagedLeafCostsItsRecords) {
  Take();
  const uint64_t page = whole_.Find("a", KeyName(100))->path.back();
  const std::vector<Name> names = OnLeaf(page);
  ASSERT_GT(names.size(), 2);
  Scramble(page);
  Repair();
  EXPECT_EQ(report_.dropped_records, static_cast<int64_t>(names.size()));
  EXPECT_EQ(Dropped(DropCause::kPage), report_.dropped_records);
  EXPECT_EQ(report_.dropped_unnamed, 0);
  EXPECT_EQ(missing_.size(), names.size());
  EXPECT_FALSE(report_.new_lineage);
  const L2Anatomy now = Dissect(ReadImage(disk_.get(), kDirectory));
  EXPECT_EQ(now.superblock.lineage, whole_.superblock.lineage);
}

TEST_F(RepairTest, ADamagedRootCostsNothing) {
  Take();
  ASSERT_GT(whole_.records_pages.size(), 5);
  Scramble(whole_.records_pages[0]);
  Repair();
  EXPECT_EQ(report_.dropped_records, 0);
  EXPECT_EQ(report_.recovered_records, kKeys + 20);
  EXPECT_THAT(missing_, ElementsAre());
  EXPECT_THAT(report_.rebuilt_trees, ElementsAre());
}

// The leaf was rewritten by later commits: what did not change since is on its
// older copies, what was deleted or replaced since is, too, and stays dead.
TEST_F(RepairTest, OldCopiesOfALeafGiveWhatDidNotChange) {
  ASSERT_TRUE(cache_->InvalidateKey("a", KeyName(100)).ok());
  Gone("a", [](int i) { return i == 100; });
  const std::string newer = "another value";
  ASSERT_TRUE(cache_->Put("a", KeyName(101), newer, {}).ok());
  alive_[{"a", KeyName(101)}] = newer;
  ASSERT_TRUE(cache_->Flush().ok());
  Take();
  const uint64_t page = whole_.Find("a", KeyName(101))->path.back();
  const std::vector<Name> names = OnLeaf(page);
  Scramble(page);
  Repair();
  EXPECT_THAT(missing_, ElementsAre(Name("a", KeyName(101))));
  EXPECT_EQ(report_.recovered_records, static_cast<int64_t>(names.size()) - 1);
  EXPECT_EQ(report_.dropped_records, 1);
}

// A process may give the rank again that the one before it gave: to the same
// key, when it is the first that both put.
TEST_F(RepairTest, AnOldCopyOfTheSameRankIsNotBelieved) {
  const std::string key = KeyName(101);
  uint64_t ranks[2];
  for (const bool second : {false, true}) {
    cache_.reset();
    auto opened = BlobCache::Open(Options(&source_));
    ASSERT_TRUE(opened.ok()) << opened.status();
    cache_ = *std::move(opened);
    const std::string bytes = second ? "the second" : "the first.";
    ASSERT_TRUE(cache_->Put("a", key, bytes, {}).ok());
    alive_[{"a", key}] = bytes;
    ASSERT_TRUE(cache_->Flush().ok());
    const L2Anatomy now = Dissect(ReadImage(&source_, kDirectory));
    ranks[second] = now.Find("a", key)->record.rank;
  }
  ASSERT_EQ(ranks[0], ranks[1]);
  Take();
  Scramble(whole_.Find("a", key)->path.back());
  Repair();
  EXPECT_THAT(missing_, ElementsAre(Name("a", key)));
}

TEST_F(RepairTest, WithoutTheAgeTreeNobodyKnowsNamesOrWhatIsLive) {
  Take();
  const uint64_t page = whole_.Find("a", KeyName(100))->path.back();
  const int64_t lost = static_cast<int64_t>(OnLeaf(page).size());
  Scramble(page);
  for (const uint64_t age : whole_.age_pages) Scramble(age);
  Repair();
  EXPECT_EQ(report_.dropped_records, lost);
  EXPECT_EQ(report_.dropped_unnamed, lost);
  EXPECT_EQ(report_.recovered_records, 0);
  EXPECT_THAT(report_.rebuilt_trees, ElementsAre("age"));
}

TEST_F(RepairTest, ChainsThatOverlapCannotBothStay) {
  PutOptions options;
  options.metadata = {{"m", std::string(1, 'm')}};
  const std::string bytes = ContentOf(1).substr(0, 1'300);
  // A header of just one unit, so that the frames may be shared.
  for (size_t n = 1; n < 100; ++n) {
    options.metadata[0].second = std::string(n, 'm');
    for (const std::string key : {"twin/1", "twin/2"}) {
      ASSERT_TRUE(cache_->Put("b", key, bytes, options).ok());
    }
    ASSERT_TRUE(cache_->Flush().ok());
    const L2Anatomy now = Dissect(ReadImage(&source_, kDirectory));
    if (now.Find("b", "twin/1")->record.header_bytes == kUnitBytes) break;
  }
  Take();
  const L2Anatomy::Blob* one = whole_.Find("b", "twin/1");
  const L2Anatomy::Blob* two = whole_.Find("b", "twin/2");
  ASSERT_EQ(one->record.header_bytes, kUnitBytes);
  Forge([&](l2::RepairPages* pages, l2::Superblock* s) {
    l2::Record forged = two->record;
    forged.extents = {
        {two->record.extents[0].first, 1},
        {one->record.extents[0].first + 1, one->record.extents[0].units - 1}};
    s->records =
        PutEntry(pages, s->records, s->epoch,
                 l2::RecordKey(two->ns_id, "twin/2"), l2::EncodeRecord(forged));
  });
  Repair();
  EXPECT_EQ(report_.dropped_records, 1);
  EXPECT_EQ(Dropped(DropCause::kOverlap), 1);
  EXPECT_EQ(report_.dropped[0].key, "twin/2");
}

TEST_F(RepairTest, RecordsThatSayTheImpossibleGo) {
  Take();
  const uint32_t b = whole_.Find("b", KeyName(1))->ns_id;
  Forge([&](l2::RepairPages* pages, l2::Superblock* s) {
    const std::string value =
        l2::EncodeRecord(whole_.Find("b", KeyName(3))->record);
    for (const auto& [key, bytes] :
         {std::pair<std::string, std::string>{l2::RecordKey(b, KeyName(2)),
                                              "nonsense"},
          {l2::RecordKey(b, ""), value},
          {l2::RecordKey(b + 7, "k"), value}}) {
      s->records = PutEntry(pages, s->records, s->epoch, key, bytes);
    }
    // A record beyond the file.
    l2::Record far = whole_.Find("b", KeyName(4))->record;
    far.extents = {{uint64_t{1} << 40, far.extents[0].units}};
    s->records = PutEntry(pages, s->records, s->epoch,
                          l2::RecordKey(b, KeyName(4)), l2::EncodeRecord(far));
  });
  Repair();
  EXPECT_EQ(Dropped(DropCause::kRecord), 2);
  EXPECT_EQ(Dropped(DropCause::kNamespace), 1);
  EXPECT_EQ(Dropped(DropCause::kChain), 1);
  EXPECT_THAT(missing_, UnorderedElementsAre(Name("b", KeyName(2)),
                                             Name("b", KeyName(4))));
}

// --- Invalidations.

// What a lost page cannot have said is kept; what it can, goes.
TEST_F(RepairTest, ALeafOfTombstonesCostsWhatTheyMayCover) {
  // Many tags, so that tombstones have leaves of their own.
  std::vector<std::string> tags;
  for (int i = 0; i < 600; ++i) tags.push_back(absl::StrCat("tag", i));
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(cache_
                    ->Put("b", absl::StrCat("tagged", i), "v",
                          {.tags = {absl::StrCat("other", i)}})
                    .ok());
  }
  ASSERT_TRUE(cache_->Put("b", "dead", "v", {.tags = {"tag300"}}).ok());
  ASSERT_TRUE(cache_->Flush().ok());
  ASSERT_TRUE(cache_->InvalidateTags("b", tags).ok());
  ASSERT_TRUE(cache_->Flush().ok());
  // Put later than all of them.
  ASSERT_TRUE(cache_->Put("b", "later", "v", {.tags = {"tag300"}}).ok());
  ASSERT_TRUE(cache_->Flush().ok());
  Take();
  const L2Anatomy::Blob* dead = whole_.Find("b", "dead");
  ASSERT_NE(dead, nullptr);
  const std::string tombstone = l2::TombstoneEntryKey(
      dead->ns_id, {TombstoneKind::kTag, "",
                    [&] {
                      std::string hash(8, '\0');
                      const uint64_t h = TagHash("tag300");
                      std::copy_n(reinterpret_cast<const char*>(&h), 8,
                                  hash.data());
                      return hash;
                    }(),
                    Hlc{}});
  Scramble(SystemLeafOf(tombstone));
  // An open refuses it.
  SimulatedDisk refused;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &refused, kDirectory));
  EXPECT_TRUE(absl::IsDataLoss(BlobCache::Open(Options(&refused)).status()));
  Repair();
  EXPECT_EQ(report_.dropped_records, Dropped(DropCause::kInvalidation));
  EXPECT_GE(report_.dropped_records, 1);
  EXPECT_LE(report_.dropped_records, 60);
  EXPECT_THAT(missing_, ElementsAre());  // Those have no such tags.
  auto opened = BlobCache::Open(Options(disk_.get()));
  ASSERT_TRUE(opened.ok());
  EXPECT_FALSE((*opened)->Get("b", "dead").has_value());
  EXPECT_TRUE((*opened)->Get("b", "later").has_value());
  int kept = 0;
  for (int i = 0; i < 100; ++i) {
    kept += (*opened)->Get("b", absl::StrCat("tagged", i)).has_value();
  }
  EXPECT_GE(kept, 40);
  // Older snapshots still hold what the lost ones cover.
  const auto snapshot = (*opened)->TakeSnapshot({});
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  for (const NamespaceState& ns : (*snapshot)->info().namespaces) {
    const bool lost_tombstones = ns.name == "b";
    EXPECT_EQ(ns.forgotten_through > Hlc(), lost_tombstones) << ns.name;
    EXPECT_EQ(ns.flushed_at, Hlc());
  }
}

TEST_F(RepairTest, ALeafOfNamespacesCostsThem) {
  ASSERT_TRUE(cache_->FlushNamespace("a").ok());
  Gone("a", [](int) { return true; });
  for (int i = 10; i < 20; ++i) Put("a", i);
  ASSERT_TRUE(cache_->Flush().ok());
  Take();
  Scramble(SystemLeafOf(l2::NamespaceEntryKey("a")));
  Repair();
  EXPECT_EQ(report_.dropped_records, Dropped(DropCause::kNamespace));
  // Flushed records are still in the tree.
  EXPECT_EQ(report_.dropped_records,
            static_cast<int64_t>(whole_.records.size()));
  EXPECT_EQ(missing_.size(), alive_.size());
  // An older copy of the leaf had their names.
  ASSERT_EQ(report_.invalidated.size(), 2);
  EXPECT_EQ(report_.invalidated[0].ns, "a");
  EXPECT_EQ(report_.invalidated[1].ns, "b");
  EXPECT_FALSE(NameIsLost());
  EXPECT_GT(generation_a_, 1);
}

// Without any older copy of the leaf, the journal has one of the names.
TEST_F(RepairTest, ANamespaceWhoseNameIsLostIsReportedByItsId) {
  ASSERT_TRUE(cache_->InvalidateKey("a", "no such key").ok());
  Take();
  const uint64_t page = SystemLeafOf(l2::NamespaceEntryKey("a"));
  Scramble(page);
  std::string& meta = image_.at("meta");
  const std::set<uint64_t> reached = [&] {
    std::set<uint64_t> all = {0, 1, 2, 3};
    for (const auto* pages : {&whole_.records_pages, &whole_.due_pages,
                              &whole_.age_pages, &whole_.system_pages}) {
      all.insert(pages->begin(), pages->end());
    }
    return all;
  }();
  for (uint64_t p = 0; p < meta.size() / kPageBytes; ++p) {
    if (reached.contains(p)) continue;
    std::fill_n(meta.begin() + static_cast<ptrdiff_t>(p * kPageBytes),
                kPageBytes, '\0');
  }
  Repair();
  EXPECT_EQ(report_.dropped_records, kKeys + 20);
  EXPECT_EQ(report_.dropped.front().ns, "a");
  EXPECT_EQ(report_.dropped.back().ns, "");
  EXPECT_NE(report_.dropped.back().ns_id, 0);
  ASSERT_EQ(report_.invalidated.size(), 1);
  EXPECT_EQ(report_.invalidated[0].ns, "a");
  // Its id is not given to another.
  const L2Anatomy now = Dissect(ReadImage(disk_.get(), kDirectory));
  EXPECT_GT(now.superblock.next_namespace_id, report_.dropped.back().ns_id);
}

TEST_F(RepairTest, EntriesOfTheSystemTreeThatSayTheImpossibleGo) {
  Take();
  const uint32_t a = whole_.Find("a", KeyName(1))->ns_id;
  const uint32_t b = whole_.Find("b", KeyName(1))->ns_id;
  Forge([&](l2::RepairPages* pages, l2::Superblock* s) {
    Tombstone t;
    t.kind = TombstoneKind::kPrefix;
    t.value = "k";
    t.hlc = s->hlc;
    l2::NamespaceEntry twin;
    twin.id = a;
    for (const auto& [key, value] : {
             std::pair<std::string, std::string>{"?", "unknown"},
             // A second chunk of a synopsis that has one.
             {l2::SynopsisEntryKey(b, 1), "chunk"},
             {l2::SynopsisEntryKey(b + 9, 0), "chunk"},
             {l2::TombstoneEntryKey(b + 9, t),
              l2::EncodeTombstoneEntry(t, /*spent=*/false)},
             {l2::TombstoneEntryKey(a, t), "short"},
             {l2::NamespaceEntryKey("twin"), l2::EncodeNamespaceEntry(twin)},
         }) {
      s->system = PutEntry(pages, s->system, s->epoch, key, value);
    }
  });
  Repair();
  EXPECT_GE(report_.damages, 3);
  EXPECT_EQ(report_.rebuilt_synopses, 1);
  // All of "a" begins with the prefix that nobody knows about.
  EXPECT_EQ(report_.dropped_records, kKeys);
  EXPECT_EQ(Dropped(DropCause::kInvalidation), kKeys);
}

TEST_F(RepairTest, TheListOfWhatWasDroppedIsCappedAndTheCountIsNot) {
  for (int i = 0; i < 1'500; ++i) {
    ASSERT_TRUE(cache_->Put("b", absl::StrCat("more", i), "small", {}).ok());
  }
  ASSERT_TRUE(cache_->Flush().ok());
  Take();
  Scramble(whole_.system_pages.front());
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  const auto report = RepairL2(Options(&disk));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->dropped_records, kKeys + 20 + 1'500);
  EXPECT_EQ(report->dropped.size(), RepairReport::kDroppedMax);
  EXPECT_EQ(report->after.records, 0);
  EXPECT_TRUE(report->after.clean());
}

// A newer epoch than that of the lost leaf proves what was put in it.
TEST_F(RepairTest, WhatWasPutAfterALostPageWasWrittenStays) {
  for (int i = 0; i < 1'500; ++i) {
    ASSERT_TRUE(cache_->InvalidatePrefix("b", absl::StrCat("x", i)).ok());
  }
  ASSERT_TRUE(cache_->Flush().ok());
  ASSERT_TRUE(cache_->Put("b", "x700/old", "v", {}).ok());
  ASSERT_TRUE(cache_->Flush().ok());
  ASSERT_TRUE(cache_->Put("b", "x700/new", "v", {}).ok());
  ASSERT_TRUE(cache_->Flush().ok());
  Take();
  const uint32_t b = whole_.Find("b", KeyName(1))->ns_id;
  Scramble(SystemLeafOf(
      l2::TombstoneEntryKey(b, {TombstoneKind::kPrefix, "", "x700", Hlc{}})));
  Repair();
  // Both came after the tombstone; only of the newer one that is proven, as
  // only the last two superblocks are there.
  ASSERT_EQ(report_.dropped_records, 1);
  EXPECT_EQ(report_.dropped[0].key, "x700/old");
  auto opened = BlobCache::Open(Options(disk_.get()));
  ASSERT_TRUE(opened.ok());
  EXPECT_TRUE((*opened)->Get("b", "x700/new").has_value());
}

TEST_F(RepairTest, TheJournalTakesEffect) {
  Take();
  // A life that ends before its commit.
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  {
    auto opened = BlobCache::Open(Options(&disk));
    ASSERT_TRUE(opened.ok());
    ASSERT_TRUE((*opened)->InvalidateKey("a", KeyName(1)).ok());
    ASSERT_TRUE((*opened)->InvalidateTags("a", {"fifty"}).ok());
    ASSERT_TRUE((*opened)->InvalidatePrefix("a", "key/001").ok());
    ASSERT_TRUE((*opened)->FlushNamespace("b").ok());
    ASSERT_TRUE((*opened)->FlushNamespace("never seen").ok());
    disk.KillProcess();
  }
  image_ = ReadImage(&disk, kDirectory);
  whole_ = Dissect(image_);
  Gone("a", [](int i) { return i == 1 || i % 50 == 0 || i / 10 == 1; });
  Gone("b", [](int) { return true; });
  const uint64_t page = whole_.Find("a", KeyName(200))->path.back();
  Scramble(page);
  Repair();
  EXPECT_EQ(report_.applied_journal_entries, 5);
  EXPECT_EQ(Dropped(DropCause::kPage), report_.dropped_records);
  EXPECT_EQ(report_.dropped_records, static_cast<int64_t>(OnLeaf(page).size()));
  auto opened = BlobCache::Open(Options(disk_.get()));
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ((*opened)->CurrentGeneration("b"), 1);
  EXPECT_EQ((*opened)->CurrentGeneration("never seen"), 1);
}

}  // namespace
}  // namespace larder::cache
