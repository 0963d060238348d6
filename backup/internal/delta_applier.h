// Applies the key ranges of a delta to what was restored of its base.
#ifndef LARDER_BACKUP_INTERNAL_DELTA_APPLIER_H_
#define LARDER_BACKUP_INTERNAL_DELTA_APPLIER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/blob_place.h"
#include "backup/internal/loss_reporter.h"
#include "cache/snapshot.h"

namespace larder::backup_internal {

// Where a range is lost, what the base has in it may be older than what the
// snapshot had: it goes too, and is reported. Better a miss than an old value.
//
// Single-owner. Borrows loader and losses.
class DeltaApplier {
 public:
  // `namespaces`: all that the base may have records in.
  DeltaApplier(std::string source, std::vector<std::string> namespaces,
               cache::L2Loader* loader, LossReporter* losses);

  // Errors: kDataLoss when ranges overlap, come out of order or before what was
  // taken already, or do not hold the chunk's records one for one.
  absl::Status Check(const backup::format::Records& message) const;

  // The rest: errors of the loader.
  absl::Status Take(const backup::format::KeyRange& range);
  // The same for a range of which only this is left.
  absl::Status Lose(const backup::format::KeyRange& range,
                    absl::string_view reason);
  // Some ranges between the last one and `next` (null: the end) are lost.
  absl::Status LoseUpTo(const backup::format::KeyRange* next,
                        absl::string_view reason);

  // Records that the delta keeps and the loader does not hold: lost before, or
  // this was never the delta's base.
  int64_t missing() const { return missing_; }

 private:
  absl::Status Clear(absl::string_view ns, absl::string_view from,
                     absl::string_view until, absl::string_view reason);

  const std::string source_;
  std::vector<std::string> namespaces_;  // In byte order.
  cache::L2Loader* const loader_;
  LossReporter* const losses_;
  BlobPlace behind_;  // The end of the last range.
  int64_t missing_ = 0;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_DELTA_APPLIER_H_
