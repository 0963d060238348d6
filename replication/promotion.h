// Makes a live replica a primary.
#ifndef LARDER_REPLICATION_PROMOTION_H_
#define LARDER_REPLICATION_PROMOTION_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "cache/l2/file.h"
#include "cache/options.h"
#include "cache/snapshot.h"

namespace larder::replication {

// A plain value.
struct Promotion {
  // Of the primary that was followed.
  std::string snapshot_id;
  std::string old_lineage;
  uint64_t old_epoch = 0;
  // Of the L2, which is a primary's from now on; its lineage descends from the
  // old one.
  cache::SnapshotInfo info;
  uint64_t term = 0;  // That it sends with.
};

// `term`: 0: one more than the highest that the replica has seen. The new term
// is durable before the L2 becomes a primary's; killed in between, it is a
// replica that refuses the old primary already, and can be promoted again.
// Errors: kFailedPrecondition: no live replica, nothing was applied, or it has
// seen the last term; kUnavailable: it is running; kInvalidArgument: `term` is
// not higher, or higher than the last.
absl::StatusOr<Promotion> Promote(const cache::BlobCacheOptions& options,
                                  uint64_t term);

// The term that a primary with this L2 sends with: that of its promotion, or 1.
// It lies in the L2's directory, so it is the same by whichever path, and
// wherever that is moved. Errors: kDataLoss: a file that says so is damaged.
absl::StatusOr<uint64_t> PrimaryTerm(cache::l2::FileSystem* file_system,
                                     const std::string& l2_path);

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_PROMOTION_H_
