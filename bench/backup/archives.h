// Larder's backups, as the benchmarks take them.
#ifndef LARDER_BENCH_BACKUP_ARCHIVES_H_
#define LARDER_BENCH_BACKUP_ARCHIVES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backup/sink.h"
#include "backup/source.h"
#include "cache/blob_cache.h"

namespace larder::bench {

struct BackupOrder {
  // What the delta builds on; empty: a full dump.
  std::string base_id = {};
  // None of the peers syncs, so that this is about work and not about disks.
  bool sync = false;
  // As BackupRequest.
  bool background = true;
};

struct Taken {
  std::string id;
  int64_t archive_bytes = 0;  // Written: packs and manifest.
  int64_t stored_bytes = 0;   // Of the blobs in it, as L2 holds them.
  int64_t sent_bytes = 0;     // Of its chunks.
};

// Borrows `cache`.
std::unique_ptr<backup::SnapshotSource> SourceOf(cache::BlobCache* cache);

// Takes a full backup of `source`, with its blobs, to all `sinks`.
// Errors: also when anything is missing from it.
absl::StatusOr<Taken> BackUpTo(
    std::unique_ptr<backup::SnapshotSource> source,
    std::vector<std::unique_ptr<backup::SnapshotSink>> sinks);

// Takes a backup of `cache`, with its blobs, into the archive `dir`.
// Errors: also when anything is missing from it, or it is full where a delta
// was wanted.
absl::StatusOr<Taken> BackUp(cache::BlobCache* cache, const std::string& dir,
                             const BackupOrder& order);

// Takes one backup of `cache`, with its blobs, into all archives `dirs`: into
// each what it lacks. Returns: of the first. Errors: also when anything is
// missing from one.
absl::StatusOr<Taken> BackUpWhatEachLacks(cache::BlobCache* cache,
                                          const std::vector<std::string>& dirs);

}  // namespace larder::bench

#endif  // LARDER_BENCH_BACKUP_ARCHIVES_H_
