// Makes the L2 of a lazy restore, or opens it again.
#ifndef LARDER_BACKUP_INTERNAL_LAZY_START_H_
#define LARDER_BACKUP_INTERNAL_LAZY_START_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "backup/internal/hydration_state.pb.h"
#include "backup/internal/invalidation_set.h"
#include "backup/internal/record_fetcher.h"
#include "cache/blob_cache.h"
#include "cache/l2/file.h"
#include "cache/options.h"

namespace larder::backup_internal {

// As LazyRestoreOptions. `cache.clock` and `cache.file_system` are set.
struct LazyStartOptions {
  std::vector<std::string> archives;
  std::string snapshot_id;
  int64_t not_after_unix_ms = 0;
  cache::BlobCacheOptions cache;
  backup::Archive::Keys keys;
  std::string holder;
  const backup::Cancellation* cancellation = nullptr;
};

struct LazyStart {
  RecordFetcher::Replicas replicas;  // Not empty.
  InvalidationSet covering;
  backup::format::HydrationState state;
  std::unique_ptr<cache::BlobCache> cache;
  bool resumed = false;
  std::vector<std::string> warnings;
};

// Errors: see LazyRestore::Open().
absl::StatusOr<LazyStart> StartLazily(const LazyStartOptions& options);

// Gives back what keeps the snapshot in the archives, where it can be.
void GiveLeasesBack(cache::l2::FileSystem* file_system,
                    const backup::format::HydrationState& state);

// Ends the hydration of the L2 without the archives. Options as above.
// Returns: how far it had got; nothing: no longer known.
// Errors: see LazyRestore::GiveUp().
absl::StatusOr<std::optional<backup::format::HydrationState>> EndLazily(
    const cache::BlobCacheOptions& options);

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_LAZY_START_H_
