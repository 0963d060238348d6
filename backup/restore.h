// Restores a snapshot from an archive: the cache into a new L2, files into a
// new directory.
#ifndef LARDER_BACKUP_RESTORE_H_
#define LARDER_BACKUP_RESTORE_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "backup/loss.h"
#include "backup/outcome.h"
#include "cache/options.h"
#include "cache/snapshot.h"

namespace larder::backup {

struct RestoreProgress {
  int64_t bytes_done = 0;  // Of packs.
  int64_t bytes_total = 0;
};

struct RestoreOptions {
  // Empty: the newest complete snapshot, of those no younger than
  // `not_after_unix_ms`.
  std::string snapshot_id;
  int64_t not_after_unix_ms = std::numeric_limits<int64_t>::max();
  // The new L2: `cache.l2_path`, absent or an empty directory. Empty: the
  // cache is not restored.
  cache::BlobCacheOptions cache;
  // Where the files of the directory source `files_source` go: absent or an
  // empty directory. Empty: files are not restored.
  std::string files_path;
  std::string files_source;  // Empty: the only directory source there is.
  // Check that everything is as it should be, and stop before writing.
  bool dry_run = false;
  // Called for everything lost; the report keeps the first so many.
  std::function<void(const Loss&)> on_loss = nullptr;
  int64_t losses_listed_max = 10'000;
  std::function<void(const RestoreProgress&)> progress = nullptr;
  const Cancellation* cancellation = nullptr;
  // How the new L2 is made. Empty: cache::CreateL2Loader; only then is it
  // opened again, to see that it holds what was written.
  std::function<absl::StatusOr<std::unique_ptr<cache::L2Loader>>(
      const cache::BlobCacheOptions&, const cache::SnapshotInfo&)>
      create_loader = nullptr;
};

// What a restore would do, from the manifest alone.
struct RestorePlan {
  SnapshotEntry snapshot;
  // What is read for it: the full dump, the deltas on it, `snapshot` itself.
  // Files are in that one alone.
  std::vector<SnapshotEntry> chain;
  // Of the chain: nothing proves that these are what was backed up.
  int64_t dumps_in_the_clear = 0;
  // Snapshots of the archive, beside sealed ones, that cannot be believed, or
  // read: they might tell what was flushed since.
  int unreadable_snapshots = 0;
  bool restores_cache = false;
  bool restores_files = false;
  int64_t records = 0;
  int64_t records_raw_bytes = 0;
  int64_t records_stored_bytes = 0;
  int64_t files = 0;
  int64_t files_bytes = 0;
  int64_t bytes_to_read = 0;
  // Newer snapshots passed over because they are damaged; what of the sources
  // could not be taken when the backup was made; and the like.
  std::vector<std::string> warnings;
  // Newer snapshots of the same lineage and of those restored from it, whose
  // flushes and invalidations are applied: what was flushed never comes back,
  // also from an older dump.
  std::vector<std::string> newer_snapshots;
  // Newer snapshots of other caches, and of restores from before this lineage.
  // What was flushed there is not applied.
  std::vector<std::string> newer_of_other_lineages;
};

struct RestoreReport {
  // kPartial: published, but something was lost, to damage or when the backup
  // was made, or a newer snapshot's invalidations are unreadable.
  Outcome outcome = Outcome::kFailed;
  absl::Status status;  // Why, when kFailed.
  RestorePlan plan;
  cache::SnapshotInfo restored;  // Of the new L2, under its new lineage.
  // The new L2's digest equals the snapshot's: nothing lost, nothing skipped.
  bool digest_equal = false;
  int64_t records_restored = 0;
  int64_t records_skipped = 0;  // Invalidated by a newer snapshot.
  int64_t files_restored = 0;
  int64_t bytes_restored = 0;  // Of blobs as stored, and of files.
  LossTally lost;
  std::vector<std::string> warnings;  // Also damage that cost nothing.
  // Why nothing kept the snapshot from being pruned while it was read, as in an
  // archive that cannot be written; OK: a lease did.
  absl::Status unprotected;
  int64_t elapsed_nanos = 0;
};

// Errors: kNotFound (archive, snapshot), kAlreadyExists (a target is not
// empty), kDataLoss (manifest), kFailedPrecondition (newer format; the part
// asked for is not in the snapshot; a key that is needed is not among those of
// the archive), kInvalidArgument (no target, one within
// the other, or one that no rename can put there).
absl::StatusOr<RestorePlan> PlanRestore(const Archive& archive,
                                        const RestoreOptions& options);

// Plans, builds each target aside in `TARGET.restoring-ID`, verifies it
// against the dump's counts and digest, syncs it and publishes it by one
// rename. On failure nothing is published and what was built is removed; what
// a killed restore left behind is removed by the next one to the same target.
// Files are published before the cache: killed in between, it leaves them,
// whole, and the next one has only the cache to restore.
//
// A delta is restored by restoring what it builds on first, within the same
// target. Where a chunk of a delta is damaged, blobs of its base in the same
// key ranges are lost too: they may be older than what the snapshot had.
//
// A damaged chunk costs the blobs or files in it and never the restore.
// Not restored: single keys deleted since the snapshot come back (a deletion
// is the absence of the record; only flushes and invalidations are kept).
//
// Holds a lease on what it reads, where the archive can be written: nothing of
// it is pruned meanwhile. Errors of its own: kUnavailable (being pruned).
//
// Thread-compatible. Memory: one chunk, one range of records with its frame
// lists, the tombstones of the lineage (at most 64 MiB in all, plus the
// loader's own), and the losses listed.
RestoreReport Restore(const Archive& archive, const RestoreOptions& options);

}  // namespace larder::backup

#endif  // LARDER_BACKUP_RESTORE_H_
