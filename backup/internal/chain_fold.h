// Folds a chain of deltas into a full dump that refers to their frames.
#ifndef LARDER_BACKUP_INTERNAL_CHAIN_FOLD_H_
#define LARDER_BACKUP_INTERNAL_CHAIN_FOLD_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backup/archive.h"

namespace larder::backup_internal {

struct FoldOptions {
  int64_t pack_bytes = 0;  // As PackWriter's.
  bool sync = true;
  std::atomic<int64_t>* progress = nullptr;  // Counts ranges of records.
};

// Writes a full dump of the last snapshot of `chain` (Archive::Chain()): its
// records, each with where in the packs of the chain its frames lie. Reads no
// frames. Snapshots that build on it and those below stay as they are.
// Returns: the manifest file that makes it one, in place of the snapshot's. Its
// packs are synced; until it is there they are leftovers, as after an error.
//
// Requires: the archive's lock.
// Errors: kFailedPrecondition when it holds more than blob caches, or one of
// the chain is sealed; kDataLoss;
// what the file system says. Memory: one Records chunk of each layer.
absl::StatusOr<std::string> FoldChain(
    const backup::Archive& archive,
    const std::vector<backup::SnapshotEntry>& chain,
    const FoldOptions& options);

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_CHAIN_FOLD_H_
