// Takes single records of a snapshot into a cache, from the first archive that
// has them sound.
#ifndef LARDER_BACKUP_INTERNAL_RECORD_FETCHER_H_
#define LARDER_BACKUP_INTERNAL_RECORD_FETCHER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/cancellation.h"
#include "backup/internal/blob_place.h"
#include "backup/internal/frame_places.h"
#include "backup/internal/invalidation_set.h"
#include "backup/internal/snapshot_map.h"
#include "backup/internal/snapshot_replica.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/mutex.h"

namespace larder::backup_internal {

// What became of a record.
enum class Fetched {
  kAdded,
  kAbsent,  // The snapshot has none, or could not read it.
  kExpired,
  kInvalidated,  // By what the archive knows.
  kSuperseded,   // The cache knows something newer, or has it already.
  kHidden,       // A damaged page of the cache hides whether it does.
};

// Thread-safe. One lookup in an archive at a time; frames are read beside it.
class RecordFetcher {
 public:
  using Replicas = std::vector<std::unique_ptr<SnapshotReplica>>;

  // Borrows all; `cancellation` may be null. `covering`: what makes a record of
  // the snapshot invalid.
  RecordFetcher(const Replicas* replicas, const InvalidationSet* covering,
                cache::BlobCache* cache, cache::Clock* clock,
                const backup::Cancellation* cancellation);

  // Looks into the archives from number `first` on, until one can tell.
  // `may_evict`: see BlobCache::Adopt().
  // Errors: kDataLoss when none can; kResourceExhausted, and others of the
  // cache; those of the last archive that could not be read.
  absl::StatusOr<Fetched> Fetch(const BlobPlace& place, size_t first,
                                bool may_evict, int64_t* bytes);

  // Takes a record that was found in an archive. Adds the bytes taken.
  // Errors: kDataLoss (of the archive), and as above.
  absl::StatusOr<Fetched> Take(size_t replica, const PlacedRecord& placed,
                               bool may_evict, int64_t* bytes);

 private:
  struct Lookup {
    cache::Mutex mu;
    std::unique_ptr<SnapshotMap> map ABSL_GUARDED_BY(mu);
  };
  absl::StatusOr<std::optional<PlacedRecord>> Find(size_t replica,
                                                   const BlobPlace& place);

  const Replicas* const replicas_;
  const InvalidationSet* const covering_;
  cache::BlobCache* const cache_;
  cache::Clock* const clock_;
  std::vector<std::unique_ptr<Lookup>> lookups_;  // One for each replica.
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_RECORD_FETCHER_H_
