// What the cache counts. Plain values; a copy taken at one moment, field by
// field (not one atomic cut across fields).
#ifndef LARDER_CACHE_STATS_H_
#define LARDER_CACHE_STATS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/numeric/int128.h"
#include "cache/hlc.h"

namespace larder::cache {

struct L1Stats {
  int64_t entries = 0;
  int64_t bytes_in_use = 0;  // Payload and overhead.
  int64_t bytes_max = 0;
  int64_t evictions = 0;
  int64_t expirations = 0;
};

struct L2Stats {
  bool enabled = false;
  uint64_t epoch = 0;          // Newest committed.
  uint64_t durable_epoch = 0;  // Newest that a power cut cannot undo.
  std::string lineage;         // UUID text.
  absl::uint128 content_digest = 0;
  // Committed records. What a tombstone covers counts until it is purged.
  int64_t records = 0;
  int64_t raw_bytes = 0;     // Payload as put.
  int64_t stored_bytes = 0;  // Payload as stored: compressed where it pays.
  int64_t staged = 0;        // Changes that wait for a commit.
  // Space. Units times unit size; the files' bytes are blobs + meta + fixed.
  int64_t bytes_in_use = 0;       // Allocated pages and chains.
  int64_t bytes_max = 0;          // l2_bytes_max.
  int64_t quarantined_bytes = 0;  // Freed, and waiting for commit, pin, reader.
  int64_t file_bytes = 0;         // Sizes of the files.
  int64_t tombstones = 0;         // Live.
  int64_t synopsis_bytes = 0;
  int64_t commits = 0;
  int64_t commit_failures = 0;
  int64_t evictions = 0;
  int64_t expirations = 0;
  int64_t full_rejections = 0;
  // Pages that the disk could not read, or that another program cut off.
  int64_t unreadable_pages = 0;
  int64_t damaged_reads = 0;  // Bad checksums met: each a miss, none served.
  int64_t metadata_reads = 0;
  int64_t negative_skips = 0;  // Reads of L2 that the synopsis saved.
  int64_t compression_skipped = 0;
  // Why puts are refused, if they are; empty: they are not.
  std::string degraded;
};

struct CacheStats {
  int64_t hits_l1 = 0;
  int64_t hits_l2 = 0;
  int64_t misses = 0;
  int64_t stale_serves = 0;
  int64_t insertions = 0;
  int64_t invalidations = 0;
  int64_t namespace_flushes = 0;
  int64_t version_mismatches = 0;
  int64_t promotions = 0;
  L1Stats l1;
  L2Stats l2;
};

struct NamespaceStats {
  std::string name;
  uint64_t generation = 0;  // Grows by one with each flush, never shrinks.
  Hlc flushed_at;           // Of the newest flush; zero: never.
  int64_t l2_records = 0;
  int64_t l2_raw_bytes = 0;
  int64_t l2_stored_bytes = 0;
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_STATS_H_
