// What dumps that were cut short leave in an archive.
#ifndef LARDER_BACKUP_INTERNAL_LEFTOVERS_H_
#define LARDER_BACKUP_INTERNAL_LEFTOVERS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backup/archive.h"

namespace larder::backup_internal {

// Paths of packs that belong to no snapshot (none has their id, and no manifest
// names them), and of temporary manifests. Nothing, while any manifest cannot
// be read: it may name them.
// During a dump its own files are among them: only its lock says so.
absl::StatusOr<std::vector<std::string>> FindLeftovers(
    const backup::Archive& archive,
    const std::vector<backup::SnapshotEntry>& snapshots);

// Whether a dump is being written, as far as can be told: who may not write to
// the archive cannot try its lock. Takes and drops the lock at once.
bool BackupIsRunning(const backup::Archive& archive);

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_LEFTOVERS_H_
