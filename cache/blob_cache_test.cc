#include "cache/blob_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <map>
#include <random>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/verify.h"

namespace larder::cache {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kStart = 1'700'000'000'000;

class BlobCacheTest : public ::testing::Test {
 protected:
  BlobCacheOptions Options() {
    BlobCacheOptions o;
    o.l2_path = "/l2";
    o.l2_bytes_max = int64_t{64} << 20;
    o.l1_bytes_max = 8 << 20;
    o.l1_shards = 4;
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
  // As after kill -9: what was written stays, nothing else happens.
  void Kill() {
    disk_.KillProcess();
    cache_.reset();
    Open();
  }
  void Put(const std::string& key, const std::string& value,
           const PutOptions& options = {}) {
    const auto put = cache_->Put("ns", key, value, options);
    ASSERT_TRUE(put.ok()) << put.status();
  }
  std::string Get(const std::string& key) {
    const auto hit = cache_->Get("ns", key);
    return hit.has_value() ? std::string(hit->bytes()) : "(miss)";
  }
  // Closes, and expects a sound directory.
  VerifyReport CloseAndVerify() {
    cache_.reset();
    auto report = VerifyL2(Options());
    EXPECT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(report->damaged, ElementsAre());
    EXPECT_TRUE(report->digest_ok);
    EXPECT_TRUE(report->accounting_ok);
    return *report;
  }

  ManualClock clock_{kStart};
  l2::SimulatedDisk disk_;
  std::unique_ptr<BlobCache> cache_;
};

std::string Incompressible(size_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string s(n, '\0');
  for (size_t i = 0; i + 8 <= n; i += 8) {
    const uint64_t word = random();
    std::memcpy(s.data() + i, &word, sizeof(word));
  }
  return s;
}

TEST_F(BlobCacheTest, PutGetAcrossTiersAndReopen) {
  Open();
  const std::string big = Incompressible(700'000, 1);
  const std::string text(500'000, 't');
  Put("small", "value");
  Put("empty", "");
  Put("big", big);
  Put("text", text);
  EXPECT_EQ(Get("small"), "value");
  EXPECT_EQ(cache_->Get("ns", "small")->tier(), Tier::kL1);
  Open();
  EXPECT_EQ(cache_->Get("ns", "small")->tier(), Tier::kL2);
  EXPECT_EQ(Get("small"), "value");
  EXPECT_EQ(Get("empty"), "");
  EXPECT_EQ(Get("big"), big);
  EXPECT_EQ(Get("text"), text);
  EXPECT_EQ(Get("absent"), "(miss)");
  EXPECT_EQ(cache_->Stats().l2.records, 4);
  EXPECT_EQ(CloseAndVerify().orphaned_bytes, 0);
}

TEST_F(BlobCacheTest, PromotesOnTheSecondHitOfL2) {
  Open();
  Put("k", "v", {.l1_admission = L1Admission::kAuto});
  Open();
  EXPECT_EQ(cache_->Get("ns", "k")->tier(), Tier::kL2);
  EXPECT_EQ(cache_->Get("ns", "k")->tier(), Tier::kL2);
  EXPECT_EQ(cache_->Get("ns", "k")->tier(), Tier::kL1);
  EXPECT_EQ(cache_->Stats().promotions, 1);
}

TEST_F(BlobCacheTest, AttributesSurviveInL2) {
  Open();
  Put("k", std::string(5000, 'x'),
      {.ttl_ms = 60'000,
       .idle_ttl_ms = 50'000,
       .stale_while_revalidate_ms = 10'000,
       .priority = 200,
       .version = 42,
       .tags = {"red", "blue"},
       .dependencies = {"dep"},
       .metadata = {{"content-type", "text/html"}}});
  Open();
  const auto hit = cache_->Get("ns", "k");
  ASSERT_TRUE(hit.has_value());
  const BlobAttributes& a = hit->attributes();
  EXPECT_EQ(a.version, 42);
  EXPECT_EQ(a.priority, 200);
  EXPECT_THAT(a.tags, ElementsAre("red", "blue"));
  EXPECT_THAT(a.dependencies, ElementsAre("dep"));
  EXPECT_THAT(a.metadata, ElementsAre(std::pair<std::string, std::string>(
                              "content-type", "text/html")));
  EXPECT_EQ(a.expiry.expires_at_unix_ms, kStart + 60'000);
  EXPECT_EQ(a.expiry.idle_ttl_ms, 50'000);
  EXPECT_EQ(a.expiry.stale_ms, 10'000);
}

TEST_F(BlobCacheTest, ExpiryIdleAndStale) {
  Open();
  Put("ttl", "v", {.ttl_ms = 1000, .stale_while_revalidate_ms = 500});
  Put("idle", "v", {.idle_ttl_ms = 1000});
  clock_.AdvanceMillis(999);
  EXPECT_EQ(Get("ttl"), "v");
  EXPECT_EQ(Get("idle"), "v");
  clock_.AdvanceMillis(501);
  EXPECT_EQ(Get("ttl"), "(miss)");
  EXPECT_EQ(Get("idle"), "v") << "the read at 999 extended it";
  clock_.AdvanceMillis(1000);
  EXPECT_EQ(Get("idle"), "(miss)");
  Put("stale", "v", {.ttl_ms = 1000, .stale_while_revalidate_ms = 500});
  clock_.AdvanceMillis(1200);
  const auto hit = cache_->Get("ns", "stale");
  ASSERT_TRUE(hit.has_value());
  EXPECT_TRUE(hit->stale());
}

TEST_F(BlobCacheTest, InvalidationsSurviveAKill) {
  Open();
  Put("key", "v");
  Put("tagged", "v", {.tags = {"t"}});
  Put("dependent", "v", {.dependencies = {"d"}});
  Put("dir/a", "v");
  Put("dir/b", "v");
  Put("stays", "v");
  ASSERT_TRUE(cache_->Put("other", "k", "v", {}).ok());
  ASSERT_TRUE(cache_->Flush().ok());
  const std::string t = "t", d = "d";
  ASSERT_TRUE(cache_->InvalidateKey("ns", "key").ok());
  ASSERT_TRUE(cache_->InvalidateTags("ns", {t}).ok());
  ASSERT_TRUE(cache_->InvalidateDependencies("ns", {d}).ok());
  ASSERT_TRUE(cache_->InvalidatePrefix("ns", "dir/").ok());
  const auto flushed = cache_->FlushNamespace("other");
  ASSERT_TRUE(flushed.ok());
  EXPECT_EQ(flushed->generation_before, 0);
  EXPECT_EQ(flushed->generation_after, 1);
  for (int restart = 0; restart < 3; ++restart) {
    Kill();
    for (const char* gone : {"key", "tagged", "dependent", "dir/a", "dir/b"}) {
      EXPECT_EQ(Get(gone), "(miss)") << gone << " after restart " << restart;
    }
    EXPECT_EQ(Get("stays"), "v");
    EXPECT_FALSE(cache_->Get("other", "k").has_value());
    EXPECT_EQ(cache_->CurrentGeneration("other"), 1);
  }
  Put("tagged", "new", {.tags = {"t"}});
  EXPECT_EQ(Get("tagged"), "new");
  Kill();
  ASSERT_TRUE(cache_->FlushNamespace("other").ok());
  EXPECT_EQ(cache_->CurrentGeneration("other"), 2);
}

TEST_F(BlobCacheTest, KillLosesOnlyWhatNoCommitHolds) {
  Open();
  Put("committed", std::string(100'000, 'c'));
  ASSERT_TRUE(cache_->Flush().ok());
  Put("committed", Incompressible(100'000, 2));
  Put("new", Incompressible(50'000, 3));
  Kill();
  EXPECT_EQ(Get("committed"), std::string(100'000, 'c'));
  EXPECT_EQ(Get("new"), "(miss)");
  int64_t runs = 0, bytes = 0;
  ASSERT_TRUE(cache_
                  ->L2OrphanChains([&](const BlobCache::OrphanChain& o) {
                    ++runs;
                    bytes += static_cast<int64_t>(o.bytes);
                    return true;
                  })
                  .ok());
  EXPECT_EQ(runs, 1);  // Side by side.
  EXPECT_GE(bytes, 150'000);
  // And what was marked ahead of them.
  EXPECT_LE(bytes, 151'000 + 256 * 1024);
  SliceReport total;
  while (!total.done) {
    const auto slice = cache_->ReclaimOrphansSlice({});
    ASSERT_TRUE(slice.ok()) << slice.status();
    total.removed += slice->removed;
    total.bytes += slice->bytes;
    total.done = slice->done;
  }
  EXPECT_EQ(total.removed, 1);
  EXPECT_EQ(total.bytes, bytes);
  EXPECT_EQ(CloseAndVerify().orphaned_bytes, 0);
}

// A sweep that finds a read moves the record on, which is no commit yet.
TEST_F(BlobCacheTest, WhatASweepMovedOnIsFoundBeforeItsCommit) {
  Open();
  Put("idle", "value",
      {.idle_ttl_ms = 1000, .l1_admission = L1Admission::kNever});
  ASSERT_TRUE(cache_->Flush().ok());
  clock_.AdvanceMillis(900);
  EXPECT_EQ(Get("idle"), "value");
  clock_.AdvanceMillis(200);
  const auto slice = cache_->SweepDueSlice({});
  ASSERT_TRUE(slice.ok()) << slice.status();
  EXPECT_EQ(slice->scanned, 1);
  EXPECT_EQ(slice->removed, 0);
  EXPECT_EQ(Get("idle"), "value");
}

// A round that gave way at its very end has not taken back what lies in `meta`.
TEST_F(BlobCacheTest, AnOrphanRoundThatGaveWayIsNotDone) {
  Open();
  Put("a", "value");
  ASSERT_TRUE(cache_->Flush().ok());
  Put("b", "value");
  // The next commit dies behind its pages and before its superblock.
  bool dead = false;
  disk_.SetHook([&](const l2::SimulatedDisk::Operation& now) {
    constexpr uint64_t kSuperblockBytes = 4 * 4096;
    if (now.kind == l2::SimulatedDisk::OperationKind::kWrite &&
        now.path == "/l2/meta" && now.offset < kSuperblockBytes && !dead) {
      dead = true;
      disk_.KillProcess();
    }
    return dead ? absl::UnavailableError("dead") : absl::OkStatus();
  });
  EXPECT_FALSE(cache_->Flush().ok());
  ASSERT_TRUE(dead);
  cache_.reset();
  disk_.SetHook(nullptr);
  Open();
  // Marks. Then the pin keeps more from reuse than it may.
  EXPECT_FALSE(cache_->ReclaimOrphansSlice({})->done);
  EXPECT_EQ(cache_->epoch_lock()->AbortPinsOverLimit(int64_t{1} << 40), 1);
  bool done = cache_->ReclaimOrphansSlice({})->done;
  EXPECT_FALSE(done);
  while (!done) {
    const auto slice = cache_->ReclaimOrphansSlice({});
    ASSERT_TRUE(slice.ok()) << slice.status();
    done = slice->done;
  }
  EXPECT_EQ(CloseAndVerify().orphaned_bytes, 0);
}

// Puts commit in groups; what changes nothing needs no commit, and must not
// wait for one.
TEST_F(BlobCacheTest, WhoPutsTogetherIsDurableTogether) {
  BlobCacheOptions options = Options();
  options.durability = Durability::kEveryPut;
  auto opened = BlobCache::Open(options);
  ASSERT_TRUE(opened.ok()) << opened.status();
  cache_ = *std::move(opened);
  constexpr int kThreads = 8;
  constexpr int kPuts = 40;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPuts; ++i) {
        const absl::StatusOr<Mutation> put =
            cache_->Put("n", absl::StrCat(t, "/", i), "v", {});
        ASSERT_TRUE(put.ok()) << put.status();
        EXPECT_GE(cache_->Stats().l2.durable_epoch, put->epoch);
        EXPECT_TRUE(cache_->InvalidateKey("nobody", "k").ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(cache_->Stats().l2.records, kThreads * kPuts);
  EXPECT_LE(cache_->Stats().l2.commits, kThreads * kPuts);
}

TEST_F(BlobCacheTest, EveryPutSurvivesAPowerCut) {
  BlobCacheOptions options = Options();
  options.durability = Durability::kEveryPut;
  auto opened = BlobCache::Open(options);
  ASSERT_TRUE(opened.ok());
  cache_ = *std::move(opened);
  for (int i = 0; i < 20; ++i) {
    Put(absl::StrCat("k", i), Incompressible(3000, i));
  }
  disk_.PowerCut(99);
  cache_.reset();
  Open();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Get(absl::StrCat("k", i)), Incompressible(3000, i));
  }
}

// The trees of many small records take more than their share while nothing else
// needs it, and must still have room to be changed when the rest is full.
TEST_F(BlobCacheTest, LargeBlobsAfterManySmallOnesAreNotRefused) {
  BlobCacheOptions options = Options();
  options.background_commits = false;
  options.l2_bytes_max = 16 << 20;
  auto opened = BlobCache::Open(options);
  ASSERT_TRUE(opened.ok()) << opened.status();
  cache_ = *std::move(opened);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 8'000; ++i) {
      Put(absl::StrFormat("%d/small/%06d", round, i), Incompressible(60, i),
          {.l1_admission = L1Admission::kNever});
      if (i % 500 == 499) {
        ASSERT_TRUE(cache_->Flush().ok());
      }
    }
    for (int i = 0; i < 500; ++i) {
      Put(absl::StrCat("large", i), Incompressible(30'000, i),
          {.l1_admission = L1Admission::kNever});
      ASSERT_LE(cache_->Stats().l2.file_bytes, options.l2_bytes_max);
    }
  }
  EXPECT_EQ(cache_->Stats().l2.full_rejections, 0);
  EXPECT_EQ(cache_->Stats().l2.commit_failures, 0);
  EXPECT_EQ(Get("large499"), Incompressible(30'000, 499));
}

TEST_F(BlobCacheTest, EvictsTheOldWhenFullAndStaysWithinBudget) {
  Open();
  constexpr int kBlobs = 1500;
  for (int i = 0; i < kBlobs; ++i) {
    Put(absl::StrCat("k", i), Incompressible(100'000, i),
        {.l1_admission = L1Admission::kNever});
    EXPECT_LE(cache_->Stats().l2.file_bytes, Options().l2_bytes_max);
  }
  EXPECT_EQ(Get("k0"), "(miss)");
  EXPECT_EQ(Get(absl::StrCat("k", kBlobs - 1)),
            Incompressible(100'000, kBlobs - 1));
  EXPECT_GT(cache_->Stats().l2.evictions, 500);
  EXPECT_GT(cache_->Stats().l2.records + cache_->Stats().l2.staged, 300);
  // Larger than the budget: refused, and nothing else is lost for it.
  const auto put = cache_->Put("ns", "huge", Incompressible(70 << 20, 1), {});
  EXPECT_TRUE(absl::IsResourceExhausted(put.status())) << put.status();
  EXPECT_EQ(Get(absl::StrCat("k", kBlobs - 1)),
            Incompressible(100'000, kBlobs - 1));
  EXPECT_EQ(CloseAndVerify().orphaned_bytes, 0);
}

TEST_F(BlobCacheTest, CompressesFromItsLeastSizeOnAndWhatPays) {
  Open();
  const auto stored = [&](const std::string& bytes) {
    const int64_t before = cache_->Stats().l2.stored_bytes;
    Put(absl::StrCat("k", before), bytes);
    EXPECT_TRUE(cache_->Flush().ok());
    return cache_->Stats().l2.stored_bytes - before;
  };
  EXPECT_EQ(stored(std::string(1023, 'x')), 1023);
  EXPECT_LT(stored(std::string(1024, 'x')), 100);
  EXPECT_LT(stored(std::string(600'000, 'x')), 1000);
  EXPECT_EQ(cache_->Stats().l2.compression_skipped, 0);
  EXPECT_EQ(stored(Incompressible(1024, 1)), 1024);
  EXPECT_EQ(stored(Incompressible(600'000, 2)), 600'000);
  EXPECT_EQ(cache_->Stats().l2.compression_skipped, 2);
}

TEST_F(BlobCacheTest, CompareAndSet) {
  Open();
  auto r = cache_->CompareAndSet("ns", "k", 5, "v", {.version = 6});
  ASSERT_TRUE(r.ok());
  EXPECT_FALSE(r->committed);
  EXPECT_EQ(r->current_version, 0);
  r = cache_->CompareAndSet("ns", "k", 0, "v1", {.version = 6});
  EXPECT_TRUE(r->committed);
  Open();
  r = cache_->CompareAndSet("ns", "k", 0, "v2", {.version = 7});
  EXPECT_FALSE(r->committed);
  EXPECT_EQ(r->current_version, 6);
  EXPECT_EQ(Get("k"), "v1");
  r = cache_->CompareAndSet("ns", "k", 6, "v2", {.version = 7});
  EXPECT_TRUE(r->committed);
  EXPECT_EQ(Get("k"), "v2");
  EXPECT_EQ(CloseAndVerify().orphaned_bytes, 0);
}

TEST_F(BlobCacheTest, RangesAndHeldHits) {
  Open();
  const std::string big = Incompressible(1'000'000, 5);
  const std::string text = std::string(600'000, 'a') + std::string(10, 'b');
  Put("big", big, {.l1_admission = L1Admission::kNever});
  Put("text", text, {.l1_admission = L1Admission::kNever});
  ASSERT_TRUE(cache_->Flush().ok());
  EXPECT_EQ(cache_->GetRange("ns", "big", 300'000, 1000)->bytes(),
            big.substr(300'000, 1000));
  EXPECT_EQ(cache_->GetRange("ns", "text", 599'998, 100)->bytes(),
            "aabbbbbbbbbb");
  EXPECT_EQ(cache_->GetRange("ns", "big", 2'000'000, 5)->bytes(), "");
  // A held hit keeps its bytes through overwrites that would reuse them.
  const auto held = cache_->Get("ns", "big");
  ASSERT_TRUE(held.has_value());
  for (int i = 0; i < 200; ++i) {
    Put("big", Incompressible(1'000'000, 100 + i),
        {.l1_admission = L1Admission::kNever});
    ASSERT_TRUE(cache_->Flush().ok());
  }
  EXPECT_EQ(held->bytes(), big);
}

TEST_F(BlobCacheTest, ExistsNeverReadsMetadata) {
  Open();
  Put("k", "v", {.l1_admission = L1Admission::kNever});
  EXPECT_EQ(cache_->Exists("ns", "k"), Presence::kPresent);  // Staged.
  ASSERT_TRUE(cache_->Flush().ok());
  const int64_t reads = cache_->Stats().l2.metadata_reads;
  EXPECT_EQ(cache_->Exists("ns", "k"), Presence::kMaybePresent);
  EXPECT_EQ(cache_->Exists("ns", "absent"), Presence::kAbsent);
  EXPECT_EQ(cache_->Exists("nowhere", "k"), Presence::kAbsent);
  EXPECT_EQ(cache_->Stats().l2.metadata_reads, reads);
}

TEST_F(BlobCacheTest, LoadsOnceAndTheNewerMutationWins) {
  Open();
  int loads = 0;
  const auto load = [&]() -> absl::StatusOr<BlobCache::Loaded> {
    ++loads;
    return BlobCache::Loaded{"loaded", {}};
  };
  EXPECT_EQ(cache_->GetOrLoad("ns", "k", load)->bytes(), "loaded");
  EXPECT_EQ(cache_->GetOrLoad("ns", "k", load)->bytes(), "loaded");
  EXPECT_EQ(loads, 1);
  const auto racing = [&]() -> absl::StatusOr<BlobCache::Loaded> {
    EXPECT_TRUE(cache_->InvalidateKey("ns", "raced").ok());
    return BlobCache::Loaded{"old", {}};
  };
  EXPECT_EQ(cache_->GetOrLoad("ns", "raced", racing)->bytes(), "old");
  EXPECT_EQ(Get("raced"), "(miss)");
  const auto flushed = [&]() -> absl::StatusOr<BlobCache::Loaded> {
    EXPECT_TRUE(cache_->FlushNamespace("ns").ok());
    return BlobCache::Loaded{"old", {}};
  };
  EXPECT_EQ(cache_->GetOrLoad("ns", "flushed", flushed)->bytes(), "old");
  EXPECT_EQ(Get("flushed"), "(miss)");
  // Also when the tombstone has retired before the load ends.
  const std::string tag = "t";
  const auto retired = [&]() -> absl::StatusOr<BlobCache::Loaded> {
    EXPECT_TRUE(cache_->InvalidateTags("ns", {tag}).ok());
    while (!cache_->SweepTombstonedSlice({})->done) {
    }
    EXPECT_TRUE(cache_->Flush().ok());
    EXPECT_EQ(cache_->Stats().l2.tombstones, 0);
    BlobCache::Loaded loaded{"old", {}};
    loaded.options.tags = {tag};
    return loaded;
  };
  EXPECT_EQ(cache_->GetOrLoad("ns", "retired", retired)->bytes(), "old");
  EXPECT_EQ(Get("retired"), "(miss)");
  // Who comes after an invalidation does not get what was loaded before it.
  const auto joined = [&]() -> absl::StatusOr<BlobCache::Loaded> {
    EXPECT_TRUE(cache_->InvalidateKey("ns", "joined").ok());
    EXPECT_EQ(cache_->GetOrLoad("ns", "joined", load)->bytes(), "loaded");
    return BlobCache::Loaded{"old", {}};
  };
  EXPECT_EQ(cache_->GetOrLoad("ns", "joined", joined)->bytes(), "old");
  EXPECT_EQ(Get("joined"), "loaded");
  const auto failing = []() -> absl::StatusOr<BlobCache::Loaded> {
    return absl::UnavailableError("origin down");
  };
  EXPECT_TRUE(absl::IsUnavailable(
      cache_->GetOrLoad("ns", "failing", failing).status()));
}

TEST_F(BlobCacheTest, SweepsRemoveWhatIsDueAndRetireTombstones) {
  Open();
  const std::string tag = "t";
  for (int i = 0; i < 300; ++i) {
    Put(absl::StrCat("due", i), Incompressible(2000, i), {.ttl_ms = 1000});
    Put(absl::StrCat("tagged", i), Incompressible(2000, i), {.tags = {tag}});
    Put(absl::StrCat("stays", i), Incompressible(2000, i));
  }
  ASSERT_TRUE(cache_->Flush().ok());
  clock_.AdvanceMillis(2000);
  ASSERT_TRUE(cache_->InvalidateTags("ns", {tag}).ok());
  EXPECT_EQ(*cache_->SweepDebt(), 300);
  int64_t removed = 0, slices = 0;
  for (bool done = false; !done; ++slices) {
    const auto slice = cache_->SweepDueSlice({});
    ASSERT_TRUE(slice.ok()) << slice.status();
    EXPECT_LE(slice->scanned, 64);
    removed += slice->removed;
    done = slice->done;
  }
  EXPECT_EQ(removed, 300);
  EXPECT_GE(slices, 5);
  EXPECT_EQ(cache_->Stats().l2.tombstones, 1);
  removed = 0;
  for (bool done = false; !done;) {
    const auto slice = cache_->SweepTombstonedSlice({});
    ASSERT_TRUE(slice.ok()) << slice.status();
    removed += slice->removed;
    done = slice->done;
  }
  EXPECT_GE(removed, 300);
  ASSERT_TRUE(cache_->Flush().ok());
  EXPECT_EQ(cache_->Stats().l2.tombstones, 0);
  EXPECT_EQ(cache_->Stats().l2.records, 300);
  EXPECT_EQ(*cache_->SweepDebt(), 0);
  EXPECT_EQ(Get("tagged7"), "(miss)");
  EXPECT_EQ(Get("stays7"), Incompressible(2000, 7));
  Open();
  EXPECT_EQ(Get("tagged7"), "(miss)");
  EXPECT_EQ(CloseAndVerify().orphaned_bytes, 0);
}

TEST_F(BlobCacheTest, SnapshotsReadInTheOrderOfNamesAndStayAsTheyWere) {
  Open();
  // Ids follow creation, names do not.
  for (const char* ns : {"m", "z", "a"}) {
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE(
          cache_->Put(ns, absl::StrCat(i), absl::StrCat(ns, i), {}).ok());
    }
  }
  auto snapshot = cache_->TakeSnapshot({.owner = "test"});
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  ASSERT_TRUE(cache_->FlushNamespace("m").ok());
  ASSERT_TRUE(cache_->Put("a", "0", "changed", {}).ok());
  ASSERT_TRUE(cache_->Flush().ok());
  for (const int64_t step : {1, 7, 10, 100}) {
    Snapshot::Position position;
    std::vector<StoredRecord> records;
    std::vector<std::string> damage;
    while (!position.at_end) {
      ASSERT_TRUE((*snapshot)->Read(step, &position, &records, &damage).ok());
    }
    EXPECT_THAT(damage, ElementsAre());
    ASSERT_EQ(records.size(), 30) << "step " << step;
    for (size_t i = 0; i < 30; ++i) {
      EXPECT_EQ(records[i].ns, i < 10 ? "a" : i < 20 ? "m" : "z");
      EXPECT_EQ(records[i].key, absl::StrCat(i % 10));
      std::string frame;
      ASSERT_TRUE((*snapshot)->ReadFrame(records[i], 0, &frame).ok());
      EXPECT_EQ(frame, absl::StrCat(records[i].ns, records[i].key));
    }
  }
  EXPECT_EQ((*snapshot)->info().records, 30);
}

// The reader keeps nothing that the snapshot does not: what waits is the
// snapshot's.
TEST_F(BlobCacheTest, AReaderDoesNotHideThatASnapshotIsOverItsBudget) {
  // One is more than a quarter of the budget, four are more than all of it.
  constexpr size_t kBlobBytes = 600'000;
  constexpr int64_t kBudget = 2 << 20;
  Open();
  uint64_t seed = 0;
  const auto replace = [&] {
    Put("k", Incompressible(kBlobBytes, ++seed));
    ASSERT_TRUE(cache_->Flush().ok());
  };
  replace();
  auto snapshot =
      cache_->TakeSnapshot({.owner = "test", .deferred_bytes_max = kBudget});
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  // A walk visits in a reader slot, which is of the snapshot's epoch here.
  int visits = 0;
  const auto walked =
      cache_->ForEachL2Record("ns", "", [&](const L2RecordView&) {
        ++visits;
        EXPECT_LT((*snapshot)->used(), 0.25);
        replace();
        EXPECT_GT((*snapshot)->used(), 0.25);
        EXPECT_TRUE((*snapshot)->status().ok()) << (*snapshot)->status();
        for (int i = 0; i < 3; ++i) replace();
        EXPECT_TRUE(absl::IsAborted((*snapshot)->status()));
        // Now for the reader alone.
        EXPECT_GT(cache_->Stats().l2.quarantined_bytes, kBudget);
        return true;
      });
  EXPECT_TRUE(walked.ok()) << walked;
  EXPECT_EQ(visits, 1);
  replace();
  EXPECT_LT(cache_->Stats().l2.quarantined_bytes, kBudget);
}

TEST_F(BlobCacheTest, RefusesWhatCannotBeOpened) {
  BlobCacheOptions options = Options();
  options.l2_must_exist = true;
  EXPECT_TRUE(absl::IsNotFound(BlobCache::Open(options).status()));
  Open();
  EXPECT_TRUE(absl::IsUnavailable(BlobCache::Open(Options()).status()));
  cache_.reset();
  options.l2_bytes_max = 1000;
  EXPECT_TRUE(absl::IsInvalidArgument(BlobCache::Open(options).status()));
}

TEST_F(BlobCacheTest, BadNamesAreRefused) {
  Open();
  EXPECT_TRUE(absl::IsInvalidArgument(cache_->Put("", "k", "v", {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(cache_->Put("ns", "", "v", {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      cache_->Put("ns", std::string(100'000, 'k'), "v", {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      cache_->Put(std::string("n\0s", 3), "k", "v", {}).status()));
  EXPECT_TRUE(absl::IsResourceExhausted(
      cache_->Put("ns", "k", "12345", {.max_blob_bytes = 4}).status()));
  const std::string odd("a\0../\xff", 7);
  ASSERT_TRUE(cache_->Put("ns", odd, "v", {}).ok());
  EXPECT_EQ(cache_->Get("ns", odd)->bytes(), "v");
}

TEST_F(BlobCacheTest, WithoutL2) {
  BlobCacheOptions options = Options();
  options.l2_path.clear();
  auto opened = BlobCache::Open(options);
  ASSERT_TRUE(opened.ok());
  cache_ = *std::move(opened);
  Put("k", "v", {.tags = {"t"}});
  EXPECT_EQ(Get("k"), "v");
  const std::string tag = "t";
  ASSERT_TRUE(cache_->InvalidateTags("ns", {tag}).ok());
  EXPECT_EQ(Get("k"), "(miss)");
  ASSERT_TRUE(cache_->SweepTombstonedSlice({})->done);
  Put("k", "v2", {.tags = {"t"}});
  EXPECT_EQ(Get("k"), "v2");
  EXPECT_TRUE(absl::IsFailedPrecondition(cache_->TakeSnapshot({}).status()));
}

TEST_F(BlobCacheTest, ConcurrentTrafficStaysLinearizablePerKey) {
  BlobCacheOptions options = Options();
  options.background_commits = true;
  options.commit_interval_ms = 1;
  options.clock = SystemClock();
  auto opened = BlobCache::Open(options);
  ASSERT_TRUE(opened.ok());
  cache_ = *std::move(opened);
  // One writer a key raises its value; readers never see it fall.
  constexpr int kKeys = 8, kRaises = 300;
  std::atomic<bool> stop{false};
  std::atomic<int64_t> reads{0};
  std::vector<std::thread> threads;
  for (int w = 0; w < 2; ++w) {
    threads.emplace_back([&, w] {
      for (int v = 1; v <= kRaises; ++v) {
        for (int k = w; k < kKeys; k += 2) {
          const std::string value =
              absl::StrCat(v, ":", std::string(v * 7 % 3000, 'x'));
          ASSERT_TRUE(
              cache_
                  ->Put("ns", absl::StrCat(k), value,
                        {.l1_admission = v % 3 == 0 ? L1Admission::kNever
                                                    : L1Admission::kAuto})
                  .ok());
        }
      }
    });
  }
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&, r] {
      std::vector<int> seen(kKeys, 0);
      std::mt19937 random(r);
      while (!stop) {
        const int k = static_cast<int>(random() % kKeys);
        if (const auto hit = cache_->Get("ns", absl::StrCat(k))) {
          const int v = std::stoi(std::string(hit->bytes()));
          EXPECT_GE(v, seen[k]) << "key " << k;
          EXPECT_EQ(hit->bytes(),
                    absl::StrCat(v, ":", std::string(v * 7 % 3000, 'x')));
          seen[k] = v;
          ++reads;
        }
      }
    });
  }
  threads[0].join();
  threads[1].join();
  stop = true;
  threads[2].join();
  threads[3].join();
  EXPECT_GT(reads.load(), 0);
  for (int k = 0; k < kKeys; ++k) {
    EXPECT_EQ(std::stoi(Get(absl::StrCat(k))), kRaises);
  }
  EXPECT_EQ(CloseAndVerify().orphaned_bytes, 0);
}

// A reader that missed in L1, and was held up there, must not learn from L2
// of a value that L1 does not know of yet: its next read would go back in time.
TEST_F(BlobCacheTest, NoReaderSeesAValueFallWhileBothTiersChange) {
  Open();
  constexpr int kReaders = 6, kRaises = 1'000;
  for (const bool removing : {false, true}) {
    std::atomic<int> newest{0};
    std::atomic<bool> stop{false};
    std::vector<std::thread> readers;
    for (int r = 0; r < kReaders; ++r) {
      readers.emplace_back([&] {
        int removed = 0;  // The newest that was seen gone.
        int least = 0;    // The oldest value that may still be read.
        while (!stop) {
          least = std::max(least, newest.load());
          const auto hit = cache_->Get("ns", "k");
          if (!hit.has_value()) {
            ASSERT_TRUE(removing || least == 0);
            // It is that of the value, or of a newer one.
            removed = least;
            continue;
          }
          const int v = std::stoi(std::string(hit->bytes()));
          EXPECT_GE(v, least);
          EXPECT_GT(v, removed);
          least = v;
        }
      });
    }
    for (int v = 1; v <= kRaises && !HasFailure(); ++v) {
      // In and out of L1, so that readers look there in vain.
      Put("k", absl::StrCat(v),
          {.l1_admission =
               v % 2 == 0 ? L1Admission::kNever : L1Admission::kAlways});
      newest = v;
      if (removing) {
        ASSERT_TRUE(cache_->InvalidateKey("ns", "k").ok());
      }
    }
    stop = true;
    for (std::thread& r : readers) r.join();
    ASSERT_TRUE(cache_->InvalidateKey("ns", "k").ok());
  }
}

}  // namespace
}  // namespace larder::cache
