// What a commit of a live replica publishes besides records.
#ifndef LARDER_CACHE_L2_REPLICATED_STATE_H_
#define LARDER_CACHE_L2_REPLICATED_STATE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/numeric/int128.h"
#include "cache/snapshot.h"
#include "cache/tombstone.h"

namespace larder::cache::l2 {

// A plain value. Everything in it is in the same superblock as the records, so
// that no crash can separate them.
struct ReplicatedState {
  // Who was replicated, in the replica's own words; empty: this is no replica
  // any more.
  std::string note;
  // What the records must come to, or nothing is published.
  std::optional<absl::uint128> content_digest;
  std::vector<NamespaceState> namespaces;
  struct Mark {
    Tombstone tombstone;
    bool spent = false;
  };
  // Those that are new, renewed, or change between live and spent.
  std::vector<Mark> tombstones;
  std::vector<std::string> gone;  // By their key in the system tree.
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_REPLICATED_STATE_H_
