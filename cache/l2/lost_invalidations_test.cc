#include "cache/l2/lost_invalidations.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cache/l2/system_tree.h"
#include "cache/namespace_table.h"
#include "cache/tombstone.h"
#include "gtest/gtest.h"

namespace larder::cache::l2 {
namespace {

std::string HashBytes(uint64_t hash) {
  return std::string(reinterpret_cast<const char*>(&hash), sizeof(hash));
}

Record RecordWith(Hlc hlc, std::vector<uint64_t> hashes = {}) {
  Record r;
  r.hlc = hlc;
  r.invalidation_hashes.assign(hashes.begin(), hashes.end());
  return r;
}

std::string KeyOf(TombstoneKind kind, const std::string& value) {
  return TombstoneEntryKey(7, {kind, "", value, Hlc{1}});
}

TEST(LostInvalidationsTest, NothingIsLostWithSynopses) {
  LostInvalidations lost;
  lost.Add(SynopsisEntryKey(7, 0), SynopsisEntryKey(7, 4), Hlc{100});
  lost.Add(SynopsisEntryKey(7, 9), "t", Hlc{100});
  EXPECT_TRUE(lost.empty());
  EXPECT_FALSE(lost.MayBeFlushed("a").has_value());
  EXPECT_FALSE(lost.AnyMayBeFlushed().has_value());
}

TEST(LostInvalidationsTest, ALostTreeMayHaveHeldAnything) {
  LostInvalidations lost;
  lost.Add("", "", Hlc{100});
  EXPECT_EQ(lost.MayBeFlushed("any"), Hlc{100});
  EXPECT_EQ(lost.AnyMayBeFlushed(), Hlc{100});
  EXPECT_TRUE(lost.MayCover(7, "k", RecordWith(Hlc{100})));
  EXPECT_FALSE(lost.MayCover(7, "k", RecordWith(Hlc{101})));
}

TEST(LostInvalidationsTest, NamesOutsideOfTheRangeAreNotFlushed) {
  LostInvalidations lost;
  lost.Add(NamespaceEntryKey("b"), NamespaceEntryKey("d"), Hlc{100});
  EXPECT_FALSE(lost.MayBeFlushed("a").has_value());
  EXPECT_EQ(lost.MayBeFlushed("b"), Hlc{100});
  EXPECT_EQ(lost.MayBeFlushed("cc"), Hlc{100});
  EXPECT_FALSE(lost.MayBeFlushed("d").has_value());
  EXPECT_FALSE(lost.MayCover(7, "b", RecordWith(Hlc{1}, {1, 2})));
}

TEST(LostInvalidationsTest, ATagThatCannotHaveBeenInTheRangeCoversNothing) {
  LostInvalidations lost;
  lost.Add(KeyOf(TombstoneKind::kTag, HashBytes(0x10)),
           KeyOf(TombstoneKind::kTag, HashBytes(0x20)), Hlc{100});
  EXPECT_TRUE(lost.MayCover(7, "k", RecordWith(Hlc{100}, {5, 0x11})));
  EXPECT_FALSE(lost.MayCover(7, "k", RecordWith(Hlc{101}, {5, 0x11})));
  EXPECT_FALSE(lost.MayCover(7, "k", RecordWith(Hlc{100}, {5, 0x20})));
  EXPECT_FALSE(lost.MayCover(7, "k", RecordWith(Hlc{100})));
  EXPECT_FALSE(lost.MayCover(8, "k", RecordWith(Hlc{100}, {0x11})));
  EXPECT_FALSE(lost.AnyMayBeFlushed().has_value());
}

TEST(LostInvalidationsTest, SaysWhoseTombstonesMayBeLost) {
  LostInvalidations lost;
  lost.Add(KeyOf(TombstoneKind::kTag, HashBytes(0x10)),
           KeyOf(TombstoneKind::kTag, HashBytes(0x20)), Hlc{100});
  lost.Add(KeyOf(TombstoneKind::kPrefix, "b"), TombstoneEntryKey(9, {}),
           Hlc{50});
  EXPECT_FALSE(lost.MayHaveHadTombstones(6).has_value());
  EXPECT_EQ(lost.MayHaveHadTombstones(7), Hlc{100});
  EXPECT_EQ(lost.MayHaveHadTombstones(8), Hlc{50});
  EXPECT_FALSE(lost.MayHaveHadTombstones(10).has_value());
}

TEST(LostInvalidationsTest, PrefixesCoverWhatBeginsWithThem) {
  LostInvalidations lost;
  lost.Add(KeyOf(TombstoneKind::kPrefix, "b"),
           KeyOf(TombstoneKind::kPrefix, "b/c"), Hlc{100});
  EXPECT_TRUE(lost.MayCover(7, "b", RecordWith(Hlc{1})));
  EXPECT_TRUE(lost.MayCover(7, "b/z", RecordWith(Hlc{1})));
  EXPECT_FALSE(lost.MayCover(7, "a", RecordWith(Hlc{1})));
  EXPECT_FALSE(lost.MayCover(7, "c", RecordWith(Hlc{1})));
}

// Whatever tombstone stood in a range that is lost: what it covers may be
// covered.
TEST(LostInvalidationsTest, NoTombstoneOfTheRangeIsMissed) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  const auto word = [&] {
    std::string out;
    for (uint64_t n = random() % 4; n > 0; --n) out += "a/b"[random() % 3];
    return out;
  };
  const auto tombstone = [&]() -> Tombstone {
    Tombstone t;
    t.hlc = Hlc{1 + random() % 50};
    t.kind = static_cast<TombstoneKind>(2 + random() % 3);
    t.value = t.kind == TombstoneKind::kPrefix ? word()
                                               : HashBytes(random() % 20 << 56);
    return t;
  };
  int covered = 0, spared = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string low = TombstoneEntryKey(6 + random() % 3, tombstone());
    std::string high = TombstoneEntryKey(6 + random() % 3, tombstone());
    if (low > high) std::swap(low, high);
    if (random() % 10 == 0) high.clear();
    const Hlc through{25};
    LostInvalidations lost;
    lost.Add(low, high, through);
    const Tombstone t = tombstone();
    const std::string at = TombstoneEntryKey(7, t);
    const bool in_range = at >= low && (high.empty() || at < high);
    Namespace ns("n", 7);
    ns.Add(t);
    const std::string key = absl::StrCat(word(), word(), "k");
    const Record record = RecordWith(
        Hlc{1 + random() % 50}, {random() % 20 << 56, random() % 20 << 56});
    const bool may_cover = lost.MayCover(7, key, record);
    ++(may_cover ? covered : spared);
    if (in_range && t.hlc <= through &&
        !ns.IsValid(key, record.hlc, record.invalidation_hashes)) {
      EXPECT_TRUE(may_cover);
    }
    EXPECT_FALSE(may_cover && record.hlc > through);
  }
  EXPECT_GT(covered, 100);
  EXPECT_GT(spared, 100);
}

}  // namespace
}  // namespace larder::cache::l2
