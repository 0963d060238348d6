// What the read-only walks of a cache show. Views live during the visit only.
#ifndef LARDER_CACHE_WALKS_H_
#define LARDER_CACHE_WALKS_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "cache/hlc.h"
#include "cache/policy.h"

namespace larder::cache {

struct L2RecordView {
  absl::string_view ns;
  absl::string_view key;
  Hlc hlc;
  Expiry expiry;
  uint64_t version;
  uint64_t raw_bytes;
  uint64_t stored_bytes;
  bool valid;  // Not expired, and no tombstone matches.
};

// A run of orphaned units, as long as it gets: chains side by side make one
// run, since nothing on disk says where one ends and the next begins.
struct OrphanChain {
  uint64_t offset;  // In `blobs`.
  uint64_t bytes;
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_WALKS_H_
