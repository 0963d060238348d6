// What a full L2 keeps: docs/adr/0007-l2-eviction.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/page.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2_image.h"
#include "cache/repair.h"
#include "cache/snapshot.h"
#include "cache/verify.h"

namespace larder::cache {
namespace {

using ::testing::IsEmpty;

constexpr int64_t kBudget = int64_t{16} << 20;
constexpr size_t kBlobBytes = 20'000;
// What surely turns all of L2 over that is not worth more than others.
constexpr int kTurnover = kBudget / kBlobBytes;
// More than goes at once.
constexpr int kBatch = kTurnover / 10;

// A window into random bytes: nothing that zstd could save.
absl::string_view Bytes(size_t size, uint64_t seed) {
  static const std::string* const pool = [] {
    auto* bytes = new std::string(8 << 20, '\0');
    std::mt19937_64 random(1);
    for (size_t i = 0; i + 8 <= bytes->size(); i += 8) {
      const uint64_t word = random();
      std::memcpy(bytes->data() + i, &word, sizeof(word));
    }
    return bytes;
  }();
  return absl::string_view(*pool).substr(
      seed * 4099 % (pool->size() - size + 1), size);
}

// Time stands still unless a test moves it: all that happens, happens within
// one millisecond.
class EvictionTest : public ::testing::Test {
 protected:
  void SetUp() override { Open(); }

  BlobCacheOptions Options() {
    BlobCacheOptions o;
    o.l2_path = path_;
    o.l2_bytes_max = kBudget;
    o.l1_bytes_max = 1 << 20;
    o.l1_shards = 1;
    o.background_commits = false;
    o.clock = &clock_;
    o.file_system = &disk_;
    o.random_seed = 7;
    return o;
  }
  void Open() {
    cache_.reset();
    auto opened = BlobCache::Open(Options());
    ASSERT_TRUE(opened.ok()) << opened.status();
    cache_ = *std::move(opened);
  }
  void TearDown() override {
    EXPECT_EQ(cache_->Stats().l2.full_rejections, 0);
    EXPECT_EQ(cache_->Stats().l2.commit_failures, 0);
    cache_.reset();
    const auto report = VerifyL2(Options());
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(report->damaged, IsEmpty());
    EXPECT_TRUE(report->digest_ok);
    EXPECT_TRUE(report->accounting_ok);
  }

  void Put(const std::string& key, size_t size = kBlobBytes,
           uint8_t priority = 128) {
    const auto put = cache_->Put(
        "ns", key, Bytes(size, ++puts_),
        {.priority = priority, .l1_admission = L1Admission::kNever});
    ASSERT_TRUE(put.ok()) << put.status();
    ASSERT_LE(cache_->Stats().l2.file_bytes, kBudget);
  }
  bool Get(const std::string& key) {
    return cache_->Get("ns", key).has_value();
  }
  // Without reading it.
  bool Has(const std::string& key) {
    bool has = false;
    EXPECT_TRUE(cache_->Flush().ok());
    EXPECT_TRUE(cache_
                    ->ForEachL2Record("ns", "",
                                      [&](const L2RecordView& view) {
                                        has = view.key == key;
                                        return !has;
                                      })
                    .ok());
    return has;
  }
  // From here on, the L2 is a copy of `snapshot`.
  void Restore(const Snapshot& snapshot) {
    path_ = "/restored";
    const auto loader = CreateL2Loader(Options(), snapshot.info());
    ASSERT_TRUE(loader.ok()) << loader.status();
    Snapshot::Position position;
    std::vector<StoredRecord> records;
    std::vector<std::string> damage;
    while (!position.at_end) {
      ASSERT_TRUE(snapshot.Read(100, &position, &records, &damage).ok());
    }
    for (const StoredRecord& record : records) {
      ASSERT_TRUE((*loader)->Begin(record).ok());
      for (size_t i = 0; i < record.frames.size(); ++i) {
        std::string frame;
        ASSERT_TRUE(snapshot.ReadFrame(record, i, &frame).ok());
        ASSERT_TRUE((*loader)->AppendFrame(frame).ok());
      }
      ASSERT_TRUE((*loader)->Finish().ok());
    }
    ASSERT_TRUE((*loader)->Close().ok());
  }
  // Puts what nobody ever asks for again.
  void Scan(int blobs, size_t size = kBlobBytes) {
    for (int i = 0; i < blobs; ++i) Put(absl::StrCat("scan", ++scanned_), size);
  }
  int64_t Records() {
    EXPECT_TRUE(cache_->Flush().ok());
    return cache_->Stats().l2.records;
  }

  std::string path_ = "/l2";
  ManualClock clock_{1'700'000'000'000};
  l2::SimulatedDisk disk_;
  std::unique_ptr<BlobCache> cache_;
  int scanned_ = 0;
  uint64_t puts_ = 0;
};

TEST_F(EvictionTest, TheOldestOfEqualsGoesFirst) {
  Put("first");
  Scan(kTurnover / 2);
  Put("second");
  while (Has("first")) Scan(8);
  EXPECT_TRUE(Has("second"));
  EXPECT_GT(Records(), kTurnover / 2);
}

TEST_F(EvictionTest, WhatIsReadOutlivesScans) {
  for (int i = 0; i < 50; ++i) Put(absl::StrCat("hot", i));
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 50; ++i) {
      EXPECT_TRUE(Get(absl::StrCat("hot", i))) << round << " " << i;
    }
    Scan(kTurnover);
  }
}

TEST_F(EvictionTest, WhatWasReadOnceGoesInTheEnd) {
  Put("once");
  for (int i = 0; i < 100; ++i) Get("once");
  int turnovers = 0;
  for (; turnovers < 60 && Has("once"); ++turnovers) Scan(kTurnover);
  EXPECT_GE(turnovers, 5);
  EXPECT_LE(turnovers, 40);
}

TEST_F(EvictionTest, WhatIsReadMoreStaysLonger) {
  Put("seldom");
  Put("often");
  Get("seldom");
  for (int i = 0; i < 10; ++i) Get("often");
  while (Has("seldom")) Scan(kTurnover / 4);
  EXPECT_TRUE(Has("often"));
}

TEST_F(EvictionTest, WhatComesBackStaysLonger) {
  Put("back");
  Scan(kTurnover);
  while (Has("back")) Scan(kTurnover / 4);
  for (int i = 0; i < 3; ++i) {
    Put("back");
    while (Has("back")) Scan(kTurnover / 8);
  }
  Put("back");
  Put("new");
  while (Has("new")) Scan(8);
  EXPECT_TRUE(Has("back"));
}

TEST_F(EvictionTest, LargeGoesBeforeSmall) {
  for (int i = 0; i < 4; ++i) Put(absl::StrCat("small", i), 4'000);
  for (int i = 0; i < 4; ++i) Put(absl::StrCat("large", i), 400'000);
  Scan(kTurnover);
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(Has(absl::StrCat("small", i)));
    EXPECT_FALSE(Has(absl::StrCat("large", i)));
  }
}

TEST_F(EvictionTest, PriorityStaysLonger) {
  Put("low", kBlobBytes, 64);
  Put("high", kBlobBytes, 160);
  Scan(kBatch);
  Put("usual");
  while (Has("low")) Scan(8);
  EXPECT_TRUE(Has("usual"));
  while (Has("usual")) Scan(8);
  EXPECT_TRUE(Has("high"));
}

TEST_F(EvictionTest, WhatL1ServesStays) {
  const auto put = cache_->Put("ns", "hot", Bytes(kBlobBytes, 1),
                               {.l1_admission = L1Admission::kAlways});
  ASSERT_TRUE(put.ok());
  for (int round = 0; round < 5; ++round) {
    clock_.AdvanceMillis(1);
    const std::optional<Hit> hit = cache_->Get("ns", "hot");
    ASSERT_TRUE(hit.has_value());
    EXPECT_EQ(hit->tier(), Tier::kL1);
    Scan(kTurnover);
  }
}

TEST_F(EvictionTest, SmallBlobsInLeavesOutliveLargeOnesThatCome) {
  for (int i = 0; i < 500; ++i) Put(absl::StrCat("tiny", i), 100);
  Scan(2 * kTurnover);
  for (int i = 0; i < 500; ++i) EXPECT_TRUE(Get(absl::StrCat("tiny", i)));
}

TEST_F(EvictionTest, ManySmallBlobsFit) {
  // More than the trees' share could hold with their payload.
  Scan(30'000, 300);
  EXPECT_GT(Records(), 9'000);
  EXPECT_GT(cache_->Stats().l2.evictions, 5'000);
  Scan(10);
}

TEST_F(EvictionTest, EmptyBlobsFitWhereTreesAreFull) {
  Scan(30'000, 300);
  Put("empty", 0);
  EXPECT_TRUE(Get("empty"));
  EXPECT_TRUE(Has("empty"));
}

// A full L2 of many sizes, where what goes leaves holes everywhere.
TEST_F(EvictionTest, ALargePutDrivesOutLittle) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 4 * kTurnover; ++i) {
    Put(absl::StrCat("mixed", i), 600 + random() % 30'000);
    if (i % 3 == 0) Get(absl::StrCat("mixed", random() % (i + 1)));
  }
  for (int i = 0; i < 5; ++i) {
    const int64_t before = Records();
    Put(absl::StrCat("large", i), 1'000'000);  // A 16th of the budget.
    EXPECT_TRUE(Get(absl::StrCat("large", i)));
    EXPECT_GT(Records(), before * 7 / 10);
  }
}

TEST_F(EvictionTest, BlobsOfHalfTheBudgetAreTaken) {
  Scan(kTurnover);
  for (int i = 0; i < 5; ++i) {
    Put(absl::StrCat("half", i), kBudget / 2);
    EXPECT_TRUE(Get(absl::StrCat("half", i)));
    Scan(20, 3'000);
  }
}

TEST_F(EvictionTest, TheOrderSurvivesAReopen) {
  for (int i = 0; i < 20; ++i) Put(absl::StrCat("old", i));
  Scan(2 * kTurnover);  // The clock has moved.
  Put("before");
  Open();
  Scan(kBatch);
  Put("after");
  // What is put after it must not go first, nor stay for good.
  while (Has("before")) Scan(8);
  EXPECT_TRUE(Has("after"));
  Scan(kTurnover);
  EXPECT_FALSE(Has("after"));
}

TEST_F(EvictionTest, PutsFindRoomBesideASnapshot) {
  Scan(2 * kTurnover);
  const auto snapshot = cache_->TakeSnapshot({.owner = "test"});
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  Scan(kTurnover / 25);  // 4 %; what goes for it stays for the snapshot.
  EXPECT_TRUE((*snapshot)->status().ok()) << (*snapshot)->status();
  Scan(kTurnover);
  EXPECT_TRUE(absl::IsAborted((*snapshot)->status()));
}

TEST_F(EvictionTest, WhatWasRestoredGoesFirstUnlessItIsRead) {
  for (int i = 0; i < 10; ++i) Put(absl::StrCat("old", i));
  {
    const auto snapshot = cache_->TakeSnapshot({.owner = "test"});
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    Restore(**snapshot);
  }
  Open();
  ASSERT_EQ(Records(), 10);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Get("old0"));
  Scan(kBatch);
  Put("new");
  while (Has("old1")) Scan(8);
  for (int i = 2; i < 10; ++i) EXPECT_FALSE(Has(absl::StrCat("old", i))) << i;
  EXPECT_TRUE(Has("old0"));
  EXPECT_TRUE(Has("new"));
}

// What is next to go cannot be read any more: others go. Not even a commit that
// empties the leaf beside the damaged one needs it.
TEST_F(EvictionTest, ADamagedFirstLeafOfTheAgeTreeIsInNobodysWay) {
  Scan(2 * kTurnover);
  cache_.reset();
  L2Image image = ReadImage(&disk_, path_);
  const L2Anatomy anatomy = Dissect(image);
  ASSERT_GT(anatomy.age_pages.size(), 5);
  const auto first =
      std::min_element(anatomy.blobs.begin(), anatomy.blobs.end(),
                       [](const auto& a, const auto& b) {
                         return a.second.record.rank < b.second.record.rank;
                       });
  const uint64_t leaf = first->second.age_path.back();
  image.at("meta")[leaf * l2::kPageBytes + 700] ^= 0x5a;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image, &disk_, path_));
  Open();
  Scan(3 * kTurnover);
  EXPECT_GT(cache_->Stats().l2.evictions, 2 * kTurnover);
  EXPECT_GT(cache_->Stats().l2.damaged_reads, 0);
  EXPECT_EQ(cache_->Stats().l2.degraded, "");
  EXPECT_TRUE(Has(first->second.name.second));

  cache_.reset();
  const auto repaired = RepairL2(Options());
  ASSERT_TRUE(repaired.ok()) << repaired.status();
  EXPECT_EQ(repaired->dropped_records, 0);
  Open();
}

// Many of all sizes, in a random order: everything is taken, the budget holds
// (Put), all is sound in the end (TearDown), and what is read stays.
TEST_F(EvictionTest, HotSurvivesColdGoes) {
  std::mt19937_64 random(11);
  constexpr int kHot = 60;
  constexpr int kCold = 3'000;
  int64_t hot_reads = 0;
  int64_t hot_hits = 0;
  for (int i = 0; i < 12'000; ++i) {
    const bool hot = random() % 2 == 0;
    const std::string key = hot ? absl::StrCat("hot", random() % kHot)
                                : absl::StrCat("cold", random() % kCold);
    const size_t size = size_t{100} << (std::hash<std::string>()(key) % 10);
    const bool hit = Get(key);
    if (hot && i > 2'000) {
      ++hot_reads;
      hot_hits += hit ? 1 : 0;
    }
    if (!hit) Put(key, size);
    if (i % 500 == 0) clock_.AdvanceMillis(20);
  }
  EXPECT_GT(static_cast<double>(hot_hits),
            0.99 * static_cast<double>(hot_reads));
  EXPECT_GT(cache_->Stats().l2.evictions, 500);
}

}  // namespace
}  // namespace larder::cache
