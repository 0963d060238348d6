// Removes snapshots from an archive.
#ifndef LARDER_BACKUP_PRUNE_H_
#define LARDER_BACKUP_PRUNE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "backup/archive.h"
#include "backup/retention.h"
#include "cache/clock.h"

namespace larder::backup {

struct PruneOptions {
  RetentionPolicy policy;
  // Unless it is set, nothing is removed: the report tells what would be.
  bool confirm = false;
  absl::TimeZone zone;            // Of the policy's periods; UTC.
  cache::Clock* clock = nullptr;  // Null: SystemClock().
};

struct PruneReport {
  std::vector<SnapshotEntry> snapshots;      // Before, oldest first.
  std::vector<RetentionDecision> decisions;  // On each.
  int64_t snapshots_removed = 0;
  // Of them, and what dumps that were cut short left; not what a snapshot that
  // stays refers to.
  int64_t packs_removed = 0;
  int64_t bytes_removed = 0;  // Of snapshots alone: manifests and packs.
};

// Holds the archive's lock, unless it only tells. Manifests go first, and
// durably: of a chain the newest first, so that every snapshot that is listed
// can be restored, whenever it stops. Then the packs that no manifest names.
// What was left undone, the next one does.
//
// Errors: kUnavailable (a backup, or another prune, is running);
// kFailedPrecondition (a manifest cannot be read: nobody knows what it needs;
// a newer version's lease); kDataLoss (a lease is damaged); what the file
// system says. Memory: all manifests.
absl::StatusOr<PruneReport> Prune(const Archive& archive,
                                  const PruneOptions& options);

}  // namespace larder::backup

#endif  // LARDER_BACKUP_PRUNE_H_
