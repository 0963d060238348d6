// Restores a cache lazily: it serves at once, and fills while it serves.
//
//   auto cache = LazyRestore::Open({.archives = {"/backups"},
//                                   .cache = {.l2_path = "/var/cache/pages"}});
//   (*cache)->HydrateInBackground({});
//   if (auto hit = (*cache)->Get("pages", "/index.html")) Send(hit->bytes());
#ifndef LARDER_BACKUP_LAZY_RESTORE_H_
#define LARDER_BACKUP_LAZY_RESTORE_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "backup/loss.h"
#include "cache/blob_cache.h"
#include "cache/options.h"

namespace larder::backup {

struct LazyRestoreOptions {
  // Archives that hold the snapshot, each on its own: the next one is asked for
  // what is damaged in one. To go on with: may be empty, those of before then.
  std::vector<std::string> archives;
  // As in RestoreOptions. To go on with: empty, or that of before.
  std::string snapshot_id = {};
  int64_t not_after_unix_ms = std::numeric_limits<int64_t>::max();
  // The L2: `cache.l2_path`, absent, an empty directory, or one that is
  // hydrating.
  cache::BlobCacheOptions cache = {};
  // Open what is sealed; null: only what is in the clear is restored. Also to
  // go on with: they are written down nowhere.
  Archive::Keys keys = nullptr;
  // Told to who would prune the snapshot, as who needs it; empty: the L2's
  // path.
  std::string holder = {};
  // Called for everything lost, maybe from the thread that hydrates.
  std::function<void(const Loss&)> on_loss = nullptr;
  // Stops hydrating and fetching; what is there is served on.
  const Cancellation* cancellation = nullptr;
  // What is done again after a restart at most, of what was hydrated.
  int64_t checkpoint_bytes = int64_t{64} << 20;
};

struct LazyRestoreReport {
  std::string snapshot_id;
  bool resumed = false;  // A hydration that was begun before goes on.
  bool done = false;     // The L2 is as any other.
  int64_t records = 0;   // Of the snapshot.
  int64_t stored_bytes = 0;
  int64_t records_added = 0;
  int64_t bytes_added = 0;          // As stored.
  int64_t records_fetched = 0;      // Of those added: on a miss.
  int64_t records_expired = 0;      // Since the snapshot.
  int64_t records_invalidated = 0;  // Within the snapshot, or by newer ones.
  int64_t records_without_room = 0;
  // Not added: a damaged page of L2 hides whether it knows something newer.
  int64_t records_hidden = 0;
  int passes = 0;  // 0: not known yet.
  int pass = 0;    // From 0.
  LossTally lost;  // The first 1,000 are listed.
  std::vector<std::string> warnings;
  // Why nothing keeps the snapshot from being pruned; OK: leases do.
  absl::Status unprotected;
  // What the last call of Hydrate() said: not OK, it stands still.
  absl::Status hydration;
};

// An L2 that is to go on, as it was left.
struct HydratingL2 {
  std::string snapshot_id;
  std::vector<std::string> archives;
  int64_t records = 0;
  int64_t stored_bytes = 0;
};

// A hydration that was ended without the rest.
struct HydrationGivenUp {
  std::string snapshot_id;  // Empty: not known any more, nor are the counts.
  int64_t records = 0;      // Of the snapshot.
  // At most: of what came after the last checkpoint nobody knows, and what was
  // put anew, or has expired, is among them.
  int64_t records_missing = 0;
};

// A cache in which the snapshot is there from the first moment: what nobody
// put, deleted or invalidated since is as it was, and what was flushed before,
// or since in a newer snapshot of an archive, does not come back: of each that
// is named, and can be read, when the restore begins. Report().warnings say
// which of those was not asked; one that is named later is not.
//
// A get that misses fetches the blob from the archive into L2; of concurrent
// callers for a key one fetches, the rest wait. Hydrate() takes the rest, the
// hottest first. A restart, or a kill, loses at most `checkpoint_bytes` of the
// hydration's progress, or a gap that another archive fills, and nothing of
// what the cache promises: opening the L2 goes on. Once all is there the
// archive is not needed any more.
//
// Until then, beyond what BlobCache says: Exists() is never kAbsent; no
// snapshot is taken (kUnavailable); no tombstone retires, so at most 65,536 a
// namespace; a key that was deleted, expired or evicted since takes some 100
// bytes of L2; Stats() counts a get that fetches as a miss and a hit. Whoever
// opens the L2 as a plain BlobCache meanwhile has misses for what is not there,
// and may change it: but only LazyRestore, EndHydration() and a repair end the
// hydration, and what it costs lasts until then. So with an L2 that is nearly
// full of records, or churns for long, let the hydration run: markers take the
// room of `meta` that records need. A fetch that fails is a miss.
//
// A damaged chunk costs the blobs in it, each listed, where no other archive
// has them. A lease in each archive that can be written keeps the snapshot from
// being pruned until the hydration ends; between a restart and the next Open()
// for a week at most. A repair that ends it leaves the lease to expire.
//
// Of a sealed snapshot each chunk with frames that are fetched is read and
// opened as a whole, those before it in its range of records too: up to their
// bytes for a get, where one in the clear reads its own.
//
// Thread-safe. Memory: of each archive twice up to 4 chunks of records, and a
// record with its frame lists for each get that fetches; of a sealed snapshot
// 8 chunks of frames besides.
class LazyRestore : public cache::BlobCache {
 public:
  // Goes on with the L2 when it is hydrating. Else plans as PlanRestore(),
  // makes an L2 without blobs aside, publishes it by one rename and opens it:
  // reads manifests and invalidations, so it takes as long for a large archive.
  // Errors: as PlanRestore() and BlobCache::Open(); kFailedPrecondition when
  // another snapshot is being hydrated; kUnavailable (being pruned); kNotFound
  // and others when no archive can be read; kFailedPrecondition also when the
  // key of a newer snapshot is missing, in any of the archives.
  static absl::StatusOr<std::unique_ptr<LazyRestore>> Open(
      LazyRestoreOptions options);

  // What the L2 in `l2_path` waits for the rest of; nothing: it is as any
  // other, or not there. Errors: kDataLoss.
  static absl::StatusOr<std::optional<HydratingL2>> FindHydrating(
      cache::l2::FileSystem* file_system, const std::string& l2_path);

  // Makes the L2 that is hydrating one as any other, without what it does not
  // hold yet, as EndHydration() does; needs no archive: for when none has the
  // snapshot any more.
  // Errors: kFailedPrecondition when it is not hydrating; as BlobCache::Open().
  static absl::StatusOr<HydrationGivenUp> GiveUp(
      cache::BlobCacheOptions options);

  // Deals with about `bytes_max` of records; the caller's thread does the work.
  // Returns: whether all is done: then the L2 is as any other.
  // Errors: kCancelled; what the file systems say but for damage. May be called
  // again after each.
  virtual absl::StatusOr<bool> Hydrate(int64_t bytes_max) = 0;

  struct BackgroundOptions {
    int64_t bytes_per_second = int64_t{256} << 20;
    int64_t slice_bytes = int64_t{4} << 20;  // Between two looks at the rate.
    // Lets so many nanoseconds pass. Empty: waits, but no longer than this
    // object lives.
    std::function<void(int64_t)> wait = nullptr;
  };
  // Between two tries after an error: twice as long each time, up to the most.
  // An archive that is mounted again is noticed within a minute.
  static constexpr int64_t kRetryNanosMin = 1'000'000'000;
  static constexpr int64_t kRetryNanosMax = 60 * kRetryNanosMin;

  // Starts a thread that calls Hydrate() until all is done, and stops with this
  // object. After an error other than kCancelled it tries again, and renews the
  // leases, for as long as it takes: Report().hydration says what is wrong.
  // Requires: it was not called before.
  virtual void HydrateInBackground(BackgroundOptions options) = 0;
  // Returns when that thread has ended, which with an archive that never comes
  // back it does not. Requires: it was started.
  // Errors: kCancelled.
  virtual absl::Status WaitForBackground() = 0;

  // Makes what was hydrated so far durable. As the destructor does.
  virtual absl::Status Checkpoint() = 0;

  virtual LazyRestoreReport Report() const = 0;
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_LAZY_RESTORE_H_
