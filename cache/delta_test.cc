// Deltas of the real cache: whoever holds a base and applies what ReadDelta()
// tells of it holds what the cache holds, whatever happened in between.
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/snapshot.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::cache {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kStart = 1'700'000'000'000;

// What of a delta came to a replica.
struct Applied {
  int64_t ranges = 0;
  int64_t kept = 0;
  int64_t missing = 0;
  int64_t changed = 0;
  int64_t removed = 0;
};

class DeltaTest : public ::testing::Test {
 protected:
  BlobCacheOptions Options(const std::string& path) {
    BlobCacheOptions options;
    options.l2_path = path;
    options.l1_bytes_max = 1 << 20;
    options.l2_bytes_max = int64_t{512} << 20;
    options.background_commits = false;
    options.clock = &clock_;
    options.file_system = &disk_;
    return options;
  }
  void Open(Durability durability = Durability::kInterval) {
    cache_.reset();
    BlobCacheOptions options = Options("primary");
    options.durability = durability;
    auto opened = BlobCache::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    cache_ = *std::move(opened);
  }
  void Put(const std::string& ns, const std::string& key,
           const std::string& bytes, const PutOptions& options = {}) {
    const auto put = cache_->Put(ns, key, bytes, options);
    ASSERT_TRUE(put.ok()) << put.status();
  }
  void Delete(const std::string& ns, const std::string& key) {
    ASSERT_TRUE(cache_->InvalidateKey(ns, key).ok());
  }
  std::unique_ptr<Snapshot> Take() {
    auto snapshot = cache_->TakeSnapshot({.owner = "test"});
    EXPECT_TRUE(snapshot.ok()) << snapshot.status();
    return *std::move(snapshot);
  }
  static void Load(const Snapshot& snapshot, const StoredRecord& record,
                   L2Loader* loader) {
    ASSERT_TRUE(record.status.ok()) << record.status;
    const absl::Status begun = loader->Begin(record);
    ASSERT_TRUE(begun.ok()) << begun;
    for (size_t i = 0; i < record.frames.size(); ++i) {
      std::string frame;
      ASSERT_TRUE(snapshot.ReadFrame(record, i, &frame).ok());
      ASSERT_TRUE(loader->AppendFrame(frame).ok());
    }
    ASSERT_TRUE(loader->Finish().ok());
  }
  // A replica that holds all of `snapshot`.
  std::unique_ptr<L2Loader> MakeReplica(const std::string& path,
                                        const Snapshot& snapshot) {
    auto loader = CreateL2Loader(Options(path), snapshot.info());
    EXPECT_TRUE(loader.ok()) << loader.status();
    Snapshot::Position position;
    while (!position.at_end) {
      std::vector<StoredRecord> records;
      std::vector<std::string> damage;
      EXPECT_TRUE(snapshot.Read(64, &position, &records, &damage).ok());
      EXPECT_THAT(damage, ElementsAre());
      for (const StoredRecord& r : records) Load(snapshot, r, loader->get());
    }
    return *std::move(loader);
  }
  static DeltaBase BaseOf(const SnapshotInfo& info) {
    return {info.epoch, info.complete_through};
  }
  static Applied Apply(const DeltaBase& base,
                       const Snapshot::DeltaLimits& limits,
                       const Snapshot& snapshot, L2Loader* loader) {
    Applied applied;
    EXPECT_TRUE(loader->StartDelta().ok());
    Snapshot::Position position;
    std::string last_ns, last_until;
    bool any = false;
    while (!position.at_end) {
      std::vector<DeltaRange> ranges;
      std::vector<std::string> damage;
      const absl::Status read =
          snapshot.ReadDelta(base, limits, &position, &ranges, &damage);
      EXPECT_TRUE(read.ok()) << read;
      if (!read.ok()) break;
      EXPECT_THAT(damage, ElementsAre());
      for (const DeltaRange& range : ranges) {
        if (any && range.ns == last_ns) {
          EXPECT_FALSE(last_until.empty()) << "behind the end";
          EXPECT_LE(last_until, range.from) << "ranges overlap";
        } else if (any) {
          EXPECT_LT(last_ns, range.ns);
        }
        any = true;
        last_ns = range.ns;
        last_until = range.until;
        const auto missing =
            loader->KeepOnly(range.ns, range.from, range.until, range.kept,
                             [&](absl::string_view) { ++applied.removed; });
        EXPECT_TRUE(missing.ok()) << missing.status();
        ++applied.ranges;
        applied.kept += static_cast<int64_t>(range.kept.size());
        applied.missing += missing.value_or(0);
        for (const StoredRecord& r : range.changed) {
          ++applied.changed;
          Load(snapshot, r, loader);
        }
      }
    }
    return applied;
  }

  ManualClock clock_{kStart};
  l2::SimulatedDisk disk_;
  std::unique_ptr<BlobCache> cache_;
};

std::string Bytes(size_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string s(n, '\0');
  for (char& c : s) c = static_cast<char>(random());
  return s;
}

TEST_F(DeltaTest, TellsWhatChangedAndWhatIsGone) {
  Open();
  for (int i = 0; i < 1000; ++i) {
    Put("ns", absl::StrCat("key", i), Bytes(100, static_cast<uint64_t>(i)));
  }
  const auto base = Take();
  const auto replica = MakeReplica("replica", *base);
  Put("ns", "key500", "new");
  Put("ns", "key5005", "added");
  Delete("ns", "key600");
  const auto now = Take();
  const Applied applied = Apply(BaseOf(base->info()), {}, *now, replica.get());
  EXPECT_EQ(applied.missing, 0);
  EXPECT_EQ(applied.changed, 2);
  EXPECT_EQ(applied.removed, 2);  // Also the old value of key500.
  EXPECT_GT(applied.kept, 0);
  EXPECT_LT(applied.kept, 300);  // Of few leaves.
  const auto closed = replica->Close();
  ASSERT_TRUE(closed.ok()) << closed.status();
  EXPECT_EQ(closed->content_digest, now->info().content_digest);
}

// Read all the time, and never put again: not dead where the delta went.
TEST_F(DeltaTest, AnIdleTtlThatReadsPutOffIsToldAgain) {
  constexpr int64_t kIdleMs = 60'000;
  Open();
  for (int i = 0; i < 20; ++i) {
    Put("ns", absl::StrCat("session", i), "state", {.idle_ttl_ms = kIdleMs});
  }
  Put("ns", "other", "value");
  const auto base = Take();
  auto replica = MakeReplica("replica", *base);
  for (int round = 0; round < 4; ++round) {
    clock_.AdvanceMillis(kIdleMs / 2);
    ASSERT_TRUE(cache_->Get("ns", "session7").has_value());
    ASSERT_TRUE(cache_->SweepDueSlice({}).ok());
    ASSERT_TRUE(cache_->Flush().ok());
  }
  const auto now = Take();
  EXPECT_EQ(now->info().records, 2);
  const Applied applied = Apply(BaseOf(base->info()), {}, *now, replica.get());
  EXPECT_EQ(applied.changed, 1);
  EXPECT_EQ(applied.kept, 1);
  const auto closed = replica->Close();
  ASSERT_TRUE(closed.ok()) << closed.status();
  EXPECT_EQ(closed->content_digest, now->info().content_digest);
  replica.reset();
  const auto restored = BlobCache::Open(Options("replica"));
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_TRUE((*restored)->Get("ns", "session7").has_value());
  EXPECT_FALSE((*restored)->Get("ns", "session8").has_value());
}

TEST_F(DeltaTest, NothingChangedIsNothing) {
  Open();
  for (int i = 0; i < 100; ++i) Put("ns", absl::StrCat(i), "v");
  const auto base = Take();
  const auto replica = MakeReplica("replica", *base);
  ASSERT_TRUE(cache_->FlushNamespace("other").ok());  // A new epoch.
  const auto now = Take();
  EXPECT_GT(now->info().epoch, base->info().epoch);
  const Applied applied = Apply(BaseOf(base->info()), {}, *now, replica.get());
  EXPECT_EQ(applied.ranges, 0);
  EXPECT_EQ(replica->Close()->content_digest, now->info().content_digest);
}

TEST_F(DeltaTest, EverythingIsGone) {
  Open();
  for (int i = 0; i < 300; ++i) Put("ns", absl::StrCat(i), "v");
  const auto base = Take();
  const auto replica = MakeReplica("replica", *base);
  for (int i = 0; i < 300; ++i) Delete("ns", absl::StrCat(i));
  const auto now = Take();
  EXPECT_EQ(now->info().records, 0);
  const Applied applied = Apply(BaseOf(base->info()), {}, *now, replica.get());
  EXPECT_EQ(applied.removed, 300);
  EXPECT_EQ(replica->Close()->records, 0);
}

TEST_F(DeltaTest, ABaseOfUnknownCompletenessKeepsNothing) {
  Open();
  for (int i = 0; i < 100; ++i) Put("ns", absl::StrCat(i), "v");
  const auto base = Take();
  const auto replica = MakeReplica("replica", *base);
  Put("ns", "1", "w");
  const auto now = Take();
  const Applied applied =
      Apply({base->info().epoch, Hlc()}, {}, *now, replica.get());
  EXPECT_EQ(applied.kept, 0);
  EXPECT_GT(applied.changed, 10);
  EXPECT_EQ(replica->Close()->content_digest, now->info().content_digest);
}

TEST_F(DeltaTest, ABaseFromTheFutureIsRefused) {
  Open();
  Put("ns", "k", "v");
  const auto now = Take();
  Snapshot::Position position;
  std::vector<DeltaRange> ranges;
  std::vector<std::string> damage;
  EXPECT_TRUE(absl::IsFailedPrecondition(
      now->ReadDelta({now->info().epoch + 1, now->info().complete_through}, {},
                     &position, &ranges, &damage)));
  EXPECT_THAT(ranges, IsEmpty());
}

// Its base holds what this one lacks: told, not passed over.
TEST_F(DeltaTest, AReplicaThatLacksRecordsIsFoundOut) {
  Open();
  const auto empty = Take();
  const auto replica = MakeReplica("replica", *empty);
  for (int i = 0; i < 100; ++i) Put("ns", absl::StrCat(i), "v");
  const auto base = Take();
  Put("ns", "1", "w");
  const auto now = Take();
  const Applied applied = Apply(BaseOf(base->info()), {}, *now, replica.get());
  EXPECT_GT(applied.kept, 0);
  EXPECT_EQ(applied.missing, applied.kept);
}

TEST_F(DeltaTest, ALineageEndsWhereAPowerCutMayHaveTakenEpochs) {
  Open(Durability::kNone);
  Put("ns", "k", "v");
  const SnapshotInfo first = Take()->info();
  Open(Durability::kNone);
  const SnapshotInfo second = Take()->info();
  EXPECT_NE(second.lineage, first.lineage);
  ASSERT_FALSE(second.ancestors.empty());
  EXPECT_EQ(second.ancestors.front(), first.lineage);
  Open(Durability::kInterval);
  Put("ns", "k", "w");
  const SnapshotInfo third = Take()->info();
  Open(Durability::kInterval);
  EXPECT_EQ(Take()->info().lineage, third.lineage);
}

// Random mutations; several replicas, each brought up to date now and then from
// wherever it is.
TEST_F(DeltaTest, AnyReplicaFromAnyBase) {
  uint64_t seed = GTEST_FLAG_GET(random_seed);
  if (seed == 0) seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("to repeat: --gtest_random_seed=", seed));
  std::mt19937_64 random(seed);
  Open();
  struct Replica {
    std::unique_ptr<L2Loader> loader;
    DeltaBase base;
  };
  std::vector<Replica> replicas;
  const std::vector<std::string> namespaces = {"m", "z", "a", "empty"};
  for (int step = 0; step < 60; ++step) {
    const int mutations = static_cast<int>(random() % 200);
    for (int i = 0; i < mutations; ++i) {
      const std::string& ns = namespaces[random() % 3];
      const std::string key = absl::StrCat(random() % 700);
      switch (random() % 10) {
        case 0:
        case 1:
          Delete(ns, key);
          break;
        case 2:
          clock_.AdvanceMillis(static_cast<int64_t>(random() % 100));
          break;
        default: {
          PutOptions options;
          if (random() % 4 == 0) options.tags = {absl::StrCat(random() % 9)};
          if (random() % 4 == 0) options.ttl_ms = 1 + random() % 20'000;
          Put(ns, key, Bytes(random() % 2000, random()), options);
        }
      }
    }
    if (random() % 8 == 0) {
      ASSERT_TRUE(cache_->FlushNamespace(namespaces[random() % 3]).ok());
    }
    if (random() % 3 == 0) {
      ASSERT_TRUE(cache_->SweepDueSlice({}).ok());
      ASSERT_TRUE(cache_->SweepTombstonedSlice({}).ok());
    }
    if (random() % 10 == 0) Open();
    const auto now = Take();
    if (replicas.size() < 4) {
      replicas.push_back(
          {MakeReplica(absl::StrCat("replica", replicas.size()), *now),
           BaseOf(now->info())});
    }
    for (Replica& replica : replicas) {
      if (step < 59 && random() % 5 != 0) continue;
      Snapshot::DeltaLimits limits;
      if (random() % 2 == 0) {
        limits = {.changed = 1 + static_cast<int64_t>(random() % 9),
                  .kept = 1 + static_cast<int64_t>(random() % 50),
                  .bytes = 1 + static_cast<int64_t>(random() % 3000)};
      }
      const Applied applied =
          Apply(replica.base, limits, *now, replica.loader.get());
      EXPECT_EQ(applied.missing, 0) << "step " << step;
      replica.base = BaseOf(now->info());
    }
    if (step < 59) continue;
    for (Replica& replica : replicas) {
      const auto closed = replica.loader->Close();
      ASSERT_TRUE(closed.ok()) << closed.status();
      EXPECT_EQ(closed->records, now->info().records);
      EXPECT_EQ(closed->content_digest, now->info().content_digest);
    }
  }
}

// What misses an epoch by a hair is newer than the epoch is complete through.
TEST_F(DeltaTest, PutsUnderWayAreInOneDeltaOrTheNext) {
  Open();
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (int w = 0; w < 3; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; !stop.load(); ++i) {
        const std::string key = absl::StrCat(w, "/", i % 200);
        ASSERT_TRUE(cache_->Put("ns", key, absl::StrCat(i), {}).ok());
      }
    });
  }
  auto base = Take();
  const auto replica = MakeReplica("replica", *base);
  for (int round = 0; round < 30; ++round) {
    auto now = Take();
    const Applied applied =
        Apply(BaseOf(base->info()), {}, *now, replica.get());
    EXPECT_EQ(applied.missing, 0) << "round " << round;
    base = std::move(now);
  }
  stop.store(true);
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(replica->Close()->content_digest, base->info().content_digest);
}

}  // namespace
}  // namespace larder::cache
