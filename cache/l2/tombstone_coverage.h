// Which tombstones of a snapshot cover a record: the others are spent.
#ifndef LARDER_CACHE_L2_TOMBSTONE_COVERAGE_H_
#define LARDER_CACHE_L2_TOMBSTONE_COVERAGE_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "cache/l2/record.h"
#include "cache/namespace_table.h"
#include "cache/tombstone.h"

namespace larder::cache::l2 {

// Single-owner. Memory: the tombstones.
class TombstoneCoverage {
 public:
  struct Entry {
    Tombstone tombstone;
    bool covers = false;  // A record that was noted.
  };
  // By their key in the system tree.
  using Entries = absl::flat_hash_map<std::string, Entry>;

  // Of several for one place the newest counts.
  void Add(const Namespace& ns, const Tombstone& tombstone);
  // Notes which of them cover the record. `ns` must know all of them.
  void Note(const Namespace& ns, absl::string_view key, const Record& record);

  const Entries& entries() const { return entries_; }

 private:
  Entries entries_;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_TOMBSTONE_COVERAGE_H_
