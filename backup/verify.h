// Checks an archive without restoring it.
#ifndef LARDER_BACKUP_VERIFY_H_
#define LARDER_BACKUP_VERIFY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "backup/format/dump.pb.h"
#include "backup/loss.h"
#include "backup/restore.h"
#include "cache/clock.h"

namespace larder::backup {

struct VerifyOptions {
  // With all that it builds on. Empty: all.
  std::string snapshot_id = {};
  format::VerifyMode mode = format::VERIFY_MODE_FULL;
  // VERIFY_MODE_SAMPLE: what share of all packs, 1 to 1,000,000, and which.
  uint32_t sample_millionths = 50'000;
  uint64_t seed = 0;
  // Store each verdict in the archive (verification.h), unless one is there of
  // the same manifest that found damage and had read more.
  bool store = false;
  int64_t losses_listed_max = 1'000;
  std::function<void(const RestoreProgress&)> progress = nullptr;
  const Cancellation* cancellation = nullptr;
  cache::Clock* clock = nullptr;  // Null: SystemClock().
};

struct SnapshotVerdict {
  std::string id;
  // OK, or the first thing that is wrong (kDataLoss, kFailedPrecondition).
  absl::Status status;
  // Everything wrong: file, offset, found, expected.
  std::vector<std::string> problems;
  int64_t bytes = 0;
  int64_t bytes_read = 0;
  int64_t packs_read = 0;  // In full; where several have it, by the first.
  // Nothing was found now, but damage was by a verification that read more, and
  // that verdict stays. Only told when verdicts are stored.
  bool known_damaged = false;
  // Its manifest was read, and says that it is not sealed: nothing proves that
  // it is what was backed up.
  bool in_the_clear = false;
  // All of a sealed snapshot was read and its checksums were compared; the
  // archive had no key to open it with, so nothing in it was counted. That says
  // nothing against the snapshot: it is none of `problems`.
  bool not_opened = false;
  // Then: why, with the ID of the key that it needs; and that ID alone.
  std::string not_opened_reason;
  std::string key_id_needed;
  // Zero unless all was read.
  int64_t chunks = 0;
  int64_t records = 0;
  int64_t files = 0;
  LossTally lost;  // What a restore would lose.
};

struct VerifyReport {
  absl::Status status;  // The first verdict that is not OK.
  std::vector<SnapshotVerdict> snapshots;
  absl::Status unprotected;    // As RestoreReport's.
  absl::Status not_stored;     // The first verdict that was not, and why.
  int64_t leftover_files = 0;  // Of dumps cut short; harmless.
  // A backup is writing to the archive: nobody can tell its files from
  // leftovers, so none are counted.
  bool backup_running = false;
};

// VERIFY_MODE_FULL reads everything: manifests, sizes and checksums of packs,
// every chunk and message, every frame against its record, counts and both
// digests; of a sealed snapshot without its key everything but messages, frames
// and counts, and it is stored as a sample of all packs, but not in place of a
// full verdict that it says nothing against. _QUICK reads
// manifests, whether all is there that a snapshot builds on, sizes of packs,
// and their heads; _SAMPLE these, and some packs against their checksums, each
// once. A verdict is on a snapshot's own files, on the packs that it refers to,
// and on what it builds on: whether that is there, and what was found of it
// now. Holds a lease on them, where the
// archive can be written. Errors: kNotFound (a snapshot asked for by name),
// kUnavailable (one is being pruned), kCancelled, I/O. Memory: as Restore(),
// without tombstones.
absl::StatusOr<VerifyReport> VerifyArchive(const Archive& archive,
                                           const VerifyOptions& options);

}  // namespace larder::backup

#endif  // LARDER_BACKUP_VERIFY_H_
