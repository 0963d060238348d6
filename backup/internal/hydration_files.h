// The files of a lazy restore in the L2's directory.
#ifndef LARDER_BACKUP_INTERNAL_HYDRATION_FILES_H_
#define LARDER_BACKUP_INTERNAL_HYDRATION_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/internal/hydration_state.pb.h"
#include "backup/internal/invalidation_set.h"
#include "cache/l2/file.h"

namespace larder::backup_internal {

// Replaces hydrating.state; durable on return. Lists fewer of the lost blobs
// where they would not fit.
absl::Status WriteHydrationState(cache::l2::FileSystem* file_system,
                                 const std::string& l2_path,
                                 backup::format::HydrationState state);
// Errors: kNotFound; kDataLoss; kFailedPrecondition (a newer format).
absl::StatusOr<backup::format::HydrationState> ReadHydrationState(
    cache::l2::FileSystem* file_system, const std::string& l2_path);

// Writes hydrating.invalidations-0 and so on. Returns: how many there are.
absl::StatusOr<uint32_t> WriteHydrationInvalidations(
    cache::l2::FileSystem* file_system, const std::string& l2_path,
    const InvalidationSet& set);
// Adds them to `*set`. Errors: kNotFound; kDataLoss.
absl::Status ReadHydrationInvalidations(cache::l2::FileSystem* file_system,
                                        const std::string& l2_path,
                                        uint32_t parts, InvalidationSet* set);

// Removes all of them that are there.
absl::Status RemoveHydrationFiles(cache::l2::FileSystem* file_system,
                                  const std::string& l2_path);

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_HYDRATION_FILES_H_
