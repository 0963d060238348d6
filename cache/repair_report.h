// What a repair found, and what it cost. A plain value.
#ifndef LARDER_CACHE_REPAIR_REPORT_H_
#define LARDER_CACHE_REPAIR_REPORT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cache/hlc.h"
#include "cache/verify.h"

namespace larder::cache {

// Why a record had to go.
enum class DropCause {
  kPage,          // The page that it was on is damaged.
  kRecord,        // It says what no record says.
  kChain,         // Its bytes are not what was written, or cannot be read.
  kOverlap,       // Another sound chain has its space.
  kInvalidation,  // A lost tombstone may have covered it.
  kNamespace,     // Its namespace's entry is lost: it may have been flushed.
};
inline constexpr size_t kDropCauses = 6;

struct RepairReport {
  // The commit that it started from, and the newest one now: the same when
  // nothing had to be committed.
  uint64_t epoch_before = 0;
  uint64_t epoch = 0;
  // The newest commit may be lost, so what follows is another history.
  bool new_lineage = false;

  // What was damaged, a line each; the first VerifyReport::kDamagedMax.
  int64_t damages = 0;
  std::vector<std::string> damaged;

  struct Dropped {
    uint32_t ns_id = 0;
    std::string ns;  // Empty when its name is lost.
    std::string key;
    DropCause cause = DropCause::kPage;
    std::string why;
  };
  static constexpr int64_t kDroppedMax = 1000;
  int64_t dropped_records = 0;  // All of them.
  int64_t dropped_unnamed = 0;  // Of these, whose names are lost, too.
  std::array<int64_t, kDropCauses> dropped_by_cause{};
  std::vector<Dropped> dropped;  // The first kDroppedMax that have a name.

  // Namespaces of which nobody knows when they were flushed: now they were at
  // `through`.
  struct Invalidated {
    std::string ns;
    Hlc through;
  };
  std::vector<Invalidated> invalidated;

  int64_t recovered_records = 0;  // From pages that nothing sound led to.
  int64_t mended_pages = 0;       // One bit each.
  int64_t rewritten_superblocks = 0;
  std::vector<std::string> rebuilt_trees;  // Without loss: "due", "age".
  int64_t rebuilt_synopses = 0;
  int64_t applied_journal_entries = 0;
  // Journals of which a part could not be read: invalidations that no commit
  // held may be lost, as if the power had gone before they were synced.
  std::vector<std::string> lost_journals;
  // The L2 was hydrating (hydration.h): what it did not hold yet stays a miss.
  bool ended_hydration = false;
  int64_t freed_bytes = 0;   // Orphans, and what was dropped or replaced.
  int64_t marked_bytes = 0;  // That were in use, and marked as free.

  // What verify says of it now.
  VerifyReport after;

  void Damaged(std::string line) {
    if (damages++ < VerifyReport::kDamagedMax) {
      damaged.push_back(std::move(line));
    }
  }
  void Drop(Dropped record) {
    ++dropped_records;
    ++dropped_by_cause[static_cast<size_t>(record.cause)];
    if (static_cast<int64_t>(dropped.size()) < kDroppedMax) {
      dropped.push_back(std::move(record));
    }
  }
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_REPAIR_REPORT_H_
