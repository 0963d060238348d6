// Generations and tombstones of one or several snapshots, merged.
#ifndef LARDER_BACKUP_INTERNAL_INVALIDATION_SET_H_
#define LARDER_BACKUP_INTERNAL_INVALIDATION_SET_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "backup/format/dump.pb.h"
#include "cache/hlc.h"
#include "cache/snapshot.h"
#include "cache/tombstone.h"

namespace larder::backup_internal {

// The newest of each kind wins; nothing is ever taken back. Single-owner.
class InvalidationSet {
 public:
  // For what is added from here on, which an older snapshot is held against:
  // what was forgotten through `through` of it, the older one knew; as it did
  // what it has forgotten itself.
  void SetKnown(cache::Hlc through,
                const std::vector<cache::NamespaceState>& older);

  // Errors: kDataLoss; kResourceExhausted past the limits of a dump.
  absl::Status Add(const backup::format::Invalidations& message);

  // Whether a flush or a tombstone of the set makes the record of an older
  // snapshot invalid, or one might that none of them tells any more.
  bool Covers(const cache::StoredRecord& record) const;

  std::vector<cache::NamespaceState> Namespaces() const;
  std::vector<cache::Tombstone> Tombstones() const;
  // Of everything in the set.
  cache::Hlc newest() const { return newest_; }

 private:
  struct PerNamespace {
    uint64_t generation = 0;
    cache::Hlc flushed_at;
    cache::Hlc forgotten_through;
    // Tags and dependencies; their seeds differ, so they do not mix.
    absl::flat_hash_map<uint64_t, cache::Tombstone> by_hash;
    absl::flat_hash_map<std::string, cache::Tombstone> by_prefix;
    std::set<size_t> prefix_lengths;  // A lookup probes once a length.
  };

  absl::Status AddTombstone(cache::Tombstone tombstone);
  absl::Status Count(size_t bytes);

  absl::flat_hash_map<std::string, PerNamespace> namespaces_;
  cache::Hlc newest_;
  cache::Hlc known_through_;
  absl::flat_hash_map<std::string, cache::Hlc> known_;  // By namespace.
  int64_t entries_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_INVALIDATION_SET_H_
