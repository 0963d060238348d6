#include "cache/l2/page.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace larder::cache::l2 {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kPage = 12;
constexpr uint64_t kEpoch = 7;

struct Built {
  std::string bytes;
  ChildRef ref;
};

Built Finish(PageBuilder* builder) {
  Built built;
  built.ref = builder->Finish(kPage, kEpoch);
  built.bytes = std::string(builder->bytes());
  return built;
}

Built LeafOf(const std::map<std::string, std::string>& entries) {
  PageBuilder builder(0);
  for (const auto& [key, value] : entries) builder.AddValue(key, value);
  return Finish(&builder);
}

ChildRef SomeChild(uint64_t i) {
  return {.page = 100 + i,
          .epoch = i % (kEpoch + 1),
          .checksum = i * 0x9E3779B97F4A7C15,
          .entries = i * 10};
}

Built InnerOf(const std::vector<std::string>& fences) {
  PageBuilder builder(3);
  for (size_t i = 0; i < fences.size(); ++i) {
    builder.AddChild(fences[i], SomeChild(i));
  }
  return Finish(&builder);
}

PageView Open(const Built& built) {
  auto view = PageView::Verify(built.bytes.data(), built.ref);
  EXPECT_TRUE(view.ok()) << view.status();
  return *view;
}

// Makes the checksums fit whatever the bytes are now.
void FixChecksum(Built* built) {
  built->ref.checksum =
      XXH3_64bits(built->bytes.data() + 8, built->bytes.size() - 8);
  std::memcpy(built->bytes.data(), &built->ref.checksum, 8);
}

std::string ErrorOf(const Built& built) {
  const auto view = PageView::Verify(built.bytes.data(), built.ref);
  EXPECT_TRUE(absl::IsDataLoss(view.status())) << view.status();
  return std::string(view.status().message());
}

TEST(PageTest, AnEmptyLeafIsAPage) {
  const Built built = LeafOf({});
  const PageView view = Open(built);
  EXPECT_EQ(view.level(), 0);
  EXPECT_EQ(view.size(), 0);
  EXPECT_EQ(view.LowerBound("a"), 0);
  EXPECT_EQ(view.Find(""), -1);
  EXPECT_EQ(built.ref, (ChildRef{kPage, kEpoch, built.ref.checksum, 0}));
}

TEST(PageTest, HeaderStandsWhereTheFormatSaysSo) {
  const Built built = LeafOf({{"ab1", "x"}, {"ab2", "yz"}});
  const std::string& bytes = built.bytes;
  EXPECT_EQ(bytes.substr(8, 32), std::string("\x0c\0\0\0\0\0\0\0"
                                             "\x07\0\0\0\0\0\0\0"
                                             "LPG1\0\0\x02\0"
                                             "\x02\0\0\0\0\0\0\0",
                                             32));
  // Heads behind the common prefix "ab", padded and turned around.
  EXPECT_EQ(bytes.substr(40, 8), std::string("\0\0\0\x31\0\0\0\x32", 8));
  // Offsets 4092 and 4087, three bytes of key each.
  EXPECT_EQ(bytes.substr(48, 8),
            std::string("\xfc\x0f\x03\0\xf7\x0f\x03\0", 8));
  EXPECT_EQ(bytes.substr(4087), "ab2yzab1x");
}

TEST(PageTest, ALeafFindsItsEntries) {
  std::map<std::string, std::string> entries = {
      {"", "empty key"}, {"a", ""},  {std::string("a\0", 2), "nul"},
      {"ab", "1"},       {"b", "2"}, {"\xff\xff\xff\xff\xff", "high"}};
  const Built built = LeafOf(entries);
  const PageView view = Open(built);
  ASSERT_EQ(view.size(), static_cast<int>(entries.size()));
  int i = 0;
  for (const auto& [key, value] : entries) {
    EXPECT_EQ(view.key(i), key);
    EXPECT_EQ(view.value(i), value);
    EXPECT_EQ(view.Find(key), i);
    EXPECT_EQ(view.LowerBound(key), i);
    ++i;
  }
  EXPECT_EQ(view.Find("aa"), -1);
  EXPECT_EQ(view.LowerBound("aa"), 3);
  EXPECT_EQ(view.LowerBound("\xff\xff\xff\xff\xff\xff"), 6);
}

TEST(PageTest, AnInnerPageLeadsToTheRightChild) {
  const Built built = InnerOf({"", "key5", "key50", "key7"});
  const PageView view = Open(built);
  EXPECT_EQ(view.level(), 3);
  EXPECT_EQ(built.ref.entries, 0u + 10 + 20 + 30);
  for (int i = 0; i < view.size(); ++i) EXPECT_EQ(view.child(i), SomeChild(i));
  EXPECT_EQ(view.ChildFor(""), 0);
  EXPECT_EQ(view.ChildFor("a"), 0);
  EXPECT_EQ(view.ChildFor("key"), 0);
  EXPECT_EQ(view.ChildFor("key4zzz"), 0);
  EXPECT_EQ(view.ChildFor("key5"), 1);
  EXPECT_EQ(view.ChildFor("key5 "), 1);
  EXPECT_EQ(view.ChildFor("key50"), 2);
  EXPECT_EQ(view.ChildFor("key6"), 2);
  EXPECT_EQ(view.ChildFor("key7"), 3);
  EXPECT_EQ(view.ChildFor("zzz"), 3);
  EXPECT_EQ(view.LowerBound(""), 0);
  EXPECT_EQ(view.LowerBound("a"), 1);
  EXPECT_EQ(view.LowerBound("key50"), 2);
  EXPECT_EQ(view.Find(""), 0);
  EXPECT_EQ(view.Find("key7"), 3);
  EXPECT_EQ(view.Find("key"), -1);
}

TEST(PageTest, AnInnerPageMayHaveOneChild) {
  const Built built = InnerOf({"low"});
  const PageView view = Open(built);
  EXPECT_EQ(view.ChildFor("low"), 0);
  EXPECT_EQ(view.ChildFor("zzz"), 0);
  EXPECT_EQ(view.LowerBound("m"), 1);
}

TEST(PageTest, SearchAgreesWithAPlainSearch) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 2000; ++round) {
    // Few letters and a shared prefix: many keys with equal heads.
    const std::string prefix(random() % 12, 'p');
    const auto some_key = [&] {
      std::string key = prefix;
      for (int n = random() % 9; n > 0; --n) key += "\0ab\xff"[random() % 4];
      return key;
    };
    std::vector<std::string> keys;
    // At most 53 bytes each in an inner page.
    for (int n = random() % 75; n >= 0; --n) keys.push_back(some_key());
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    const bool leaf = round % 2 == 0;
    std::map<std::string, std::string> entries;
    for (const std::string& key : keys) entries[key] = "v";
    const Built built = leaf ? LeafOf(entries) : InnerOf(keys);
    const PageView view = Open(built);
    for (int probe = 0; probe < 100; ++probe) {
      std::string key = some_key();
      if (random() % 4 == 0) key = key.substr(0, random() % (key.size() + 1));
      if (random() % 8 == 0) key = "q" + key;
      const int want =
          std::lower_bound(keys.begin(), keys.end(), key) - keys.begin();
      const bool present = want < view.size() && keys[want] == key;
      ASSERT_EQ(view.LowerBound(key), want);
      ASSERT_EQ(view.Find(key), present ? want : -1);
      if (!leaf) {
        ASSERT_EQ(view.ChildFor(key), std::max(0, present ? want : want - 1));
      }
    }
  }
}

TEST(PageTest, TwoLargestEntriesFitAndThreeLargestChildren) {
  PageBuilder leaf(0);
  const std::string key_a(kTreeKeyBytesMax, 'a');
  const std::string key_b(kTreeKeyBytesMax, 'b');
  const std::string key_c(kTreeKeyBytesMax, 'c');
  const std::string value(kEntryBytesMax - kTreeKeyBytesMax, 'v');
  leaf.AddValue(key_a, value);
  ASSERT_TRUE(leaf.Fits(key_b, value.size()));
  leaf.AddValue(key_b, value);
  EXPECT_FALSE(leaf.Fits(key_c, value.size()));
  EXPECT_EQ(leaf.bytes_used(), 2 * (kSlotBytes + kEntryBytesMax));
  const Built built = Finish(&leaf);
  EXPECT_EQ(Open(built).value(1), value);

  const Built inner = InnerOf({key_a, key_b, key_c});
  EXPECT_EQ(Open(inner).child(2), SomeChild(2));
}

TEST(PageTest, AFullPageHasNoByteLeft) {
  PageBuilder leaf(0);
  int n = 0;
  while (leaf.Fits("0000", 0)) {
    leaf.AddValue(absl::StrCat(absl::Hex(n, absl::kZeroPad4)), "");
    ++n;
  }
  EXPECT_EQ(leaf.bytes_used(), kPageSpaceBytes);
  const Built built = Finish(&leaf);
  EXPECT_EQ(Open(built).Find("0000"), 0);
  EXPECT_EQ(Open(built).size(), n);
}

TEST(PageTest, TrustLooksAtTheIdentityOnly) {
  Built built = LeafOf({{"a", "1"}});
  EXPECT_TRUE(PageView::Trust(built.bytes.data(), built.ref).ok());
  built.bytes[kPageBytes - 1] ^= 1;
  EXPECT_TRUE(PageView::Trust(built.bytes.data(), built.ref).ok());
  for (int field = 0; field < 3; ++field) {
    ChildRef other = built.ref;
    (field == 0 ? other.page : field == 1 ? other.epoch : other.checksum) += 1;
    EXPECT_TRUE(
        absl::IsDataLoss(PageView::Trust(built.bytes.data(), other).status()));
  }
}

TEST(PageTest, VerifyRefusesAnotherIdentity) {
  const Built built = LeafOf({{"a", "1"}});
  Built other = built;
  ++other.ref.page;
  EXPECT_EQ(ErrorOf(other), "page 13: number: found 12 vs expected 13");
  other = built;
  ++other.ref.epoch;
  EXPECT_EQ(ErrorOf(other), "page 12: epoch: found 7 vs expected 8");
  other = built;
  ++other.ref.entries;
  EXPECT_EQ(ErrorOf(other), "page 12: entries: found 1 vs expected 2");
  other = built;
  ++other.ref.checksum;
  EXPECT_THAT(ErrorOf(other), HasSubstr("page 12: checksum: found 0x"));
}

TEST(PageTest, VerifyRefusesEveryFlippedBit) {
  const Built leaf = LeafOf({{"a", "1"}, {"abc", "2"}});
  const Built inner = InnerOf({"", "k1", "k2"});
  for (const Built& whole : {leaf, inner}) {
    Built built = whole;
    for (size_t bit = 0; bit < 8 * kPageBytes; ++bit) {
      built.bytes[bit / 8] ^= 1 << (bit % 8);
      ASSERT_FALSE(PageView::Verify(built.bytes.data(), built.ref).ok()) << bit;
      built.bytes[bit / 8] ^= 1 << (bit % 8);
    }
  }
}

// Damage that a forger gave the right checksum.
struct Forgery {
  const char* what;
  size_t at;
  uint16_t value;
};

TEST(PageTest, VerifyRefusesForgedLeaves) {
  const std::vector<Forgery> forgeries = {
      {"magic", 24, 0},
      {"level", 28, 32},
      {"entries in page", 30, 600},
      {"entry 1: offset", 30, 3},
      {"prefix bytes", 32, 0},
      {"reserved bytes", 34, 1},
      {"entry 0: head", 40, 1},
      {"entry 0: offset", 48, 4097},
      {"entry 0: offset", 48, 10},
      {"entry 0: key bytes", 50, 5},
      {"entry 1: offset", 52, 4093},
      {"entry 0: bytes", 48, 2000},
      {"free space in use at byte", 2000, 1},
      {"not above the one before it", 4087, 0x6161},
  };
  for (const Forgery& forgery : forgeries) {
    Built built = LeafOf({{"ab1", "x"}, {"ab2", "yz"}});
    std::memcpy(&built.bytes[forgery.at], &forgery.value, 2);
    FixChecksum(&built);
    EXPECT_THAT(ErrorOf(built), HasSubstr(forgery.what)) << forgery.at;
  }
}

TEST(PageTest, VerifyRefusesForgedParents) {
  // Entries: 4070 "" and child, 4042 "k1" and child.
  const std::vector<Forgery> forgeries = {
      {"entry 0: head", 40, 1},
      {"entry 0: child page", 4070, 0},
      {"entry 0: child page", 4070, kPage},
      {"entry 1: child epoch", 4050, 8},
      {"entries: found", 4064, 11},
      {"entry 0: key bytes", 50, 1},
      {"entry 1: bytes", 54, 1},
  };
  for (const Forgery& forgery : forgeries) {
    Built built = InnerOf({"", "k1"});
    std::memcpy(&built.bytes[forgery.at], &forgery.value, 2);
    FixChecksum(&built);
    EXPECT_THAT(ErrorOf(built), HasSubstr(forgery.what)) << forgery.at;
  }
}

// Whatever Verify() lets pass can be used without reading out of bounds.
void UseEverything(const PageView& view) {
  size_t sum = 0;
  for (int i = 0; i < view.size(); ++i) {
    for (const char c : view.key(i)) sum += c;
    if (view.level() == 0) {
      for (const char c : view.value(i)) sum += c;
    } else {
      sum += view.child(i).page;
    }
    ASSERT_EQ(view.Find(view.key(i)), i);
    ASSERT_EQ(view.LowerBound(view.key(i)), i);
  }
  if (view.level() > 0) sum += view.ChildFor("k15");
  EXPECT_GE(sum + 1, 1u);
}

TEST(PageTest, ASoundPageSaysWhatItIs) {
  for (Built built : {LeafOf({{"ab1", "x"}, {"ab2", "yz"}}), LeafOf({}),
                      InnerOf({"", "k1", "k2"})}) {
    const auto self = PageView::SelfRef(built.bytes.data());
    ASSERT_TRUE(self.ok()) << self.status();
    EXPECT_EQ(*self, built.ref);
    for (size_t at = 0; at < kPageBytes; at += 7) {
      built.bytes[at] ^= 0x20;
      EXPECT_TRUE(
          absl::IsDataLoss(PageView::SelfRef(built.bytes.data()).status()))
          << at;
      built.bytes[at] ^= 0x20;
    }
  }
}

TEST(PageTest, ForgedBytesAreRefusedOrSafe) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  const Built leaf = LeafOf({{"k1", "v1"}, {"k123456", "v"}, {"k2", ""}});
  const Built inner = InnerOf({"", "k1", "k123456", "k2"});
  int passed = 0;
  for (int round = 0; round < 100'000; ++round) {
    Built built = random() % 2 == 0 ? leaf : inner;
    for (int n = random() % 3; n >= 0; --n) {
      // The header, heads and slots; or the entries at the end.
      const size_t at = random() % 2 == 0 ? 24 + random() % 60
                                          : kPageBytes - 1 - random() % 130;
      built.bytes[at] = random() % 2 == 0 ? random() : built.bytes[at] + 1;
    }
    FixChecksum(&built);
    // On the heap and of the exact size, so that ASan sees what is beyond.
    const std::vector<char> exact(built.bytes.begin(), built.bytes.end());
    const auto view = PageView::Verify(exact.data(), built.ref);
    // Nor can what it says of itself be more than what it is.
    const auto self = PageView::SelfRef(exact.data());
    EXPECT_TRUE(self.ok() || !view.ok()) << self.status();
    if (!view.ok()) continue;
    ++passed;
    UseEverything(*view);
  }
  EXPECT_GT(passed, 0);
}

// A page that was verified may turn into anything, zeros mostly, while it is
// read: what it says means nothing then, and is found within the page.
TEST(PageTest, APageThatChangesIsReadWithinItsBytes) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  std::map<std::string, std::string> entries;
  std::vector<std::string> fences = {""};
  for (int i = 100; i < 190; ++i) {
    entries[absl::StrCat("key", i)] = std::string(i % 30, 'v');
    if (i < 170) fences.push_back(absl::StrCat("key", i));
  }
  const Built leaf = LeafOf(entries);
  const Built inner = InnerOf(fences);
  for (int round = 0; round < 20'000; ++round) {
    const Built& built = round % 2 == 0 ? leaf : inner;
    // On the heap and of the exact size, so that ASan sees what is beyond.
    std::vector<char> exact(built.bytes.begin(), built.bytes.end());
    const auto view = PageView::Trust(exact.data(), built.ref);
    ASSERT_TRUE(view.ok()) << view.status();
    constexpr size_t kChanges = 24;  // Behind the identity.
    const uint64_t how = random() % 4;
    if (how == 0) std::fill(exact.begin() + kChanges, exact.end(), '\0');
    for (size_t at = kChanges; how == 1 && at < kPageBytes; ++at) {
      exact[at] = static_cast<char>(random());
    }
    for (int n = 0; how > 1 && n < 40; ++n) {
      exact[kChanges + random() % (n < 20 ? 700 : kPageBytes - kChanges)] =
          static_cast<char>(random());
    }
    size_t sum = 0;
    const auto use = [&sum](absl::string_view bytes) {
      for (const char c : bytes) sum += static_cast<uint8_t>(c);
    };
    for (int i = 0; i < view->size(); ++i) {
      use(view->key(i));
      use(view->value(i));
      sum += view->child(i).page;
    }
    for (const absl::string_view key : {"", "key", "key135", "key200", "z"}) {
      const int at = view->LowerBound(key);
      EXPECT_GE(at, 0);
      EXPECT_LE(at, view->size());
      EXPECT_LT(view->Find(key), std::max(view->size(), 1));
      EXPECT_LE(view->ChildFor(key), view->size());
    }
    EXPECT_GE(sum + 1, 1u);
  }
}

}  // namespace
}  // namespace larder::cache::l2
