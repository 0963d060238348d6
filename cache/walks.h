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

// A run of orphaned units. A chain in several pieces shows as several runs, the
// first of which starts it; one that was never written starts nowhere.
struct OrphanChain {
  uint64_t offset;  // In `blobs`.
  uint64_t bytes;   // As allocated.
  bool starts_chain;
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_WALKS_H_
