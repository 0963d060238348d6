// Checks everything about an L2 directory, without changing it.
#ifndef LARDER_CACHE_VERIFY_H_
#define LARDER_CACHE_VERIFY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "cache/options.h"

namespace larder::cache {

// What VerifyL2 found. A plain value.
struct VerifyReport {
  uint64_t epoch = 0;
  int64_t pages = 0;    // Reachable tree pages.
  int64_t records = 0;  // Reachable records.
  int64_t chains = 0;   // Records whose chain lies in `blobs`.
  // Every byte of `blobs` and `meta` is one of live, orphaned and free. An
  // orphan is marked in use and nothing reaches it: a kill leaves some, the
  // sweeper takes them back.
  int64_t live_bytes = 0;
  int64_t orphaned_bytes = 0;
  int64_t free_bytes = 0;
  int64_t file_bytes = 0;
  int64_t orphan_runs = 0;  // In `blobs`; neighbours count as one.
  // How much is damaged, and the first of it: file, offset, what, found and
  // expected, a line each.
  static constexpr int64_t kDamagedMax = 1000;
  int64_t damages = 0;
  std::vector<std::string> damaged;
  // live + orphaned + free = size, of each file: nothing live is used twice or
  // marked free.
  bool accounting_ok = false;
  // Records, counts and checksums add up to what the superblock says.
  bool digest_ok = false;

  bool clean() const { return damages == 0 && accounting_ok && digest_ok; }
};

// Reads every page, record, tombstone, chain and frame of options.l2_path,
// holds the due and the age tree against the records, and asks synopses for
// every key. Errors: as BlobCache::Open; damage is not an error but in the
// report. Memory: one bit a page and a unit, one blob frame, eight bytes for
// each 2 KiB of one namespace's synopsis, kDamagedMax lines. Asks `cancelled`
// at each record and entry, and gives up with kCancelled once it says so.
absl::StatusOr<VerifyReport> VerifyL2(
    const BlobCacheOptions& options,
    absl::FunctionRef<bool()> cancelled = [] { return false; });

}  // namespace larder::cache

#endif  // LARDER_CACHE_VERIFY_H_
