// Folds a chain of deltas into a full dump that refers to their frames.
#ifndef LARDER_BACKUP_INTERNAL_CHAIN_FOLD_H_
#define LARDER_BACKUP_INTERNAL_CHAIN_FOLD_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "backup/archive.h"

namespace larder::backup_internal {

struct FoldOptions {
  int64_t pack_bytes = 0;  // As PackWriter's.
  bool sync = true;
};

// Makes the last snapshot of `chain` (Archive::Chain()) a full dump: writes its
// records, each with where in the packs of the chain its frames lie, and
// replaces its manifest by one rename. Reads no frames. Snapshots that build on
// it and those below stay as they are.
//
// Requires: the archive's lock.
// Errors, all without any effect but packs that are leftovers:
// kFailedPrecondition when it holds more than blob caches; kDataLoss; what the
// file system says. Memory: one Records chunk of each layer.
absl::Status FoldChain(const backup::Archive& archive,
                       const std::vector<backup::SnapshotEntry>& chain,
                       const FoldOptions& options);

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_CHAIN_FOLD_H_
