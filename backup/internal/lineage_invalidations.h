// What was invalidated in a cache up to a snapshot, and what later ones of the
// same lineage, and of those restored from it, tell was since.
#ifndef LARDER_BACKUP_INTERNAL_LINEAGE_INVALIDATIONS_H_
#define LARDER_BACKUP_INTERNAL_LINEAGE_INVALIDATIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/dump_reader.h"
#include "backup/internal/invalidation_set.h"
#include "backup/internal/lease.h"

namespace larder::backup_internal {

// Newer snapshots of one archive, and the lease on them. All borrowed.
struct NewerSnapshots {
  const backup::Archive* archive = nullptr;
  const std::vector<std::string>* ids = nullptr;
  Lease* lease = nullptr;  // May be null when there are none.
};

// All borrowed.
struct InvalidationsToCollect {
  const backup::Archive* archive = nullptr;
  const backup::format::Manifest* manifest = nullptr;  // Of the snapshot.
  uint16_t source = 0;
  // Of each archive that is asked what was invalidated since.
  std::vector<NewerSnapshots> newer = {};
  const backup::Cancellation* cancellation = nullptr;  // May be null.
  ProblemFn problem;  // Told what of newer snapshots is unreadable.
};

// Adds to `*merged` those of this snapshot and of newer ones; to `*newer` those
// of newer ones; to `*covering` (may be null) all that may make a record of
// this snapshot invalid.
// Returns: false when those of a newer one are unreadable.
// Errors: kDataLoss when those of this one are; what the file system says.
absl::StatusOr<bool> CollectInvalidations(const InvalidationsToCollect& from,
                                          InvalidationSet* merged,
                                          InvalidationSet* newer,
                                          InvalidationSet* covering);

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_LINEAGE_INVALIDATIONS_H_
