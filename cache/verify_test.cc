// What a verify finds that no checksum tells: entries that do not follow from
// the records, and sums that do not add up.
#include "cache/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cache/blob_cache.h"
#include "cache/hlc.h"
#include "cache/l2/btree.h"
#include "cache/l2/hash.h"
#include "cache/l2/ordered_entry.h"
#include "cache/l2/record.h"
#include "cache/l2/repair_pages.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2/superblock.h"
#include "cache/l2/system_tree.h"
#include "cache/l2_image.h"
#include "cache/repair_fixture.h"
#include "cache/tombstone.h"

namespace larder::cache {
namespace {

using l2::OrderedEntry;
using l2::OrderedKind;
using l2::SimulatedDisk;
using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class VerifyTest : public RepairTest {
 protected:
  VerifyReport Verify() {
    SimulatedDisk disk;
    WriteImage(image_, &disk, kDirectory);
    const auto report = VerifyL2(Options(&disk));
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *report : VerifyReport();
  }

  // Expects that it says this and no more, and that a repair mends it without
  // dropping a record.
  template <typename... Lines>
  void ExpectFound(const Lines&... lines) {
    const VerifyReport report = Verify();
    EXPECT_THAT(report.damaged, UnorderedElementsAre(EndsWith(lines)...));
    EXPECT_EQ(report.damages, static_cast<int64_t>(sizeof...(lines)));
    EXPECT_FALSE(report.clean());
    EXPECT_TRUE(report.accounting_ok);
    Repair();
    EXPECT_EQ(report_.dropped_records, 0);
    EXPECT_THAT(missing_, IsEmpty());
  }
};

// Of the due and of the age tree.
class VerifyOrderedTest : public VerifyTest,
                          public ::testing::WithParamInterface<OrderedKind> {
 protected:
  std::string Line(absl::string_view what) const {
    return absl::StrCat("meta: tree `",
                        GetParam() == OrderedKind::kDue ? "due" : "age",
                        "`: ", what);
  }

  uint32_t IdOfA() const { return whole_.Find("a", KeyName(1))->ns_id; }
  std::string RecordKeyOf(int i) const {
    return l2::RecordKey(IdOfA(), KeyName(i));
  }
  // Is ever due when `i` is a multiple of ten.
  OrderedEntry EntryOf(int i) const {
    return *l2::OrderedEntryOf(GetParam(), RecordKeyOf(i),
                               whole_.Find("a", KeyName(i))->record);
  }
  // Of a record that is not there.
  OrderedEntry StrayEntry() const {
    return {l2::OrderedKey(77, l2::RecordKey(IdOfA(), "nobody")),
            EntryOf(40).value};
  }
  static uint64_t AtOf(const OrderedEntry& entry) {
    uint64_t at;
    absl::string_view record_key;
    EXPECT_TRUE(l2::SplitOrderedKey(entry.key, &at, &record_key));
    return at;
  }

  // Takes `gone` out of the tree, and puts `added` into it.
  void Change(const std::vector<std::string>& gone,
              const std::vector<OrderedEntry>& added) {
    Forge([&](l2::RepairPages* pages, l2::Superblock* s) {
      l2::ChildRef* const root =
          GetParam() == OrderedKind::kDue ? &s->due : &s->age;
      for (const std::string& key : gone) {
        const std::vector<l2::TreeOp> ops = {{key, ""}};
        const auto merged =
            l2::ApplyBatch(pages, pages, *root, s->epoch, ops,
                           [](size_t, std::optional<absl::string_view> value) {
                             EXPECT_TRUE(value.has_value());
                             return l2::Resolution::kErase;
                           });
        ASSERT_TRUE(merged.ok()) << merged.status();
        *root = *merged;
      }
      for (const OrderedEntry& entry : added) {
        *root = PutEntry(pages, *root, s->epoch, entry.key, entry.value);
      }
    });
  }
};

TEST_P(VerifyOrderedTest, AMissingEntryIsNamed) {
  Take();
  Change({EntryOf(40).key}, {});
  ExpectFound(Line("a/key/0040: entry: missing"));
}

TEST_P(VerifyOrderedTest, AnEntryOfNoRecordIsNamed) {
  Take();
  Change({}, {StrayEntry()});
  ExpectFound(Line("a/nobody: entry at 77: there is no such record"));
}

// As many as there should be: the counts do not tell.
TEST_P(VerifyOrderedTest, AnEntryInThePlaceOfAnotherIsNamed) {
  Take();
  Change({EntryOf(40).key}, {StrayEntry()});
  EXPECT_TRUE(Verify().digest_ok);
  ExpectFound(Line("a/key/0040: entry: missing"),
              Line("a/nobody: entry at 77: there is no such record"));
}

TEST_P(VerifyOrderedTest, AnEntryAtAnotherTimeIsNamed) {
  Take();
  const OrderedEntry entry = EntryOf(40);
  const uint64_t at = AtOf(entry);
  Change({entry.key}, {{l2::OrderedKey(at + 5, RecordKeyOf(40)), entry.value}});
  EXPECT_TRUE(Verify().digest_ok);
  ExpectFound(Line("a/key/0040: entry: missing"),
              Line(absl::StrCat("a/key/0040: entry: at ", at + 5,
                                " vs expected ", at)));
}

TEST_P(VerifyOrderedTest, EntriesThatSwappedWhatTheySayAreNamed) {
  Take();
  // A blob in the leaf and one in a chain: also for due times they differ.
  const OrderedEntry one = EntryOf(30), other = EntryOf(40);
  ASSERT_NE(one.value, other.value);
  Change({}, {{one.key, other.value}, {other.key, one.value}});
  EXPECT_TRUE(Verify().digest_ok);
  ExpectFound(Line("a/key/0030: entry: of another put of the key"),
              Line("a/key/0040: entry: of another put of the key"));
}

// What a damaged page hides is said of the page, not of all that was on it.
TEST_P(VerifyOrderedTest, ADamagedPageIsOneDamage) {
  Take();
  const L2Image before = image_;
  for (const auto* pages :
       {&whole_.records_pages, GetParam() == OrderedKind::kDue
                                   ? &whole_.due_pages
                                   : &whole_.age_pages}) {
    image_ = before;
    Scramble(pages->back());
    EXPECT_EQ(Verify().damages, 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Trees, VerifyOrderedTest,
                         ::testing::Values(OrderedKind::kDue,
                                           OrderedKind::kAge),
                         [](const auto& test) {
                           return test.param == OrderedKind::kDue ? "Due"
                                                                  : "Age";
                         });

TEST_F(VerifyTest, AnEntryOfARecordThatIsNeverDueIsNamed) {
  Take();
  const L2Anatomy::Blob& blob = *whole_.Find("a", KeyName(41));
  Forge([&](l2::RepairPages* pages, l2::Superblock* s) {
    s->due =
        PutEntry(pages, s->due, s->epoch,
                 l2::OrderedKey(77, l2::RecordKey(blob.ns_id, KeyName(41))),
                 l2::EncodeDueEntry(l2::DueEntryOf(blob.record)));
  });
  ExpectFound("tree `due`: a/key/0041: entry of a record that is never due");
}

// An open refuses each: so verify must not call it clean.
TEST_F(VerifyTest, ATombstoneThatMeansNothingIsNamed) {
  Take();
  const uint32_t a = whole_.Find("a", KeyName(1))->ns_id;
  const L2Image before = image_;
  const Tombstone tag{TombstoneKind::kTag, "", std::string(8, 'h'), Hlc{1}};
  Tombstone no_kind = tag, no_hash = tag;
  no_kind.kind = static_cast<TombstoneKind>(9);
  no_hash.value = "short";
  const std::string sound = l2::EncodeTombstoneEntry(tag, false);
  for (const auto& [key, value, what] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {l2::TombstoneEntryKey(a, no_kind), sound, "kind or value"},
           {l2::TombstoneEntryKey(a, no_hash), sound, "kind or value"},
           {l2::TombstoneEntryKey(a, tag), "short", "impossible entry"},
           {l2::TombstoneEntryKey(99, tag), sound, "unknown namespace 99"}}) {
    SCOPED_TRACE(what);
    image_ = before;
    Forge([&, &k = key, &v = value](l2::RepairPages* pages, l2::Superblock* s) {
      s->system = PutEntry(pages, s->system, s->epoch, k, v);
    });
    SimulatedDisk disk;
    ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
    EXPECT_TRUE(absl::IsDataLoss(BlobCache::Open(Options(&disk)).status()));
    ExpectFound(what);
  }
}

TEST_F(VerifyTest, TwoNamespacesOfOneIdAreNamed) {
  Take();
  const uint32_t a = whole_.Find("a", KeyName(1))->ns_id;
  Forge([&](l2::RepairPages* pages, l2::Superblock* s) {
    l2::NamespaceEntry entry;
    entry.id = a;
    s->system =
        PutEntry(pages, s->system, s->epoch, l2::NamespaceEntryKey("twin"),
                 l2::EncodeNamespaceEntry(entry));
  });
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  EXPECT_TRUE(absl::IsDataLoss(BlobCache::Open(Options(&disk)).status()));
  EXPECT_THAT(Verify().damaged,
              Contains(EndsWith(
                  absl::StrCat("namespace twin: id ", a, ": not unique"))));
}

// --- live + orphaned + free = size.

int64_t SumOf(const VerifyReport& r) {
  return r.live_bytes + r.orphaned_bytes + r.free_bytes;
}

TEST_F(VerifyTest, EveryByteIsLiveOrphanedOrFree) {
  Take();
  const VerifyReport report = Verify();
  EXPECT_TRUE(report.clean());
  EXPECT_EQ(SumOf(report), static_cast<int64_t>(image_.at("meta").size() +
                                                image_.at("blobs").size()));
}

TEST_F(VerifyTest, PartOfAUnitAtTheEndDoesNotAddUp) {
  Take();
  const L2Image before = image_;
  for (const char* name : {"meta", "blobs"}) {
    image_ = before;
    image_.at(name) += std::string(100, 'x');
    const VerifyReport report = Verify();
    EXPECT_THAT(report.damaged, IsEmpty());
    EXPECT_FALSE(report.accounting_ok) << name;
    Repair();
    EXPECT_EQ(report_.dropped_records, 0);
    EXPECT_THAT(missing_, IsEmpty());
  }
}

// Also when nothing lay in what is gone.
TEST_F(VerifyTest, AFileThatWasCutShortIsNamed) {
  Take();
  const L2Image before = image_;
  for (const auto& [name, unit_bytes] :
       {std::pair<const char*, uint64_t>{"meta", l2::kPageBytes},
        {"blobs", l2::kUnitBytes}}) {
    SCOPED_TRACE(name);
    image_ = before;
    std::string& file = image_.at(name);
    const size_t committed = file.size();
    file.resize(committed - unit_bytes);
    EXPECT_THAT(Verify().damaged,
                Contains(EndsWith(absl::StrCat(name, ": ", file.size(),
                                               " bytes: at least ", committed,
                                               " were committed"))));
    Repair();
    EXPECT_GE(report_.damages, 1);
  }
}

TEST_F(VerifyTest, WhatIsUsedTwiceDoesNotAddUp) {
  Take();
  const L2Anatomy::Blob& one = *whole_.Find("a", KeyName(1));
  l2::Record record = one.record;
  record.extents = whole_.Find("a", KeyName(2))->record.extents;
  Forge([&](l2::RepairPages* pages, l2::Superblock* s) {
    s->records = PutEntry(pages, s->records, s->epoch,
                          l2::RecordKey(one.ns_id, KeyName(1)),
                          l2::EncodeRecord(record));
  });
  const VerifyReport report = Verify();
  EXPECT_FALSE(report.accounting_ok);
  EXPECT_GT(SumOf(report), report.file_bytes);
}

TEST_F(VerifyTest, WhatHoldsDataAndIsMarkedFreeDoesNotAddUp) {
  Take();
  std::string& space = image_.at("space");
  for (size_t at = 0; at + kSectorBytes <= space.size(); at += kSectorBytes) {
    std::fill_n(space.begin() + static_cast<ptrdiff_t>(at) + 16,
                kSectorBytes - 16, '\0');
    const uint64_t checksum =
        l2::Checksum64({space.data() + at + 8, kSectorBytes - 8});
    std::copy_n(reinterpret_cast<const char*>(&checksum), 8, &space[at]);
  }
  const VerifyReport report = Verify();
  EXPECT_FALSE(report.accounting_ok);
  EXPECT_GT(SumOf(report), report.file_bytes);
}

}  // namespace
}  // namespace larder::cache
