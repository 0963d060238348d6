// Makes a damaged L2 directory usable again.
#ifndef LARDER_CACHE_REPAIR_H_
#define LARDER_CACHE_REPAIR_H_

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "cache/options.h"
#include "cache/repair_report.h"

namespace larder::cache {

// Reads every page, record, chain and frame that the newest sound superblock of
// options.l2_path reaches, and publishes what is good as one commit; then the
// allocation map is what that commit reaches. What is dropped, and why, is in
// the report; which loss follows from which damage: docs/adr/0006-repair.md.
// What invalidations the journal holds take effect, as at an open.
//
// A repair that commits ends a hydration (hydration.h) before.
//
// Where nothing is damaged, nothing is written. Cut short at any point, by
// whatever, the directory is as it was, but for one flipped bit that was mended
// or a superblock that got its twin back, or it is repaired, but for orphans.
// Writes new pages only where nothing is that anyone, a second repair included,
// could still want; `meta` may grow within options.l2_bytes_max.
//
// Errors: as BlobCache::Open.
//   kDataLoss           no superblock is sound, or a write or sync failed.
//   kFailedPrecondition the newest superblock is of a newer format.
//   kCancelled          stopped on request.
//   kResourceExhausted  `meta` or the disk has no room for the new pages.
// After an error the directory is as if cut short.
// Memory: eight bits a page, one a unit and a record, 64 MiB for sorting, the
// synopsis of one namespace, one blob frame, the fences of damaged pages, the
// journal's entries, kDamagedMax and kDroppedMax lines.
// Asks `cancelled` at each record until it begins to write.
absl::StatusOr<RepairReport> RepairL2(
    const BlobCacheOptions& options,
    absl::FunctionRef<bool()> cancelled = [] { return false; });

}  // namespace larder::cache

#endif  // LARDER_CACHE_REPAIR_H_
