// Backups and restores in one call, for tests.
#ifndef LARDER_BACKUP_ARCHIVE_TEST_SUPPORT_H_
#define LARDER_BACKUP_ARCHIVE_TEST_SUPPORT_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "backup/archive.h"
#include "backup/blob_cache_source.h"
#include "backup/crypto/key_ring.h"
#include "backup/directory_sink.h"
#include "backup/fake_snapshot.h"
#include "backup/orchestrator.h"
#include "backup/restore.h"
#include "cache/clock.h"
#include "cache/l2/file.h"
#include "gtest/gtest.h"

namespace larder::backup {

// Whole files, for who damages them.
inline std::string ReadFile(cache::l2::FileSystem* disk,
                            const std::string& path) {
  auto file = disk->Open(path, {});
  EXPECT_TRUE(file.ok()) << file.status();
  std::string bytes((*file)->Size(), '\0');
  EXPECT_TRUE((*file)->ReadAt(0, absl::MakeSpan(bytes)).ok());
  return bytes;
}

inline void WriteFile(cache::l2::FileSystem* disk, const std::string& path,
                      const std::string& bytes) {
  auto file = disk->Open(path, {.create = true});
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Resize(bytes.size()).ok());
  ASSERT_TRUE((*file)->WriteAt(0, bytes).ok());
}

// How TestBackup() makes a dump; small, so that a small dump has many chunks.
struct TestBackupOptions {
  BlobCacheSource::Options source;
  int64_t pack_bytes = 4000;
  bool include_blob_cache = true;
  bool full = false;
  uint64_t random_seed = 1;
  Archive::Keys keys;  // Seal it; salts follow from `random_seed`.
  int64_t unix_ms = 1'700'000'000'000;
  // Besides the cache; may be null.
  std::unique_ptr<SnapshotSource> more;

  TestBackupOptions() {
    source.range_records_max = 4;
    source.frame_chunk_bytes = 700;
  }
};

// The same bytes for the same seed; others at each call.
inline std::function<absl::StatusOr<std::string>(size_t)> TestRandom(
    uint64_t seed) {
  return [random = std::mt19937_64(seed)](size_t bytes) mutable {
    std::string out;
    while (out.size() < bytes) out.push_back(static_cast<char>(random()));
    return absl::StatusOr<std::string>(std::move(out));
  };
}

// A key of 32 bytes `b`, and those behind it that only open.
inline Archive::Keys TestKeys(const std::string& bytes) {
  std::string text;
  for (const char b : bytes) {
    absl::StrAppend(&text, absl::BytesToHexString(std::string(32, b)), "\n");
  }
  return *crypto::KeyRing::Parse(text, "KEYS");
}

inline BackupReport TestBackup(FakeCache* cache, const std::string& archive,
                               cache::l2::FileSystem* file_system,
                               TestBackupOptions options) {
  cache::ManualClock clock(options.unix_ms);
  BackupOrchestrator orchestrator(
      {.clock = &clock,
       .random_seed = options.random_seed,
       .keys = options.keys,
       .random_bytes = TestRandom(options.random_seed)});
  orchestrator.AddSource(
      std::make_unique<BlobCacheSource>(cache->Taker(), options.source));
  if (options.more != nullptr) orchestrator.AddSource(std::move(options.more));
  orchestrator.AddSink(DirectorySink::Create(
      archive, {.pack_bytes = options.pack_bytes, .file_system = file_system}));
  return orchestrator.Run(
      {.include_blob_cache = options.include_blob_cache, .full = options.full});
}

// Restores into `*cache`, at `l2_path` of `file_system`.
inline RestoreReport TestRestore(const Archive& archive,
                                 const std::string& l2_path,
                                 cache::l2::FileSystem* file_system,
                                 FakeCache* cache, RestoreOptions options) {
  options.cache.l2_path = l2_path;
  options.cache.file_system = file_system;
  options.create_loader = [&](const cache::BlobCacheOptions& target,
                              const cache::SnapshotInfo& source)
      -> absl::StatusOr<std::unique_ptr<cache::L2Loader>> {
    return cache->Loader(target.l2_path, file_system, source);
  };
  return Restore(archive, options);
}

}  // namespace larder::backup

#endif  // LARDER_BACKUP_ARCHIVE_TEST_SUPPORT_H_
