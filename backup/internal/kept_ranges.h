// The key ranges that a Records chunk of a delta tells about.
#ifndef LARDER_BACKUP_INTERNAL_KEPT_RANGES_H_
#define LARDER_BACKUP_INTERNAL_KEPT_RANGES_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/blob_place.h"

namespace larder::backup_internal {

struct KeptRange {
  BlobPlace from;
  BlobPlace until;  // Exclusive.
  // Fingerprints of what it leaves as it was.
  absl::flat_hash_set<uint64_t> kept;
};

// Those of `records`, which start at `behind` or later.
// Errors: kDataLoss: out of order.
inline absl::StatusOr<std::vector<KeptRange>> ReadKeptRanges(
    const backup::format::Records& records, const BlobPlace& behind) {
  std::vector<KeptRange> ranges;
  BlobPlace before = behind;
  for (const backup::format::KeyRange& range : records.ranges()) {
    if (!ComesBehind(before, range)) {
      return absl::DataLossError("ranges out of order");
    }
    KeptRange r;
    r.from = StartOf(range);
    r.until = EndOf(range);
    r.kept.insert(range.kept().begin(), range.kept().end());
    before = r.until;
    ranges.push_back(std::move(r));
  }
  return ranges;
}

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_KEPT_RANGES_H_
