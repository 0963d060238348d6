// Dumps of the real cache: through an archive into a new L2, and back.
#include <atomic>
#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/blob_cache_source.h"
#include "backup/directory_sink.h"
#include "backup/fake_snapshot.h"
#include "backup/orchestrator.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using cache::BlobCache;
using cache::BlobCacheOptions;
using cache::PutOptions;
using cache::l2::SimulatedDisk;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RealCacheTest : public ::testing::Test {
 protected:
  BlobCacheOptions CacheOptions(const std::string& path) {
    BlobCacheOptions options;
    options.l2_path = path;
    options.l1_bytes_max = 1 << 20;
    options.l2_bytes_max = l2_bytes_max_;
    options.background_commits = false;
    options.clock = &clock_;
    options.file_system = &disk_;
    return options;
  }
  std::unique_ptr<BlobCache> OpenCache(const std::string& path) {
    auto opened = BlobCache::Open(CacheOptions(path));
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  void Put(BlobCache* cache, const std::string& ns, const std::string& key,
           const std::string& bytes, const PutOptions& options = {}) {
    const auto put = cache->Put(ns, key, bytes, options);
    ASSERT_TRUE(put.ok()) << put.status();
    model_[{ns, key}] = bytes;
  }
  // Blobs of all shapes: empty, inline, compressible, several frames.
  void Fill(BlobCache* cache) {
    for (int i = 0; i < 60; ++i) {
      PutOptions options;
      options.tags = {absl::StrCat("tag", i % 4)};
      options.dependencies = {absl::StrCat("dep", i % 5)};
      options.metadata = {{"n", absl::StrCat(i)}};
      options.version = static_cast<uint64_t>(i);
      if (i % 3 == 0) options.ttl_ms = 3'600'000;
      const size_t size = static_cast<size_t>(i) * 1500;
      Put(cache, i % 2 == 0 ? "pages" : "images", absl::StrCat("dir/", i),
          i % 3 == 1 ? std::string(size, 'a' + i % 26)
                     : RandomBytes(static_cast<uint64_t>(i), size),
          options);
    }
    Put(cache, "images", "large", RandomBytes(5, 1'000'000));
    Put(cache, "images", std::string("k\0\xff", 3), "binary key");
  }
  BackupReport Backup(BlobCache* cache, uint64_t seed) {
    BackupOrchestrator orchestrator({.clock = &clock_, .random_seed = seed});
    BlobCacheSource::Options source;
    source.range_records_max = 16;
    source.frame_chunk_bytes = 100'000;
    orchestrator.AddSource(std::make_unique<BlobCacheSource>(
        [cache](const auto& pin) { return cache->TakeSnapshot(pin); }, source));
    orchestrator.AddSink(DirectorySink::Create(
        "/archive", {.pack_bytes = 1 << 20, .file_system = &disk_}));
    BackupRequest request;
    request.include_blob_cache = true;
    return orchestrator.Run(request);
  }
  RestoreReport RestoreTo(const std::string& path, const std::string& id = "") {
    RestoreOptions options;
    options.snapshot_id = id;
    options.cache = CacheOptions(path);
    const auto archive = Archive::Open("/archive", &disk_);
    EXPECT_TRUE(archive.ok()) << archive.status();
    return Restore(*archive, options);
  }
  // The cache holds what the model says, but for `lost`.
  void ExpectModel(BlobCache* cache, const std::set<BlobKey>& lost = {}) {
    for (const auto& [key, bytes] : model_) {
      const auto hit = cache->Get(key.first, key.second);
      ASSERT_EQ(hit.has_value(), !lost.contains(key)) << key.second;
      if (hit.has_value()) {
        ASSERT_EQ(hit->bytes(), bytes) << key.second;
      }
    }
    EXPECT_EQ(cache->Stats().l2.records,
              static_cast<int64_t>(model_.size() - lost.size()));
  }

  // Until every tombstone is spent.
  void SweepTombstoned(BlobCache* cache) {
    for (bool done = false; !done;) {
      const auto slice = cache->SweepTombstonedSlice({});
      ASSERT_TRUE(slice.ok()) << slice.status();
      done = slice->done;
    }
    ASSERT_TRUE(cache->Flush().ok());
    ASSERT_EQ(cache->Stats().l2.tombstones, 0);
  }
  // So many of a tag that no blob has.
  void InvalidateOthers(BlobCache* cache, const std::string& ns, int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(cache->InvalidateTags(ns, {absl::StrCat("other", i)}).ok());
    }
    SweepTombstoned(cache);
  }

  int64_t l2_bytes_max_ = int64_t{256} << 20;
  cache::ManualClock clock_{1'700'000'000'000};
  SimulatedDisk disk_;
  std::map<BlobKey, std::string> model_;
};

TEST_F(RealCacheTest, RoundTripWithEqualDigests) {
  auto cache = OpenCache("/l2");
  Fill(cache.get());
  ASSERT_TRUE(cache->FlushNamespace("gone").ok());
  const BackupReport backup = Backup(cache.get(), 1);
  ASSERT_EQ(backup.outcome, Outcome::kOk) << backup.status;
  EXPECT_EQ(backup.sources[0].totals.records(),
            static_cast<int64_t>(model_.size()));
  const auto verdict = VerifyArchive(*Archive::Open("/archive", &disk_), {});
  ASSERT_TRUE(verdict.ok());
  EXPECT_TRUE(verdict->status.ok()) << verdict->status;

  const RestoreReport report = RestoreTo("/new");
  ASSERT_EQ(report.outcome, Outcome::kOk)
      << report.status
      << (report.lost.empty() ? "" : report.lost.listed[0].reason);
  EXPECT_TRUE(report.digest_equal);
  auto restored = OpenCache("/new");
  ExpectModel(restored.get());
  const cache::L2Stats before = cache->Stats().l2;
  const cache::L2Stats after = restored->Stats().l2;
  EXPECT_EQ(after.content_digest, before.content_digest);
  EXPECT_EQ(after.stored_bytes, before.stored_bytes);
  EXPECT_NE(after.lineage, before.lineage);
  EXPECT_EQ(restored->CurrentGeneration("gone"), 1u);
  const auto hit = restored->Get("pages", "dir/42");
  ASSERT_TRUE(hit.has_value());
  EXPECT_EQ(hit->attributes().version, 42u);
  EXPECT_THAT(hit->attributes().tags, ElementsAre("tag2"));
  EXPECT_EQ(hit->attributes().metadata[0].second, "42");
  EXPECT_EQ(hit->attributes().expiry.expires_at_unix_ms,
            1'700'000'000'000 + 3'600'000);
  // A dump of the restored one restores to the same again.
  ASSERT_EQ(Backup(restored.get(), 2).outcome, Outcome::kOk);
  const RestoreReport again = RestoreTo("/third");
  EXPECT_EQ(again.restored.content_digest, before.content_digest);
}

TEST_F(RealCacheTest, FlushedAndInvalidatedStaysSoFromAnOlderDump) {
  auto cache = OpenCache("/l2");
  Fill(cache.get());
  const std::string old_id = Backup(cache.get(), 1).snapshot_id;
  clock_.AdvanceMillis(1000);
  ASSERT_TRUE(cache->FlushNamespace("pages").ok());
  ASSERT_TRUE(cache->InvalidateTags("images", {"tag1"}).ok());
  ASSERT_TRUE(cache->InvalidateDependencies("images", {"dep3"}).ok());
  ASSERT_TRUE(cache->InvalidatePrefix("images", "dir/5").ok());
  ASSERT_EQ(Backup(cache.get(), 2).outcome, Outcome::kOk);

  const RestoreReport report = RestoreTo("/new", old_id);
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_GT(report.records_skipped, 30);
  auto restored = OpenCache("/new");
  EXPECT_EQ(restored->CurrentGeneration("pages"), 1u);
  for (const auto& [key, bytes] : model_) {
    const auto expected = cache->Get(key.first, key.second);
    const auto found = restored->Get(key.first, key.second);
    EXPECT_EQ(found.has_value(), expected.has_value()) << key.second;
  }
  // And later puts are newer than all of it.
  Put(restored.get(), "pages", "dir/0", "fresh");
  EXPECT_TRUE(restored->Get("pages", "dir/0").has_value());
}

// Sweeping what an invalidation covers does not make it forgotten, nor does
// reopening, nor a restore in between.
TEST_F(RealCacheTest, InvalidatedAndSweptStaysSoFromAnOlderDump) {
  auto cache = OpenCache("/l2");
  Fill(cache.get());
  const std::string old_id = Backup(cache.get(), 1).snapshot_id;
  clock_.AdvanceMillis(1000);
  ASSERT_TRUE(cache->FlushNamespace("pages").ok());
  ASSERT_TRUE(cache->InvalidateTags("images", {"tag1"}).ok());
  ASSERT_TRUE(cache->InvalidateDependencies("images", {"dep3"}).ok());
  ASSERT_TRUE(cache->InvalidatePrefix("images", "dir/5").ok());
  SweepTombstoned(cache.get());
  cache.reset();
  cache = OpenCache("/l2");
  EXPECT_EQ(cache->Stats().l2.tombstones, 0);
  const std::string swept_id = Backup(cache.get(), 2).snapshot_id;
  ASSERT_EQ(RestoreTo("/child", swept_id).outcome, Outcome::kOk);
  auto child = OpenCache("/child");
  SweepTombstoned(child.get());
  ASSERT_EQ(Backup(child.get(), 3).outcome, Outcome::kOk);
  // The child alone says what its parent was told.
  ASSERT_TRUE(
      disk_.Remove(absl::StrCat("/archive/manifests/", swept_id, ".manifest"))
          .ok());

  const RestoreReport report = RestoreTo("/new", old_id);
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  auto restored = OpenCache("/new");
  for (const auto& [key, bytes] : model_) {
    EXPECT_EQ(restored->Get(key.first, key.second).has_value(),
              cache->Get(key.first, key.second).has_value())
        << key.first << "/" << key.second;
  }
}

// An L2 keeps a bounded number of spent tombstones. Whatever one of those that
// went may have covered does not come back.
TEST_F(RealCacheTest, WhatAForgottenInvalidationMayHaveCoveredStaysAway) {
  l2_bytes_max_ = cache::kL2BytesMin;
  auto cache = OpenCache("/l2");
  Fill(cache.get());
  const std::string old_id = Backup(cache.get(), 1).snapshot_id;
  clock_.AdvanceMillis(1000);
  ASSERT_TRUE(cache->InvalidateTags("images", {"tag1"}).ok());
  SweepTombstoned(cache.get());
  clock_.AdvanceMillis(1000);
  constexpr int kMoreThanAreKept = 3000;
  InvalidateOthers(cache.get(), "images", kMoreThanAreKept);
  clock_.AdvanceMillis(100'000);
  Put(cache.get(), "images", "later", "bytes");
  const std::string newer_id = Backup(cache.get(), 2).snapshot_id;
  const std::string newest_id = Backup(cache.get(), 3).snapshot_id;

  ASSERT_EQ(RestoreTo("/old", old_id).outcome, Outcome::kOk);
  auto old = OpenCache("/old");
  for (const auto& [key, bytes] : model_) {
    EXPECT_EQ(old->Get(key.first, key.second).has_value(), key.first == "pages")
        << key.first << "/" << key.second;
  }
  // Those that knew it themselves are what they were.
  for (const std::string& id : {newer_id, newest_id}) {
    const RestoreReport report = RestoreTo(absl::StrCat("/l2-of-", id), id);
    ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
    EXPECT_TRUE(report.digest_equal);
    EXPECT_EQ(report.restored.content_digest, cache->Stats().l2.content_digest);
  }
  // Also of one that was restored from it: it goes on forgetting.
  auto child = OpenCache(absl::StrCat("/l2-of-", newest_id));
  Put(child.get(), "images", "fresh", "bytes");
  ASSERT_EQ(Backup(child.get(), 4).outcome, Outcome::kOk);
  const RestoreReport same = RestoreTo("/same", newer_id);
  EXPECT_TRUE(same.digest_equal);
  const RestoreReport again = RestoreTo("/again", old_id);
  ASSERT_EQ(again.outcome, Outcome::kOk) << again.status;
  EXPECT_FALSE(OpenCache("/again")->Get("images", "dir/1").has_value());
  EXPECT_TRUE(OpenCache("/again")->Get("pages", "dir/0").has_value());
}

// An L2 that was restored goes its own way beside the one that it came from:
// what it invalidated and forgot is news to later snapshots of that one.
TEST_F(RealCacheTest, WhatABranchForgotStaysAwayFromALaterDump) {
  l2_bytes_max_ = cache::kL2BytesMin;
  auto cache = OpenCache("/l2");
  Fill(cache.get());
  ASSERT_EQ(Backup(cache.get(), 1).outcome, Outcome::kOk);
  ASSERT_EQ(RestoreTo("/branch").outcome, Outcome::kOk);
  auto branch = OpenCache("/branch");
  clock_.AdvanceMillis(1000);
  ASSERT_TRUE(branch->InvalidateTags("images", {"tag1"}).ok());
  SweepTombstoned(branch.get());
  constexpr int kMoreThanAreKept = 3000;
  InvalidateOthers(branch.get(), "images", kMoreThanAreKept);
  clock_.AdvanceMillis(100'000);
  Put(cache.get(), "images", "later", "bytes");
  const std::string later_id = Backup(cache.get(), 2).snapshot_id;
  ASSERT_EQ(Backup(branch.get(), 3).outcome, Outcome::kOk);

  const RestoreReport report = RestoreTo("/new", later_id);
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  auto restored = OpenCache("/new");
  EXPECT_TRUE(cache->Get("images", "dir/1").has_value());
  EXPECT_FALSE(branch->Get("images", "dir/1").has_value());
  EXPECT_FALSE(restored->Get("images", "dir/1").has_value());
  EXPECT_TRUE(restored->Get("images", "later").has_value());
  EXPECT_TRUE(restored->Get("pages", "dir/0").has_value());
}

TEST_F(RealCacheTest, ADamagedByteCostsItsBlobsOnly) {
  auto cache = OpenCache("/l2");
  Fill(cache.get());
  ASSERT_EQ(Backup(cache.get(), 1).outcome, Outcome::kOk);
  int64_t lost_in_all = 0;
  const std::vector<std::string> packs = *disk_.List("/archive/packs");
  for (const std::string& name : packs) {
    const std::string path = absl::StrCat("/archive/packs/", name);
    const uint64_t size = (*disk_.Open(path, {}))->Size();
    for (uint64_t at = 11; at < size; at += 170'003) {
      ASSERT_TRUE(disk_.FlipBit(path, at, 3).ok());
      const std::string target = absl::StrCat("/new", name, at);
      const RestoreReport report = RestoreTo(target);
      ASSERT_TRUE(report.status.ok()) << report.status;
      EXPECT_THAT(report.warnings, Contains(HasSubstr(path)));
      std::set<BlobKey> lost;
      for (const Loss& loss : report.lost.listed) {
        lost.insert({loss.ns, loss.name});
      }
      EXPECT_EQ(static_cast<int64_t>(lost.size()), report.lost.blobs);
      EXPECT_LE(report.lost.blobs, 16);
      lost_in_all += report.lost.blobs;
      ExpectModel(OpenCache(target).get(), lost);
      ASSERT_TRUE(disk_.FlipBit(path, at, 3).ok());
    }
  }
  EXPECT_GT(lost_in_all, 5);
}

TEST_F(RealCacheTest, RestoreFailingAtEveryOperationPublishesNothing) {
  auto cache = OpenCache("/l2");
  for (int i = 0; i < 12; ++i) {
    Put(cache.get(), "ns", absl::StrCat(i),
        RandomBytes(static_cast<uint64_t>(i), static_cast<size_t>(i) * 3000));
  }
  ASSERT_EQ(Backup(cache.get(), 1).outcome, Outcome::kOk);
  int failures = 0;
  for (uint64_t at = 0;; ++at) {
    SCOPED_TRACE(absl::StrCat("operation ", at));
    const uint64_t before = disk_.operation_count();
    disk_.InjectFault(before + at,
                      SimulatedDisk::Fault::Fail(at % 2 == 0 ? EIO : ENOSPC));
    const std::string target = absl::StrCat("/new", at);
    const RestoreReport report = RestoreTo(target);
    if (disk_.operation_count() <= before + at) break;
    if (!report.status.ok()) {
      ++failures;
      EXPECT_FALSE(disk_.Exists(target)) << report.status;
    } else {
      // The fault hit the archive, or what a failure of costs nothing.
      EXPECT_TRUE(disk_.Exists(target));
      auto restored = OpenCache(target);
      ASSERT_NE(restored, nullptr);
      EXPECT_EQ(restored->Stats().l2.records, report.records_restored);
      EXPECT_EQ(report.records_restored + report.lost.blobs, 12);
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(failures, 20);
}

TEST_F(RealCacheTest, PowerCutAfterARestoreKeepsIt) {
  auto cache = OpenCache("/l2");
  Fill(cache.get());
  ASSERT_EQ(Backup(cache.get(), 1).outcome, Outcome::kOk);
  ASSERT_EQ(RestoreTo("/new").outcome, Outcome::kOk);
  cache.reset();
  disk_.PowerCut(7);
  ExpectModel(OpenCache("/new").get());
}

// What a dump taken in the middle of puts and flushes holds is one epoch: the
// snapshot's digest, whatever came meanwhile.
TEST_F(RealCacheTest, ABackupInTheMiddleOfAStormIsConsistent) {
  auto cache = OpenCache("/l2");
  Fill(cache.get());
  for (uint64_t round = 1; round <= 5; ++round) {
    std::atomic<bool> stop{false};
    std::thread storm([&] {
      for (int i = 0; !stop; ++i) {
        const std::string key = absl::StrCat("dir/", i % 70);
        const auto put =
            cache->Put(i % 2 == 0 ? "pages" : "images", key,
                       RandomBytes(static_cast<uint64_t>(i), 5000), {});
        EXPECT_TRUE(put.ok()) << put.status();
        if (i % 50 == 49) {
          EXPECT_TRUE(cache->FlushNamespace("pages").ok());
        }
        if (i % 20 == 19) {
          EXPECT_TRUE(cache->Flush().ok());
        }
      }
    });
    const BackupReport backup = Backup(cache.get(), round);
    stop = true;
    storm.join();
    ASSERT_EQ(backup.outcome, Outcome::kOk) << backup.status;
    const RestoreReport report =
        RestoreTo(absl::StrCat("/new", round), backup.snapshot_id);
    ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
    EXPECT_TRUE(report.digest_equal);
  }
}

// The disk says yes and keeps an older superblock, as one would that cannot be
// read: what is published must be what the next process finds.
TEST_F(RealCacheTest, AnL2ThatDoesNotReopenAsWrittenIsNotPublished) {
  auto cache = OpenCache("/l2");
  Fill(cache.get());
  ASSERT_EQ(Backup(cache.get(), 1).outcome, Outcome::kOk);
  int writes = 0;
  disk_.SetFaultScript([&](const SimulatedDisk::Operation& operation) {
    constexpr uint64_t kSuperblockBytes = 4 * 4096;
    if (operation.kind != SimulatedDisk::OperationKind::kWrite ||
        operation.offset >= kSuperblockBytes ||
        operation.path.find(".restoring-") == std::string::npos ||
        operation.path.find("/meta") == std::string::npos || ++writes <= 2) {
      return SimulatedDisk::Fault();
    }
    return SimulatedDisk::Fault::Lie();
  });
  const RestoreReport report = RestoreTo("/new");
  disk_.SetFaultScript(nullptr);
  EXPECT_GT(writes, 2);
  EXPECT_EQ(report.outcome, Outcome::kFailed);
  EXPECT_EQ(report.status.code(), absl::StatusCode::kDataLoss) << report.status;
  EXPECT_THAT(std::string(report.status.message()), HasSubstr("opened again"));
  EXPECT_FALSE(disk_.Exists("/new"));
}

}  // namespace
}  // namespace larder::backup
