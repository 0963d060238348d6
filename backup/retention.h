// Which snapshots of an archive stay, and why.
#ifndef LARDER_BACKUP_RETENTION_H_
#define LARDER_BACKUP_RETENTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "backup/archive.h"

namespace larder::backup {

// How many of each to keep of each cache; of the periods, the newest complete
// snapshot of each of the last so many in which there is one. One snapshot may
// count for several; one that was found damaged counts for none, but stays
// where it would. Periods are of the civil calendar; weeks start on Monday.
//
// A lineage and those that were restored from it are one cache here; snapshots
// without any are of one more.
struct RetentionPolicy {
  int64_t last = 0;
  int64_t hourly = 0;
  int64_t daily = 0;
  int64_t weekly = 0;
  int64_t monthly = 0;
  int64_t yearly = 0;

  bool empty() const {
    return last == 0 && hourly == 0 && daily == 0 && weekly == 0 &&
           monthly == 0 && yearly == 0;
  }
};

struct RetentionDecision {
  std::string id;
  // Why it stays, as "daily 2026-11-26"; empty: it goes.
  std::vector<std::string> reasons;
  bool damaged = false;  // It was found so.

  bool keep() const { return !reasons.empty(); }
};

// Decides on all of `snapshots`, as Archive::List() gives them, in their order.
// Besides what `policy` asks for, these stay:
// - the newest complete one of each cache, and the newest of these that is not
//   in `damaged`, by ID;
// - those in `leased`, which says by their IDs what for;
// - those whose files cannot be read just now, or whose manifest cannot;
// - what one that stays builds on;
// - of each lineage, the newest (and what is not complete and newer) when an
//   older one of this lineage, or of one that it was restored from, stays: it
//   says what was flushed since.
// Pure.
std::vector<RetentionDecision> DecideRetention(
    const std::vector<SnapshotEntry>& snapshots, const RetentionPolicy& policy,
    const absl::flat_hash_map<std::string, std::string>& leased,
    const absl::flat_hash_set<std::string>& damaged, absl::TimeZone zone);

}  // namespace larder::backup

#endif  // LARDER_BACKUP_RETENTION_H_
