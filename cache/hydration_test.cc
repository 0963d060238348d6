#include "cache/hydration.h"

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/repair.h"
#include "cache/snapshot.h"
#include "gtest/gtest.h"

namespace larder::cache {
namespace {

constexpr Hlc kFloor = Hlc::FromUnixMillis(1'700'000'000'000);

class HydrationTest : public ::testing::Test {
 protected:
  BlobCacheOptions Options() {
    BlobCacheOptions options;
    options.l2_path = "/l2";
    options.l1_bytes_max = 1 << 20;
    options.background_commits = false;
    options.clock = &clock_;
    options.file_system = &disk_;
    return options;
  }
  std::unique_ptr<BlobCache> Open() {
    auto opened = BlobCache::Open(Options());
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  // Takes the records that a cache with one blob, `key` = `bytes`, has.
  struct Old {
    StoredRecord record;
    std::string frame;
  };
  Old MakeOld(const std::string& key, const std::string& bytes,
              const PutOptions& options = {}) {
    ManualClock clock(1'600'000'000'000);
    SimulatedDisk disk;
    BlobCacheOptions other = Options();
    other.clock = &clock;
    other.file_system = &disk;
    const auto cache = BlobCache::Open(other);
    EXPECT_TRUE((*cache)->Put("ns", key, bytes, options).ok());
    const auto snapshot = (*cache)->TakeSnapshot({});
    EXPECT_TRUE(snapshot.ok()) << snapshot.status();
    Snapshot::Position position;
    std::vector<StoredRecord> records;
    std::vector<std::string> damage;
    EXPECT_TRUE((*snapshot)->Read(10, &position, &records, &damage).ok());
    Old old;
    old.record = records.at(0);
    EXPECT_TRUE((*snapshot)->ReadFrame(old.record, 0, &old.frame).ok());
    return old;
  }
  absl::StatusOr<bool> Adopt(BlobCache* cache, const Old& old) {
    return cache->Adopt(
        old.record,
        [&](size_t) { return absl::StatusOr<std::string>(old.frame); },
        /*may_evict=*/false);
  }
  void Hydrating() {
    Open().reset();
    ASSERT_TRUE(BeginHydration(&disk_, "/l2", kFloor).ok());
  }

  using SimulatedDisk = l2::SimulatedDisk;
  ManualClock clock_{1'700'000'100'000};
  SimulatedDisk disk_;
};

TEST_F(HydrationTest, TheFileSaysWhatItWasGiven) {
  Hydrating();
  EXPECT_EQ(*ReadHydration(&disk_, "/l2"), std::optional<Hlc>(kFloor));
  EXPECT_EQ(*ReadHydration(&disk_, "/other"), std::nullopt);
  // Any damage is told: to pass it over would forget what was deleted.
  for (uint64_t at = 0; at < 32; ++at) {
    ASSERT_TRUE(disk_.FlipBit("/l2/hydrating", at, 5).ok());
    EXPECT_FALSE(ReadHydration(&disk_, "/l2").ok()) << at;
    EXPECT_FALSE(BlobCache::Open(Options()).ok()) << at;
    ASSERT_TRUE(disk_.FlipBit("/l2/hydrating", at, 5).ok());
  }
  ASSERT_TRUE(EndHydration(&disk_, "/l2").ok());
  ASSERT_TRUE(EndHydration(&disk_, "/l2").ok());
  EXPECT_EQ(*ReadHydration(&disk_, "/l2"), std::nullopt);
}

TEST_F(HydrationTest, AdoptsWhatNothingStandsAgainst) {
  const Old old = MakeOld("a", "old", {.version = 7, .tags = {"t"}});
  EXPECT_TRUE(absl::IsFailedPrecondition(Adopt(Open().get(), old).status()));
  Hydrating();
  const auto cache = Open();
  EXPECT_TRUE(*Adopt(cache.get(), old));
  const auto hit = cache->Get("ns", "a");
  ASSERT_TRUE(hit.has_value());
  EXPECT_EQ(hit->bytes(), "old");
  EXPECT_EQ(hit->attributes().hlc, old.record.attributes.hlc);
  EXPECT_EQ(hit->attributes().version, 7);
  EXPECT_FALSE(*Adopt(cache.get(), old));  // It is there.
  ASSERT_TRUE(cache->InvalidateTags("ns", {"t"}).ok());
  EXPECT_FALSE(cache->Get("ns", "a").has_value());
  EXPECT_FALSE(*Adopt(cache.get(), MakeOld("b", "x", {.tags = {"t"}})));
  EXPECT_TRUE(*Adopt(cache.get(), MakeOld("c", "x")));
}

TEST_F(HydrationTest, RefusesWhatItCannotHaveHeld) {
  Hydrating();
  const auto cache = Open();
  Old old = MakeOld("a", "old");
  Old newer = old;
  newer.record.attributes.hlc = Hlc{kFloor.value + 1};
  EXPECT_TRUE(absl::IsInvalidArgument(Adopt(cache.get(), newer).status()));
  Old torn = old;
  torn.frame[0] ^= 1;
  EXPECT_TRUE(absl::IsDataLoss(Adopt(cache.get(), torn).status()));
  EXPECT_FALSE(cache->Get("ns", "a").has_value());
  EXPECT_TRUE(*Adopt(cache.get(), old));
}

// A deletion is remembered until nothing old can come any more.
TEST_F(HydrationTest, ADeletionLeavesAMarker) {
  Hydrating();
  const Old old = MakeOld("a", "old");
  auto cache = Open();
  ASSERT_TRUE(cache->InvalidateKey("ns", "a").ok());
  EXPECT_FALSE(*Adopt(cache.get(), old));
  // Only the journal has it so far.
  disk_.KillProcess();
  cache.reset();
  cache = Open();
  EXPECT_FALSE(*Adopt(cache.get(), old));
  ASSERT_TRUE(cache->SweepDueSlice({}).ok());
  ASSERT_TRUE(cache->Flush().ok());
  disk_.PowerCut(3);
  cache.reset();
  cache = Open();
  EXPECT_FALSE(*Adopt(cache.get(), old));
  EXPECT_FALSE(cache->Get("ns", "a").has_value());
  ASSERT_TRUE(cache->EndHydration().ok());
  while (!cache->SweepDueSlice({})->done) {
  }
  ASSERT_TRUE(cache->Flush().ok());
  EXPECT_EQ(cache->Stats().l2.records, 0);
  EXPECT_TRUE(cache->TakeSnapshot({}).ok());
}

// What was put since is evicted by and by: the old value stays away.
TEST_F(HydrationTest, AnEvictionLeavesAMarker) {
  Hydrating();
  BlobCacheOptions options = Options();
  options.l2_bytes_max = kL2BytesMin;
  const auto cache = *BlobCache::Open(options);
  const int kBlobs = 400;
  std::mt19937_64 random(1);
  for (int i = 0; i < kBlobs; ++i) {
    std::string bytes(40'000, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    ASSERT_TRUE(cache
                    ->Put("ns", absl::StrCat("key", i), bytes,
                          {.l1_admission = L1Admission::kNever})
                    .ok());
  }
  EXPECT_GT(cache->Stats().l2.evictions, 0);
  int gone = 0;
  for (int i = 0; i < kBlobs; i += 13) {
    const std::string key = absl::StrCat("key", i);
    if (cache->Get("ns", key).has_value()) continue;
    ++gone;
    EXPECT_FALSE(*Adopt(cache.get(), MakeOld(key, "old"))) << key;
  }
  EXPECT_GT(gone, 0);
}

TEST_F(HydrationTest, ARepairThatCommitsEndsIt) {
  Hydrating();
  {
    const auto cache = Open();
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(cache->Put("ns", absl::StrCat("key", i), "value", {}).ok());
    }
  }
  auto report = RepairL2(Options());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->ended_hydration);
  EXPECT_EQ(*ReadHydration(&disk_, "/l2"), std::optional<Hlc>(kFloor));
  // Every page is damaged but the superblocks: what held markers may be gone.
  const auto meta = disk_.Open("/l2/meta", {.read_only = true});
  for (uint64_t at = 4 * 4096; at < (*meta)->Size(); at += 4096) {
    ASSERT_TRUE(disk_.FlipBit("/l2/meta", at + 100, 1).ok());
    ASSERT_TRUE(disk_.FlipBit("/l2/meta", at + 200, 2).ok());
  }
  report = RepairL2(Options());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GT(report->damages, 0);
  EXPECT_TRUE(report->ended_hydration);
  EXPECT_EQ(*ReadHydration(&disk_, "/l2"), std::nullopt);
  EXPECT_NE(Open(), nullptr);
}

}  // namespace
}  // namespace larder::cache
