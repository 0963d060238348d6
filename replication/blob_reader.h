// What a replica that serves reads answers from.
#ifndef LARDER_REPLICATION_BLOB_READER_H_
#define LARDER_REPLICATION_BLOB_READER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cache/replica_l2.h"

namespace larder::replication {

// One of the primary's snapshots, to be read for as long as `view` is kept. A
// plain value.
struct ReplicatedView {
  std::shared_ptr<const cache::ReplicaView> view;  // Not null.
  std::string lineage;
  uint64_t epoch = 0;
};

// Thread-safe.
class BlobReader {
 public:
  virtual ~BlobReader() = default;
  // What was applied last. Errors: kUnavailable: nothing has been, yet.
  virtual absl::StatusOr<ReplicatedView> Newest() const = 0;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_BLOB_READER_H_
