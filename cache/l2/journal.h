// The journal of invalidations: what makes them survive a process kill before
// a commit holds them. Bytes: docs/formats/l2.md, "journal".
#ifndef LARDER_CACHE_L2_JOURNAL_H_
#define LARDER_CACHE_L2_JOURNAL_H_

#include <algorithm>
#include <atomic>
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

  // `file_bytes_max`: of each of the two; rounded down to steps of kGrowBytes,
  // and at least one.
  Journal(File* even, File* odd, uint64_t file_bytes_max)
      : files_{even, odd},
        file_bytes_max_(std::max(file_bytes_max / kGrowBytes, uint64_t{1}) *
                        kGrowBytes) {}

  // Written to the file when it returns: survives a process kill.
  // Errors: kResourceExhausted: the file is full until the next commit, or
  // Keep(); what File says.
  absl::Status Append(const JournalEntry& entry) ABSL_LOCKS_EXCLUDED(mu_);
  // Survives a power cut, too.
  absl::Status Sync();
  // Whether a commit should come before the file of the newest epoch is full.
  bool IsHalfFull() const {
    return newest_end_.load(std::memory_order_relaxed) >= file_bytes_max_ / 2;
  }
  // What is in the files must stay, as no commit holds it: nothing can be
  // appended until one does.
  void Keep() ABSL_LOCKS_EXCLUDED(mu_);
  // A commit holds all entries of `epoch` and those before it.
  void NoteCommitted(uint64_t epoch) ABSL_LOCKS_EXCLUDED(mu_);
  // What the files take, or may come to take.
  uint64_t ReservedBytes() const;

  // All sound entries with an epoch after `committed_epoch`, in the order of
  // their HLC.
  absl::StatusOr<std::vector<JournalEntry>> ReadAfter(
      uint64_t committed_epoch) const;

 private:
  File* const files_[2];
  const uint64_t file_bytes_max_;
  std::atomic<uint64_t> newest_end_{0};
  Mutex mu_;
  bool kept_ ABSL_GUARDED_BY(mu_) = false;
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
