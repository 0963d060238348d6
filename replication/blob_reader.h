// What a replica that serves reads answers from.
#ifndef LARDER_REPLICATION_BLOB_READER_H_
#define LARDER_REPLICATION_BLOB_READER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/blob.h"

namespace larder::replication {

// A blob, and of which of the primary's snapshots.
struct ReplicatedBlob {
  std::shared_ptr<const cache::Blob> blob;  // Not null.
  std::string lineage;
  uint64_t epoch = 0;
};

// Thread-safe.
class BlobReader {
 public:
  virtual ~BlobReader() = default;
  // Errors: kNotFound: absent, expired or invalidated; kUnavailable: nothing
  // has been applied yet; kDataLoss: damaged here.
  virtual absl::StatusOr<ReplicatedBlob> Read(absl::string_view ns,
                                              absl::string_view key) const = 0;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_BLOB_READER_H_
