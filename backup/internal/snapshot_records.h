// The records of a snapshot, merged from the full dump and the deltas of its
// chain.
#ifndef LARDER_BACKUP_INTERNAL_SNAPSHOT_RECORDS_H_
#define LARDER_BACKUP_INTERNAL_SNAPSHOT_RECORDS_H_

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "backup/internal/layer_reader.h"

namespace larder::backup_internal {

// Strict, as LayerReader. Single-owner. Memory: one Records chunk of each
// layer.
class SnapshotRecords {
 public:
  // `chain` as Archive::Chain() gives it; `source` names the blob cache.
  // Borrows all; `cancellation` may be null. Errors: kNotFound when a dump of
  // the chain does not hold the source whole.
  static absl::StatusOr<std::unique_ptr<SnapshotRecords>> Open(
      const backup::Archive* archive,
      const std::vector<backup::SnapshotEntry>* chain, absl::string_view source,
      const backup::Cancellation* cancellation);

  // The next record in the byte order of (namespace, key); nothing at the end.
  // Errors: kDataLoss; kCancelled; what the file system says.
  absl::StatusOr<std::optional<PlacedRecord>> Next();

 private:
  SnapshotRecords() = default;

  std::vector<std::unique_ptr<LayerReader>> layers_;  // The full dump first.
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_SNAPSHOT_RECORDS_H_
