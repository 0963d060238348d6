// A cache, backups of it, and lazy restores of those, on a simulated disk.
#ifndef LARDER_BACKUP_LAZY_RESTORE_FIXTURE_H_
#define LARDER_BACKUP_LAZY_RESTORE_FIXTURE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backup/archive.h"
#include "backup/blob_cache_source.h"
#include "backup/directory_sink.h"
#include "backup/fake_snapshot.h"
#include "backup/lazy_restore.h"
#include "backup/orchestrator.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "gtest/gtest.h"

namespace larder::backup {

using BytesByKey = std::map<BlobKey, std::string>;

// Small chunks and packs: there are many of each.
class LazyRestoreFixture {
 public:
  static constexpr int64_t kPackBytes = 60'000;

  cache::BlobCacheOptions CacheOptions(const std::string& path) {
    cache::BlobCacheOptions options;
    options.l2_path = path;
    options.l1_bytes_max = 1 << 20;
    options.l2_bytes_max = l2_bytes_max;
    options.durability = durability;
    options.background_commits = false;
    options.clock = &clock;
    options.file_system = &disk;
    return options;
  }
  std::unique_ptr<cache::BlobCache> OpenCache(const std::string& path) {
    auto opened = cache::BlobCache::Open(CacheOptions(path));
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  void Put(cache::BlobCache* cache, const std::string& ns,
           const std::string& key, const std::string& bytes,
           const cache::PutOptions& options = {}) {
    const auto put = cache->Put(ns, key, bytes, options);
    ASSERT_TRUE(put.ok()) << put.status();
    model[{ns, key}] = bytes;
  }
  // A full dump, or a delta on the newest one in each archive.
  std::string Backup(cache::BlobCache* cache,
                     const std::vector<std::string>& archives,
                     bool full = false) {
    clock.AdvanceMillis(1000);
    BackupOrchestrator orchestrator(
        {.clock = &clock, .random_seed = ++seed, .keys = seal_keys});
    BlobCacheSource::Options source;
    source.range_records_max = 8;
    source.frame_chunk_bytes = 9'000;
    orchestrator.AddSource(std::make_unique<BlobCacheSource>(
        [cache](const auto& pin) { return cache->TakeSnapshot(pin); }, source));
    for (const std::string& archive : archives) {
      orchestrator.AddSink(DirectorySink::Create(
          archive, {.pack_bytes = kPackBytes, .file_system = &disk}));
    }
    BackupRequest request;
    request.include_blob_cache = true;
    request.full = full;
    const BackupReport report = orchestrator.Run(request);
    EXPECT_EQ(report.outcome, Outcome::kOk) << report.status;
    return report.snapshot_id;
  }
  absl::StatusOr<std::unique_ptr<LazyRestore>> TryOpen(
      const std::string& path, const std::vector<std::string>& archives,
      const std::string& id = "") {
    LazyRestoreOptions options;
    options.archives = archives;
    options.snapshot_id = id;
    options.cache = CacheOptions(path);
    options.keys = seal_keys;
    options.checkpoint_bytes = checkpoint_bytes;
    return LazyRestore::Open(std::move(options));
  }
  std::unique_ptr<LazyRestore> Open(const std::string& path,
                                    const std::vector<std::string>& archives,
                                    const std::string& id = "") {
    auto opened = TryOpen(path, archives, id);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  static void HydrateAll(LazyRestore* lazy) {
    for (int i = 0; i < 100'000; ++i) {
      const auto done = lazy->Hydrate(50'000);
      ASSERT_TRUE(done.ok()) << done.status();
      if (*done) return;
    }
    FAIL() << "hydration does not end";
  }
  static void ExpectHolds(cache::BlobCache* cache, const BytesByKey& expected) {
    for (const auto& [key, bytes] : expected) {
      const auto hit = cache->Get(key.first, key.second);
      ASSERT_TRUE(hit.has_value()) << key.first << "/" << key.second;
      ASSERT_EQ(hit->bytes(), bytes) << key.first << "/" << key.second;
    }
  }
  std::vector<std::string> PacksOf(const std::string& archive) {
    const auto names = disk.List(archive + "/packs");
    EXPECT_TRUE(names.ok()) << names.status();
    return *names;
  }

  int64_t l2_bytes_max = int64_t{64} << 20;
  int64_t checkpoint_bytes = 100'000;
  cache::Durability durability = cache::Durability::kInterval;
  cache::ManualClock clock{1'700'000'000'000};
  cache::l2::SimulatedDisk disk;
  BytesByKey model;
  uint64_t seed = 0;
  Archive::Keys seal_keys;  // Seal and open; null: in the clear.
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_LAZY_RESTORE_FIXTURE_H_
