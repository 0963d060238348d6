#include "backup/retention.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "backup/archive.h"
#include "backup/format/dump.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class RetentionTest : public ::testing::Test {
 protected:
  // Adds a snapshot named `id`. Returns it, until the next call.
  SnapshotEntry& Add(const std::string& id, absl::CivilSecond time,
                     const std::string& base = "",
                     const std::string& lineage = "one",
                     const std::vector<std::string>& ancestors = {}) {
    SnapshotEntry& entry = snapshots_.emplace_back();
    entry.id = id;
    entry.complete = true;
    entry.manifest.set_ordinal(snapshots_.size());
    format::DumpHeader* header = entry.manifest.mutable_header();
    header->set_snapshot_id(id);
    header->set_created_unix_ms(
        absl::ToUnixMillis(absl::FromCivil(time, zone_)));
    header->set_base_snapshot_id(base);
    format::SourceInfo* source = header->add_sources();
    source->set_kind(format::SOURCE_KIND_BLOB_CACHE);
    source->mutable_cache()->set_lineage(lineage);
    for (const std::string& ancestor : ancestors) {
      source->mutable_cache()->add_ancestors(ancestor);
    }
    entry.manifest.mutable_trailer()->add_sources();
    return entry;
  }
  // "id: reasons" of those that stay.
  std::vector<std::string> Kept(const RetentionPolicy& policy) {
    std::vector<std::string> kept;
    for (const auto& d :
         DecideRetention(snapshots_, policy, leased_, damaged_, zone_)) {
      if (d.keep()) {
        kept.push_back(
            absl::StrCat(d.id, ": ", absl::StrJoin(d.reasons, ", ")));
      }
    }
    return kept;
  }

  absl::TimeZone zone_ = absl::UTCTimeZone();
  std::vector<SnapshotEntry> snapshots_;
  absl::flat_hash_map<std::string, std::string> leased_;
  absl::flat_hash_set<std::string> damaged_;
};

TEST_F(RetentionTest, NothingStaysOfNothing) {
  EXPECT_THAT(Kept({.last = 1}), IsEmpty());
}

TEST_F(RetentionTest, KeepsTheLast) {
  for (int day = 1; day <= 4; ++day) {
    Add(absl::StrCat("d", day), absl::CivilSecond(2026, 11, day));
  }
  EXPECT_THAT(Kept({.last = 2}),
              ElementsAre("d3: last", "d4: last, newest complete"));
  EXPECT_THAT(Kept({.last = 9}), ElementsAre("d1: last", "d2: last", "d3: last",
                                             "d4: last, newest complete"));
}

TEST_F(RetentionTest, TheNewestOfEachPeriodCounts) {
  Add("a", absl::CivilSecond(2025, 12, 31, 23, 0, 0));
  Add("b", absl::CivilSecond(2026, 11, 22, 8, 0, 0));  // Sunday.
  Add("c", absl::CivilSecond(2026, 11, 23, 8, 0, 0));  // Monday.
  Add("d", absl::CivilSecond(2026, 11, 23, 8, 59, 59));
  Add("e", absl::CivilSecond(2026, 11, 23, 9, 0, 0));
  EXPECT_THAT(Kept({.hourly = 2}),
              ElementsAre("d: hourly 2026-11-23T08",
                          "e: hourly 2026-11-23T09, newest complete"));
  EXPECT_THAT(Kept({.daily = 2}),
              ElementsAre("b: daily 2026-11-22",
                          "e: daily 2026-11-23, newest complete"));
  EXPECT_THAT(Kept({.weekly = 2}),
              ElementsAre("b: weekly 2026-11-16",
                          "e: weekly 2026-11-23, newest complete"));
  // A month without any does not count.
  EXPECT_THAT(
      Kept({.monthly = 2}),
      ElementsAre("a: monthly 2025-12", "e: monthly 2026-11, newest complete"));
  EXPECT_THAT(Kept({.yearly = 5}),
              ElementsAre("a: yearly 2025", "e: yearly 2026, newest complete"));
  EXPECT_THAT(Kept({.last = 1, .daily = 1}),
              ElementsAre("e: last, daily 2026-11-23, newest complete"));
}

// Two servers that back up to one archive do not push each other out.
TEST_F(RetentionTest, EachCacheHasItsOwn) {
  Add("b1", absl::CivilSecond(2026, 11, 1), "", "other");
  Add("b2", absl::CivilSecond(2026, 11, 2), "", "other");
  for (int day = 3; day <= 6; ++day) {
    Add(absl::StrCat("a", day), absl::CivilSecond(2026, 11, day));
  }
  EXPECT_THAT(Kept({.last = 1}), ElementsAre("b2: last, newest complete",
                                             "a6: last, newest complete"));
  EXPECT_THAT(Kept({.daily = 2}),
              ElementsAre("b1: daily 2026-11-01",
                          "b2: daily 2026-11-02, newest complete",
                          "a5: daily 2026-11-05",
                          "a6: daily 2026-11-06, newest complete"));
}

// Else each restore would leave the snapshots from before it for good.
TEST_F(RetentionTest, WhatWasRestoredIsTheSameCache) {
  Add("a", absl::CivilSecond(2026, 11, 1), "", "one");
  Add("b", absl::CivilSecond(2026, 11, 2), "", "two", {"one"});
  Add("c", absl::CivilSecond(2026, 11, 3), "", "three", {"two", "one"});
  EXPECT_THAT(Kept({.last = 1}), ElementsAre("c: last, newest complete"));
  // Also where only what is newer tells.
  Add("d", absl::CivilSecond(2026, 11, 4), "", "four");
  Add("e", absl::CivilSecond(2026, 11, 5), "", "five", {"four", "three"});
  EXPECT_THAT(Kept({.last = 1}), ElementsAre("e: last, newest complete"));
}

TEST_F(RetentionTest, PeriodsAreThoseOfTheZone) {
  Add("a", absl::CivilSecond(2026, 11, 23, 22, 30, 0));
  Add("b", absl::CivilSecond(2026, 11, 23, 23, 30, 0));
  zone_ = absl::FixedTimeZone(60 * 60);  // There b is of the next day.
  EXPECT_THAT(Kept({.daily = 5}),
              ElementsAre("a: daily 2026-11-23",
                          "b: daily 2026-11-24, newest complete"));
}

TEST_F(RetentionTest, AClockSetBackDoesNotMakeAPeriodCountTwice) {
  Add("a", absl::CivilSecond(2026, 11, 23, 8, 0, 0));
  Add("b", absl::CivilSecond(2026, 11, 24, 8, 0, 0));
  Add("c", absl::CivilSecond(2026, 11, 23, 9, 0, 0));
  EXPECT_THAT(Kept({.daily = 9}),
              ElementsAre("b: daily 2026-11-24",
                          "c: daily 2026-11-23, newest complete"));
}

TEST_F(RetentionTest, WhatADeltaBuildsOnStays) {
  Add("full", absl::CivilSecond(2026, 11, 1, 0, 0, 0));
  Add("one", absl::CivilSecond(2026, 11, 2, 0, 0, 0), "full");
  Add("two", absl::CivilSecond(2026, 11, 3, 0, 0, 0), "one");
  Add("fork", absl::CivilSecond(2026, 11, 4, 0, 0, 0), "full");
  EXPECT_THAT(Kept({.last = 1}),
              ElementsAre("full: base of fork", "fork: last, newest complete"));
  leased_["two"] = "being read";
  EXPECT_THAT(Kept({.last = 1}),
              ElementsAre("full: base of fork", "one: base of two",
                          "two: being read", "fork: last, newest complete"));
}

TEST_F(RetentionTest, IncompleteOnesCountForNothingAndTheNewestWholeOneStays) {
  Add("a", absl::CivilSecond(2026, 11, 1, 0, 0, 0));
  Add("b", absl::CivilSecond(2026, 11, 2, 0, 0, 0)).complete = false;
  snapshots_.back().incomplete_code = absl::StatusCode::kDataLoss;
  Add("c", absl::CivilSecond(2026, 11, 3, 0, 0, 0)).complete = false;
  snapshots_.back().incomplete_code = absl::StatusCode::kInternal;
  // Both are newer than the newest that is whole, and may tell of flushes.
  EXPECT_THAT(Kept({.yearly = 1}),
              ElementsAre("a: yearly 2026, newest complete",
                          "b: tells what was flushed for older ones",
                          "c: cannot be read now"));
  Add("d", absl::CivilSecond(2026, 11, 4, 0, 0, 0));
  EXPECT_THAT(Kept({.last = 1}),
              ElementsAre("c: cannot be read now", "d: last, newest complete"));
}

// A restore of it would lose something, and of another one maybe nothing.
TEST_F(RetentionTest, DamagedOnesTakeNobodysPlace) {
  for (int day = 1; day <= 4; ++day) {
    Add(absl::StrCat("d", day), absl::CivilSecond(2026, 11, day));
  }
  damaged_ = {"d3", "d4"};
  EXPECT_THAT(Kept({.last = 1}),
              ElementsAre("d2: last, newest not found damaged",
                          "d4: last, newest complete"));
  EXPECT_THAT(Kept({.last = 2}),
              ElementsAre("d1: last", "d2: last, newest not found damaged",
                          "d3: last", "d4: last, newest complete"));
  EXPECT_THAT(Kept({.monthly = 1}),
              ElementsAre("d2: monthly 2026-11, newest not found damaged",
                          "d4: monthly 2026-11, newest complete"));
  // Most of them may be sound, and nothing else is there.
  damaged_ = {"d1", "d2", "d3", "d4"};
  EXPECT_THAT(Kept({.last = 2}),
              ElementsAre("d3: last", "d4: last, newest complete"));
  damaged_ = {"d1", "d3"};
  EXPECT_THAT(Kept({.last = 1}), ElementsAre("d4: last, newest complete"));
  EXPECT_THAT(Kept({.last = 2}),
              ElementsAre("d2: last", "d3: last", "d4: last, newest complete"));
}

// Who restores an older one needs what was flushed since, of its own lineage
// and of those restored from it.
TEST_F(RetentionTest, WhatTellsOfFlushesStays) {
  Add("a1", absl::CivilSecond(2026, 1, 1, 0, 0, 0), "", "a");
  Add("a2", absl::CivilSecond(2026, 1, 2, 0, 0, 0), "", "a");
  Add("a3", absl::CivilSecond(2026, 1, 3, 0, 0, 0), "", "a");
  Add("b1", absl::CivilSecond(2026, 1, 4, 0, 0, 0), "", "b", {"a"});
  Add("b2", absl::CivilSecond(2026, 1, 5, 0, 0, 0), "", "b", {"a"});
  Add("c1", absl::CivilSecond(2026, 1, 6, 0, 0, 0), "", "c", {"b"});
  EXPECT_THAT(Kept({.last = 1}), ElementsAre("c1: last, newest complete"));
  leased_["a2"] = "being read";
  EXPECT_THAT(
      Kept({.last = 1}),
      ElementsAre("a2: being read", "a3: tells what was flushed for older ones",
                  "b2: tells what was flushed for older ones",
                  "c1: last, newest complete"));
  leased_ = {{"b1", "held for /new"}};
  EXPECT_THAT(Kept({.last = 1}),
              ElementsAre("b1: held for /new",
                          "b2: tells what was flushed for older ones",
                          "c1: last, newest complete"));
}

}  // namespace
}  // namespace larder::backup
