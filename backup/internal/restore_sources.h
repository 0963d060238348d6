// Which sources of a dump a restore is about.
#ifndef LARDER_BACKUP_INTERNAL_RESTORE_SOURCES_H_
#define LARDER_BACKUP_INTERNAL_RESTORE_SOURCES_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/archive.h"
#include "backup/format/dump.pb.h"

namespace larder::backup_internal {

// The source to restore from: of `kind`, named `name` (empty: any), and sound.
// Errors: kFailedPrecondition.
absl::StatusOr<uint16_t> ChooseSource(const backup::format::Manifest& manifest,
                                      backup::format::SourceKind kind,
                                      absl::string_view name);

// Whether what was flushed in `other` was flushed for `cache` too: it is a
// later state of the same L2, or of one that was restored from it.
bool IsOrDescendsFrom(const backup::format::CacheInfo& other,
                      const backup::format::CacheInfo& cache);

// Whether `other` may tell, besides, what was flushed after `cache` was taken.
bool MayTellOfLater(const backup::format::CacheInfo& other,
                    const backup::format::CacheInfo& cache);

// The cache in layer `at` of `chain` that source `index` of the last one goes
// back to.
// Errors: kDataLoss when the layer is not what the one above builds on.
absl::StatusOr<uint16_t> CacheSourceIn(
    const std::vector<backup::SnapshotEntry>& chain, size_t at, uint16_t index);

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_RESTORE_SOURCES_H_
