// What the next dump to an archive can build on.
#ifndef LARDER_BACKUP_DELTA_BASE_H_
#define LARDER_BACKUP_DELTA_BASE_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/archive.h"
#include "backup/format/dump.pb.h"

namespace larder::backup {

// Of each lineage, the newest first, the header, without sources that failed,
// of the newest of `snapshots` (as `archive` lists them) that is complete, has
// its blobs and is not known to be damaged, nor what it builds on
// (verification.h); none, if its chain is full. Of `id` alone, if that is not
// empty. At most kDeltaBasesMax.
// Errors: kNotFound when `id` is not there, or cannot be built on.
absl::StatusOr<std::vector<format::DumpHeader>> FindDeltaBases(
    const Archive& archive, const std::vector<SnapshotEntry>& snapshots,
    absl::string_view id);

// Bounds the memory of a backup to an archive of very many caches; the others
// get full dumps.
inline constexpr size_t kDeltaBasesMax = 64;

}  // namespace larder::backup

#endif  // LARDER_BACKUP_DELTA_BASE_H_
