// What changed between two snapshots of an archive.
#ifndef LARDER_BACKUP_DIFF_H_
#define LARDER_BACKUP_DIFF_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "cache/clock.h"

namespace larder::backup {

enum class BlobChange {
  kAdded,    // Only in the second one.
  kRemoved,  // Only in the first.
  kChanged,  // In both, and written anew between them, be it with equal bytes.
};

// One blob that is not the same in both. Borrowed from the call.
struct BlobDifference {
  BlobChange change = BlobChange::kAdded;
  absl::string_view ns;
  absl::string_view key;
  int64_t bytes_before = 0;  // 0 where it is not there.
  int64_t bytes_after = 0;
};

struct DiffCount {
  int64_t blobs = 0;
  int64_t bytes_before = 0;  // As the callers of the cache know them.
  int64_t bytes_after = 0;
};

struct NamespaceDiff {
  std::string ns;
  DiffCount added;
  DiffCount removed;
  DiffCount changed;
};

struct DiffOptions {
  // The blob cache to compare. Empty: the only one that the second one holds.
  std::string source;
  // Called for each difference, in the byte order of (namespace, key).
  std::function<void(const BlobDifference&)> on_difference = nullptr;
  const Cancellation* cancellation = nullptr;
  cache::Clock* clock = nullptr;  // Of the lease; null: SystemClock().
};

struct DiffReport {
  std::string source;
  // Of those where something differs, in byte order.
  std::vector<NamespaceDiff> namespaces;
  NamespaceDiff total;       // Without a name.
  int64_t unchanged = 0;     // Blobs.
  absl::Status unprotected;  // Why no lease was held (lease.h); OK: one was.
};

// Reads the records of both, each merged from its chain, and no frames. Strict:
// where damage hides a record, there is no answer.
// Errors: kNotFound (snapshot, source, or one of them has no blobs);
// kFailedPrecondition (several blob caches, and none named); kDataLoss;
// kCancelled; what the file system says.
// Memory: one Records chunk of each dump of both chains, and the report.
absl::StatusOr<DiffReport> DiffSnapshots(const Archive& archive,
                                         absl::string_view before_id,
                                         absl::string_view after_id,
                                         const DiffOptions& options);

}  // namespace larder::backup

#endif  // LARDER_BACKUP_DIFF_H_
