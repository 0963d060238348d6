// The journal of invalidations: what makes them survive a process kill before
// a commit holds them. Bytes: docs/formats/l2.md, "journal".
#ifndef LARDER_CACHE_L2_JOURNAL_H_
#define LARDER_CACHE_L2_JOURNAL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/file.h"
#include "cache/mutex.h"
#include "cache/tombstone.h"

namespace larder::cache::l2 {

struct JournalEntry {
  uint64_t epoch = 0;  // The epoch whose commit will hold it.
  Tombstone tombstone;
  uint64_t generation = 0;  // Of the namespace, after a flush of it.
};

// Two files, by the parity of the epoch: entries of epoch E overwrite those of
// E - 2, which a commit holds by then. Entries start at multiples of 64 bytes
// and carry their epoch and checksum, so that reading skips what is damaged
// and stops being fooled by what is left of older epochs.
//
// Thread-safe. Borrows the files.
class Journal {
 public:
  static constexpr uint64_t kAlignBytes = 64;
  static constexpr uint64_t kGrowBytes = 64 * 1024;

  Journal(File* even, File* odd) : files_{even, odd} {}

  // Written to the file when it returns: survives a process kill.
  absl::Status Append(const JournalEntry& entry) ABSL_LOCKS_EXCLUDED(mu_);
  // Survives a power cut, too.
  absl::Status Sync();

  // All sound entries with an epoch after `committed_epoch`, in the order of
  // their HLC.
  absl::StatusOr<std::vector<JournalEntry>> ReadAfter(
      uint64_t committed_epoch) const;

 private:
  File* const files_[2];
  Mutex mu_;
  uint64_t epoch_[2] ABSL_GUARDED_BY(mu_) = {0, 0};
  uint64_t end_[2] ABSL_GUARDED_BY(mu_) = {0, 0};
};

// One entry as bytes, a multiple of kAlignBytes long.
std::string EncodeJournalEntry(const JournalEntry& entry);
// Decodes the entry at the front of `bytes`; sets `*size` to its length.
// Errors: kDataLoss.
absl::StatusOr<JournalEntry> DecodeJournalEntry(absl::string_view bytes,
                                                uint64_t* size);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_JOURNAL_H_
