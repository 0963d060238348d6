#include "cache/l1/l1_cache.h"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/config.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace larder::cache::l1 {
namespace {

constexpr int64_t kNow = 1'700'000'000'000;

std::shared_ptr<const Blob> MakeBlob(std::string bytes, Expiry expiry = {},
                                     uint64_t hlc = 1, uint8_t priority = 128) {
  BlobAttributes attributes;
  attributes.hlc = Hlc{hlc};
  attributes.expiry = expiry;
  attributes.priority = priority;
  return std::make_shared<const Blob>(std::move(attributes), std::move(bytes));
}

std::set<std::string> KeysOf(const L1Cache& cache) {
  std::set<std::string> keys;
  cache.ForEach([&](const L1Cache::EntryView& entry) {
    keys.insert(std::string(entry.key));
    return true;
  });
  return keys;
}

int64_t SweepAll(L1Cache* cache, int64_t now, std::set<std::string>* keys) {
  return cache->SweepDue(now, 1'000'000, [&](const L1Cache::EntryView& entry) {
    keys->insert(std::string(entry.key));
  });
}

TEST(L1CacheTest, FindsWhatWasInsertedUnderItsOwnNameOnly) {
  L1Cache cache({});
  const auto blob = MakeBlob("bytes");
  ASSERT_TRUE(cache.Insert("ns", "key", blob, kNow));
  EXPECT_EQ(cache.Get("ns", "key", kNow).blob, blob);
  EXPECT_EQ(cache.Get("n", "skey", kNow).blob, nullptr);
  EXPECT_EQ(cache.Get("nsk", "ey", kNow).blob, nullptr);
  EXPECT_EQ(cache.Get("ns", "", kNow).blob, nullptr);
  EXPECT_EQ(cache.Stats().entries, 1);
}

TEST(L1CacheTest, KeysHoldAnyBytes) {
  L1Cache cache({});
  const std::string key("a\0b\n\xff", 5);
  ASSERT_TRUE(cache.Insert("ns", key, MakeBlob(""), kNow));
  EXPECT_NE(cache.Get("ns", key, kNow).blob, nullptr);
  EXPECT_EQ(cache.Get("ns", "a", kNow).blob, nullptr);
}

TEST(L1CacheTest, InsertReplacesAndReleasesTheOldBytes) {
  L1Cache cache({});
  cache.Insert("ns", "key", MakeBlob(std::string(100'000, 'a')), kNow);
  cache.Insert("ns", "key", MakeBlob("b"), kNow + 5);
  const L1Cache::Found found = cache.Peek("ns", "key");
  EXPECT_EQ(found.blob->bytes(), "b");
  EXPECT_EQ(found.last_access_unix_ms, kNow + 5);
  EXPECT_EQ(cache.Stats().entries, 1);
  EXPECT_LT(cache.Stats().bytes_in_use, 1000);
}

TEST(L1CacheTest, GetNotesTheAccessAndPeekDoesNot) {
  L1Cache cache({});
  cache.Insert("ns", "key", MakeBlob("x"), kNow);
  EXPECT_EQ(cache.Get("ns", "key", kNow + 7).last_access_unix_ms, kNow);
  EXPECT_EQ(cache.Peek("ns", "key").last_access_unix_ms, kNow + 7);
  // A clock that stepped back does not shorten the idle time.
  EXPECT_EQ(cache.Get("ns", "key", kNow + 3).last_access_unix_ms, kNow + 7);
  EXPECT_EQ(cache.Peek("ns", "key").last_access_unix_ms, kNow + 7);
}

TEST(L1CacheTest, EraseSaysWhetherThereWasAnEntry) {
  L1Cache cache({});
  cache.Insert("ns", "key", MakeBlob("x"), kNow);
  EXPECT_FALSE(cache.Erase("ns", "other"));
  EXPECT_TRUE(cache.Erase("ns", "key"));
  EXPECT_FALSE(cache.Erase("ns", "key"));
  EXPECT_EQ(cache.Stats().bytes_in_use, 0);
}

TEST(L1CacheTest, AHiddenEntryIsNotReadUntilItIsReplaced) {
  L1Cache cache({});
  cache.Hide("ns", "key");
  cache.Insert("ns", "key", MakeBlob("old"), kNow);
  cache.Insert("ns", "other", MakeBlob("other"), kNow);
  cache.Hide("ns", "key");
  EXPECT_EQ(cache.Get("ns", "key", kNow).blob, nullptr);
  EXPECT_EQ(cache.Peek("ns", "key").blob, nullptr);
  EXPECT_NE(cache.Get("ns", "other", kNow).blob, nullptr);
  EXPECT_EQ(cache.Stats().entries, 2);
  cache.Insert("ns", "key", MakeBlob("new"), kNow);
  EXPECT_EQ(cache.Get("ns", "key", kNow).blob->bytes(), "new");
  cache.Hide("ns", "key");
  EXPECT_TRUE(cache.Erase("ns", "key"));
  EXPECT_EQ(cache.Stats().entries, 1);
}

TEST(L1CacheTest, EraseIfUnchangedSparesANewerBlob) {
  L1Cache cache({});
  cache.Insert("ns", "key", MakeBlob("new", {}, 8), kNow);
  EXPECT_FALSE(cache.EraseIfUnchanged("ns", "key", Hlc{7}));
  EXPECT_NE(cache.Peek("ns", "key").blob, nullptr);
  EXPECT_TRUE(cache.EraseIfUnchanged("ns", "key", Hlc{8}));
  EXPECT_FALSE(cache.EraseIfUnchanged("ns", "key", Hlc{8}));
}

TEST(L1CacheTest, ABlobOverAQuarterOfTheBoundIsRefusedAndDropsTheOld) {
  L1Cache cache({.bytes_max = 100'000});
  EXPECT_TRUE(cache.Insert("ns", "key", MakeBlob("old"), kNow));
  EXPECT_TRUE(
      cache.Insert("ns", "fits", MakeBlob(std::string(24'000, 'x')), kNow));
  EXPECT_FALSE(
      cache.Insert("ns", "key", MakeBlob(std::string(25'001, 'x')), kNow));
  EXPECT_EQ(KeysOf(cache), std::set<std::string>{"fits"});
}

TEST(L1CacheTest, ABoundOfZeroHoldsNothing) {
  L1Cache cache({.bytes_max = 0});
  EXPECT_FALSE(cache.Insert("ns", "key", MakeBlob(""), kNow));
  EXPECT_EQ(cache.Stats().entries, 0);
}

TEST(L1CacheTest, AHeldBlobOutlivesEvictionAndCache) {
  auto cache = std::make_unique<L1Cache>(L1Cache::Options{.bytes_max = 4096});
  cache->Insert("ns", "held", MakeBlob(std::string(500, 'h')), kNow);
  const auto held = cache->Get("ns", "held", kNow).blob;
  for (int i = 0; i < 1000; ++i) {
    cache->Insert("ns", absl::StrCat(i), MakeBlob(std::string(500, 'x')), kNow);
  }
  EXPECT_EQ(cache->Peek("ns", "held").blob, nullptr);
  cache.reset();
  EXPECT_EQ(held->bytes(), std::string(500, 'h'));
}

// --- Eviction ---------------------------------------------------------------

// Fills a cache far beyond its bound with `noise`, beside what `cache` holds.
void AddNoise(L1Cache* cache, int entries) {
  for (int i = 0; i < entries; ++i) {
    cache->Insert("noise", absl::StrCat(i), MakeBlob(std::string(500, 'n')),
                  kNow);
  }
}

TEST(L1CacheTest, WhatIsReadOftenStays) {
  L1Cache cache({.bytes_max = 100'000});
  cache.Insert("ns", "hot", MakeBlob(std::string(500, 'h')), kNow);
  cache.Insert("ns", "cold", MakeBlob(std::string(500, 'c')), kNow);
  for (int i = 0; i < 20; ++i) cache.Get("ns", "hot", kNow);
  AddNoise(&cache, 400);
  EXPECT_NE(cache.Peek("ns", "hot").blob, nullptr);
  EXPECT_EQ(cache.Peek("ns", "cold").blob, nullptr);
}

TEST(L1CacheTest, WhatIsNoLongerReadGoesInTheEnd) {
  L1Cache cache({.bytes_max = 100'000});
  cache.Insert("ns", "was hot", MakeBlob(std::string(500, 'h')), kNow);
  for (int i = 0; i < 1000; ++i) cache.Get("ns", "was hot", kNow);
  AddNoise(&cache, 20'000);
  EXPECT_EQ(cache.Peek("ns", "was hot").blob, nullptr);
}

TEST(L1CacheTest, LargeGoesBeforeSmall) {
  L1Cache cache({.bytes_max = 100'000});
  cache.Insert("ns", "large", MakeBlob(std::string(20'000, 'l')), kNow);
  cache.Insert("ns", "small", MakeBlob("s"), kNow);
  AddNoise(&cache, 150);
  EXPECT_EQ(cache.Peek("ns", "large").blob, nullptr);
  EXPECT_NE(cache.Peek("ns", "small").blob, nullptr);
}

TEST(L1CacheTest, LowPriorityGoesBeforeHigh) {
  L1Cache cache({.bytes_max = 100'000});
  const std::string bytes(500, 'p');
  cache.Insert("ns", "high", MakeBlob(bytes, {}, 1, 192), kNow);
  cache.Insert("ns", "low", MakeBlob(bytes, {}, 1, 64), kNow);
  AddNoise(&cache, 200);
  EXPECT_NE(cache.Peek("ns", "high").blob, nullptr);
  EXPECT_EQ(cache.Peek("ns", "low").blob, nullptr);
}

TEST(L1CacheTest, WhatIsDueGoesBeforeWhatIsNot) {
  L1Cache cache({.bytes_max = 100'000, .shards = 1});
  for (int i = 0; i < 30; ++i) {
    cache.Insert("due", absl::StrCat("due", i),
                 MakeBlob(std::string(1000, 'd'),
                          {.expires_at_unix_ms = kNow + 10}, 1, 255),
                 kNow);
    cache.Insert("ns", absl::StrCat("kept", i),
                 MakeBlob(std::string(1000, 'k'), {}, 1, 0), kNow);
  }
  ASSERT_EQ(cache.Stats().entries, 60);
  for (int i = 0; i < 20; ++i) {
    cache.Insert("ns", absl::StrCat("new", i), MakeBlob(std::string(1000, 'n')),
                 kNow + 10);
  }
  EXPECT_EQ(cache.Stats().evictions, 0);
  EXPECT_EQ(cache.Stats().expirations, 30);
  EXPECT_EQ(cache.Stats().entries, 50);
}

TEST(L1CacheTest, OneLargeBlobMayDisplaceThousandsOfSmallOnes) {
  L1Cache cache({.bytes_max = 4'000'000});
  for (int i = 0; i < 20'000; ++i) {
    cache.Insert("ns", absl::StrCat(i), MakeBlob("s"), kNow);
  }
  const int64_t before = cache.Stats().evictions;
  EXPECT_TRUE(
      cache.Insert("ns", "large", MakeBlob(std::string(900'000, 'l')), kNow));
  EXPECT_NE(cache.Peek("ns", "large").blob, nullptr);
  EXPECT_GT(cache.Stats().evictions - before, 1000);
  EXPECT_LE(cache.Stats().bytes_in_use, 4'000'000);
}

#if !defined(ABSL_HAVE_ADDRESS_SANITIZER) && \
    !defined(ABSL_HAVE_THREAD_SANITIZER)
int64_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
}

// The overhead that is counted is an upper bound of the real one, and not a
// wild one. At several sizes, since tables double.
TEST(L1CacheTest, BytesInUseAreWhatMallocGaveOut) {
  for (const int entries : {5000, 20'000, 33'000, 60'000}) {
    const int64_t before = HeapBytes();
    L1Cache cache({.bytes_max = int64_t{1} << 30});
    for (int i = 0; i < entries; ++i) {
      cache.Insert(
          "namespace", absl::StrCat("/some/key/of/a/page/", i),
          MakeBlob(std::string(100, 'x'), {.expires_at_unix_ms = kNow + i}),
          kNow);
    }
    const double real = static_cast<double>(HeapBytes() - before);
    const double counted = static_cast<double>(cache.Stats().bytes_in_use);
    EXPECT_LE(real, counted * 1.01) << entries;
    EXPECT_GE(real, counted * 0.75) << entries;
  }
}

TEST(L1CacheTest, TablesShrinkWithTheEntries) {
  L1Cache cache({.bytes_max = int64_t{1} << 30, .shards = 1});
  const int64_t before = HeapBytes();
  for (int i = 0; i < 100'000; ++i) {
    cache.Insert("ns", absl::StrCat(i), MakeBlob(""), kNow);
  }
  for (int i = 0; i < 99'990; ++i) cache.Erase("ns", absl::StrCat(i));
  EXPECT_EQ(cache.Stats().entries, 10);
  EXPECT_LT(HeapBytes() - before, 100'000);
}
#endif

// --- Expiry -----------------------------------------------------------------

TEST(L1CacheTest, SweepRemovesAtTheVeryMillisecondAndNotBefore) {
  L1Cache cache({});
  cache.Insert("ns", "ttl", MakeBlob("x", {.expires_at_unix_ms = kNow + 100}),
               kNow);
  cache.Insert(
      "ns", "stale",
      MakeBlob("x", {.expires_at_unix_ms = kNow + 100, .stale_ms = 50}), kNow);
  cache.Insert("ns", "idle", MakeBlob("x", {.idle_ttl_ms = 100}), kNow);
  cache.Insert("ns", "forever", MakeBlob("x"), kNow);
  std::set<std::string> swept;
  EXPECT_EQ(SweepAll(&cache, kNow + 99, &swept), 0);
  EXPECT_EQ(SweepAll(&cache, kNow + 100, &swept), 2);
  EXPECT_EQ(swept, (std::set<std::string>{"ttl", "idle"}));
  EXPECT_EQ(SweepAll(&cache, kNow + 149, &swept), 0);
  EXPECT_EQ(SweepAll(&cache, kNow + 150, &swept), 1);
  EXPECT_EQ(KeysOf(cache), std::set<std::string>{"forever"});
  EXPECT_EQ(cache.Stats().expirations, 3);
}

TEST(L1CacheTest, AReadExtendsTheIdleTimeButNotTheHardExpiry) {
  L1Cache cache({});
  cache.Insert(
      "ns", "idle",
      MakeBlob("x", {.expires_at_unix_ms = kNow + 250, .idle_ttl_ms = 100}),
      kNow);
  std::set<std::string> swept;
  cache.Get("ns", "idle", kNow + 90);
  // Due by its old schedule: looked at, and put off.
  EXPECT_EQ(SweepAll(&cache, kNow + 100, &swept), 1);
  EXPECT_TRUE(swept.empty());
  EXPECT_EQ(SweepAll(&cache, kNow + 189, &swept), 0);
  cache.Get("ns", "idle", kNow + 180);
  cache.Get("ns", "idle", kNow + 240);
  EXPECT_EQ(SweepAll(&cache, kNow + 249, &swept), 1);
  EXPECT_TRUE(swept.empty());
  EXPECT_EQ(SweepAll(&cache, kNow + 250, &swept), 1);
  EXPECT_EQ(swept, std::set<std::string>{"idle"});
}

TEST(L1CacheTest, ABoundedSweepGoesOnUntilNothingIsDue) {
  L1Cache cache({});
  for (int i = 0; i < 1000; ++i) {
    cache.Insert("ns", absl::StrCat(i),
                 MakeBlob("x", {.expires_at_unix_ms = kNow + 1}), kNow);
  }
  int calls = 0;
  int removed = 0;
  int64_t scanned = 0;
  do {
    scanned = cache.SweepDue(kNow + 1, 30,
                             [&](const L1Cache::EntryView&) { ++removed; });
    EXPECT_LE(scanned, 30);
    ++calls;
  } while (scanned == 30);
  EXPECT_EQ(removed, 1000);
  EXPECT_EQ(calls, 1000 / 30 + 1);
  EXPECT_EQ(cache.Stats().bytes_in_use, 0);
}

TEST(L1CacheTest, ASweepCostsWhatIsDueAndNotWhatIsStored) {
  L1Cache cache({});
  for (int i = 0; i < 10'000; ++i) {
    cache.Insert("ns", absl::StrCat(i),
                 MakeBlob("x", {.expires_at_unix_ms = kNow + 1 + i}), kNow);
  }
  std::set<std::string> swept;
  EXPECT_EQ(SweepAll(&cache, kNow + 3, &swept), 3);
  EXPECT_EQ(swept, (std::set<std::string>{"0", "1", "2"}));
}

TEST(L1CacheTest, TheSweepersCallbackMayUseTheCache) {
  L1Cache cache({});
  cache.Insert("ns", "key", MakeBlob("x", {.expires_at_unix_ms = kNow}), kNow);
  cache.SweepDue(kNow, 10, [&](const L1Cache::EntryView& entry) {
    cache.Insert(entry.ns, entry.key, MakeBlob("again"), kNow);
  });
  EXPECT_EQ(cache.Peek("ns", "key").blob->bytes(), "again");
}

// --- Walks ------------------------------------------------------------------

TEST(L1CacheTest, SweepWhereVisitsEachOnceAndRemovesTheDead) {
  L1Cache cache({.shards = 4});
  std::set<std::string> all;
  for (int i = 0; i < 500; ++i) {
    all.insert(absl::StrCat(i));
    cache.Insert("ns", absl::StrCat(i), MakeBlob("x"), kNow);
  }
  uint64_t cursor = 0;
  std::multiset<std::string> visited;
  int64_t total = 0;
  do {
    const int64_t n =
        cache.SweepWhere(&cursor, 7, [&](const L1Cache::EntryView& entry) {
          visited.insert(std::string(entry.key));
          return entry.key.back() == '3';
        });
    EXPECT_LE(n, 7);
    total += n;
  } while (cursor != 0);
  // A removal moves one that was visited into the gap, where it is met again.
  EXPECT_GE(total, 500);
  EXPECT_EQ(std::set<std::string>(visited.begin(), visited.end()), all);
  EXPECT_EQ(cache.Stats().entries, 450);
  for (const std::string& key : KeysOf(cache)) EXPECT_NE(key.back(), '3');
}

TEST(L1CacheTest, SweepWhereOfAnEmptyCacheIsDoneAtOnce) {
  L1Cache cache({});
  uint64_t cursor = 0;
  EXPECT_EQ(cache.SweepWhere(&cursor, 64,
                             [](const L1Cache::EntryView&) { return true; }),
            0);
  EXPECT_EQ(cursor, 0u);
}

TEST(L1CacheTest, ForEachStopsWhenTold) {
  L1Cache cache({});
  for (int i = 0; i < 100; ++i) {
    cache.Insert("ns", absl::StrCat(i), MakeBlob("x"), kNow);
  }
  int visited = 0;
  cache.ForEach([&](const L1Cache::EntryView&) { return ++visited < 5; });
  EXPECT_EQ(visited, 5);
}

TEST(L1CacheTest, WalksMissNothingThatStaysThroughoutBesideTraffic) {
  L1Cache cache({.shards = 2});
  std::set<std::string> staying;
  for (int i = 0; i < 600; ++i) {
    cache.Insert("ns", absl::StrCat("going", i), MakeBlob("x"), kNow);
    cache.Insert("ns", absl::StrCat("staying", i), MakeBlob("x"), kNow);
    staying.insert(absl::StrCat("staying", i));
  }
  std::atomic<bool> stop{false};
  std::thread traffic([&] {
    std::mt19937 random(1);
    while (!stop) {
      const std::string key = absl::StrCat("going", random() % 600);
      if (!cache.Erase("ns", key)) {
        cache.Insert("ns", key, MakeBlob("x"), kNow);
      }
    }
  });
  for (int round = 0; round < 20; ++round) {
    const std::set<std::string> seen = KeysOf(cache);
    EXPECT_TRUE(std::includes(seen.begin(), seen.end(), staying.begin(),
                              staying.end()));
    std::set<std::string> swept;
    uint64_t cursor = 0;
    do {
      cache.SweepWhere(&cursor, 64, [&](const L1Cache::EntryView& entry) {
        swept.insert(std::string(entry.key));
        return entry.key.back() == '9' && entry.key.front() == 'g';
      });
    } while (cursor != 0);
    EXPECT_TRUE(std::includes(swept.begin(), swept.end(), staying.begin(),
                              staying.end()));
  }
  stop = true;
  traffic.join();
}

// --- Against a plain map ----------------------------------------------------

class Model {
 public:
  Model(uint32_t seed, int64_t bytes_max)
      : random_(seed),
        cache_({.bytes_max = bytes_max, .shards = 1 << (seed % 4)}) {}

  void Step() {
    now_ += static_cast<int64_t>(random_() % 3);
    switch (random_() % 10) {
      case 0:
      case 1:
      case 2:
        return Insert();
      case 3:
        return Erase();
      case 4:
        return Sweep();
      case 5:
        return SweepSome();
      default:
        return Get();
    }
  }

  // What the cache holds is in the map, as the map has it; what is missing is
  // as much as was evicted or found due.
  void Reconcile() {
    std::map<std::string, Held> found;
    cache_.ForEach([&](const L1Cache::EntryView& entry) {
      const std::string key(entry.key);
      EXPECT_TRUE(map_.contains(key)) << key;
      EXPECT_EQ(map_[key].blob.get(), entry.blob);
      EXPECT_EQ(map_[key].last_access, entry.last_access_unix_ms);
      found[key] = map_[key];
      return true;
    });
    const L1Stats stats = cache_.Stats();
    const int64_t gone = stats.evictions + stats.expirations - gone_before_;
    EXPECT_EQ(static_cast<int64_t>(map_.size() - found.size()), gone);
    EXPECT_EQ(stats.entries, static_cast<int64_t>(found.size()));
    EXPECT_LE(stats.bytes_in_use, stats.bytes_max);
    gone_before_ = stats.evictions + stats.expirations;
    map_ = std::move(found);
    EXPECT_EQ(stats.bytes_in_use == 0, map_.empty());
  }

  int64_t evictions() const { return cache_.Stats().evictions; }

 private:
  struct Held {
    std::shared_ptr<const Blob> blob;
    int64_t last_access = 0;
  };

  std::string RandomKey() { return absl::StrCat("key", random_() % 300); }

  void Insert() {
    const std::string key = RandomKey();
    Expiry expiry;
    if (random_() % 2 == 0) {
      expiry.expires_at_unix_ms = now_ + static_cast<int64_t>(random_() % 300);
      expiry.stale_ms = static_cast<int64_t>(random_() % 2 * 20);
    }
    if (random_() % 3 == 0) {
      expiry.idle_ttl_ms = 1 + static_cast<int64_t>(random_() % 100);
    }
    auto blob = MakeBlob(std::string(random_() % 2000, 'x'), expiry, ++hlc_,
                         static_cast<uint8_t>(random_()));
    if (random_() % 50 == 0) blob = MakeBlob(std::string(2'000'000, 'l'));
    // Before: whether the insert drops the old one depends on what is there.
    Reconcile();
    if (cache_.Insert("ns", key, blob, now_)) {
      // The old one may have been evicted for it, and then counts as gone.
      if (map_.contains(key)) MaybeEvicted(key);
      map_[key] = {blob, now_};
    } else {
      map_.erase(key);
    }
    EXPECT_LE(cache_.Stats().bytes_in_use, cache_.Stats().bytes_max);
  }

  // Counts what is gone but for the old entry of `key`: if one more is gone
  // than is missing, that one was it.
  void MaybeEvicted(const std::string& key) {
    std::set<std::string> keys = KeysOf(cache_);
    const L1Stats stats = cache_.Stats();
    int64_t missing = 0;
    for (const auto& [other, held] : map_) missing += !keys.contains(other);
    const int64_t gone = stats.evictions + stats.expirations - gone_before_;
    EXPECT_TRUE(gone == missing || gone == missing + 1) << key;
    gone_before_ += gone - missing;
  }

  void Get() {
    const std::string key = RandomKey();
    Reconcile();
    const L1Cache::Found found = cache_.Get("ns", key, now_);
    const auto held = map_.find(key);
    ASSERT_EQ(found.blob != nullptr, held != map_.end()) << key;
    if (found.blob == nullptr) return;
    EXPECT_EQ(found.blob, held->second.blob);
    EXPECT_EQ(found.last_access_unix_ms, held->second.last_access);
    held->second.last_access = now_;
  }

  void Erase() {
    const std::string key = RandomKey();
    Reconcile();
    const auto held = map_.find(key);
    if (held != map_.end() && random_() % 2 == 0) {
      const Hlc hlc = held->second.blob->attributes().hlc;
      EXPECT_FALSE(cache_.EraseIfUnchanged("ns", key, Hlc{hlc.value + 1}));
      EXPECT_TRUE(cache_.EraseIfUnchanged("ns", key, hlc));
    } else {
      EXPECT_EQ(cache_.Erase("ns", key), held != map_.end());
    }
    map_.erase(key);
  }

  // A full sweep removes exactly what Judge() calls dead.
  void Sweep() {
    Reconcile();
    std::set<std::string> dead;
    for (const auto& [key, held] : map_) {
      if (Judge(held.blob->attributes().expiry, now_, held.last_access) ==
          Liveness::kDead) {
        dead.insert(key);
      }
    }
    std::set<std::string> swept;
    SweepAll(&cache_, now_, &swept);
    EXPECT_EQ(swept, dead);
    Reconcile();
  }

  void SweepSome() {
    Reconcile();
    std::set<std::string> swept;
    cache_.SweepWhere(&cursor_, 1 + static_cast<int64_t>(random_() % 100),
                      [&](const L1Cache::EntryView& entry) {
                        if (entry.blob->attributes().hlc.value % 8 != 0) {
                          return false;
                        }
                        swept.insert(std::string(entry.key));
                        return true;
                      });
    for (const std::string& key : swept) EXPECT_EQ(map_.erase(key), 1u);
  }

  std::mt19937 random_;
  L1Cache cache_;
  std::map<std::string, Held> map_;
  int64_t now_ = kNow;
  int64_t gone_before_ = 0;
  uint64_t hlc_ = 0;
  uint64_t cursor_ = 0;
};

TEST(L1CacheTest, BehavesLikeAMapThatForgets) {
  int64_t evictions = 0;
  for (uint32_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    // Odd seeds: room for all, hence nothing is evicted.
    Model model(seed, seed % 2 == 1 ? 7'000'000 : 40'000);
    for (int step = 0; step < 1000 && !testing::Test::HasFailure(); ++step) {
      model.Step();
    }
    model.Reconcile();
    EXPECT_EQ(model.evictions() == 0, seed % 2 == 1);
    evictions += model.evictions();
  }
  EXPECT_GT(evictions, 200);
}

// --- Concurrency ------------------------------------------------------------

// The bytes say whose they are: "key|filler".
std::shared_ptr<const Blob> SignedBlob(const std::string& key, size_t filler) {
  return MakeBlob(absl::StrCat(key, "|", std::string(filler, 'f')),
                  {.expires_at_unix_ms = kNow + 500, .idle_ttl_ms = 200});
}

TEST(L1CacheTest, ConcurrentUseServesRightBytesWithinTheBound) {
  constexpr int64_t kBytesMax = 200'000;
  constexpr int kSteps = 4000;
  L1Cache cache({.bytes_max = kBytesMax, .shards = 4});
  std::atomic<int64_t> now{kNow};
  std::atomic<int64_t> hits{0};
  std::atomic<int64_t> wrong{0};
  const auto key_of = [](uint32_t i) { return absl::StrCat("key", i % 400); };

  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < kSteps; ++i) {
        const std::string key = key_of(random());
        cache.Insert("ns", key, SignedBlob(key, random() % 3000), now);
        if (i % 8 == 0) ++now;
      }
    });
    threads.emplace_back([&, t] {
      std::mt19937 random(100 + t);
      for (int i = 0; i < kSteps * 4; ++i) {
        const std::string key = key_of(random());
        const auto blob = cache.Get("ns", key, now.load()).blob;
        if (blob == nullptr) continue;
        ++hits;
        if (blob->bytes().substr(0, key.size() + 1) != key + "|") ++wrong;
      }
    });
  }
  threads.emplace_back([&] {
    std::mt19937 random(200);
    for (int i = 0; i < kSteps; ++i) cache.Erase("ns", key_of(random()));
  });
  threads.emplace_back([&] {
    uint64_t cursor = 0;
    for (int i = 0; i < kSteps / 4; ++i) {
      cache.SweepDue(now, 50, [](const L1Cache::EntryView&) {});
      cache.SweepWhere(&cursor, 50, [](const L1Cache::EntryView& entry) {
        return entry.blob->bytes().size() % 16 == 0;
      });
      cache.ForEach([&](const L1Cache::EntryView& entry) {
        if (entry.blob->bytes().substr(0, entry.key.size()) != entry.key) {
          ++wrong;
        }
        return true;
      });
      EXPECT_LE(cache.Stats().bytes_in_use, kBytesMax);
    }
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(hits, 0);

  uint64_t cursor = 0;
  do {
    cache.SweepWhere(&cursor, 64,
                     [](const L1Cache::EntryView&) { return true; });
  } while (cursor != 0);
  EXPECT_EQ(cache.Stats().entries, 0);
  EXPECT_EQ(cache.Stats().bytes_in_use, 0);
}

}  // namespace
}  // namespace larder::cache::l1
