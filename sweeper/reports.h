// What sweeps did. Plain values.
#ifndef LARDER_SWEEPER_REPORTS_H_
#define LARDER_SWEEPER_REPORTS_H_

#include <cstdint>
#include <map>
#include <string>

namespace larder::sweeper {

// Both tiers together: a blob that was in L1 and in L2 may count in each.
struct SweepReport {
  struct PerNamespace {
    int64_t entries_evicted = 0;
    int64_t bytes_reclaimed = 0;
  };
  int64_t entries_scanned = 0;
  int64_t entries_evicted = 0;
  int64_t bytes_reclaimed = 0;  // Of memory in L1, of disk in L2.
  int64_t elapsed_ms = 0;
  // The round is not complete: the next sweep goes on where this one stopped.
  bool truncated_due_to_limit = false;
  // L2 records that are due and not yet removed, when the sweep ended.
  int64_t remaining_debt = 0;
  std::map<std::string, PerNamespace> by_namespace;  // Those with evictions.
};

struct OrphanReport {
  // Chains that records hold and that were marked, and orphans.
  int64_t blob_chains_scanned = 0;
  int64_t blob_chains_reclaimed = 0;
  int64_t bytes_reclaimed = 0;  // As allocated.
  int64_t elapsed_ms = 0;
  bool truncated_due_to_limit = false;
};

struct NamespaceFlushReport {
  std::string ns;
  uint64_t generation_before = 0;
  uint64_t generation_after = 0;
  int64_t elapsed_micros = 0;
};

}  // namespace larder::sweeper

#endif  // LARDER_SWEEPER_REPORTS_H_
