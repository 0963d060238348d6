// What pages of the system tree that are lost may have said of records.
#ifndef LARDER_CACHE_L2_LOST_INVALIDATIONS_H_
#define LARDER_CACHE_L2_LOST_INVALIDATIONS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "cache/hlc.h"
#include "cache/l2/record.h"

namespace larder::cache::l2 {

// Key ranges of the system tree whose entries nobody knows, each with the HLC
// that none of its invalidations is newer than. From that follows which records
// they could cover: those that are not newer and that an entry which could have
// stood in the range would match.
//
// Thread-compatible. Memory: the ranges' keys.
class LostInvalidations {
 public:
  // The keys from `low` up to, not including, `high` (empty: all from there)
  // are lost. Ranges must not overlap. A range without namespaces and
  // tombstones is no loss.
  void Add(absl::string_view low, absl::string_view high, Hlc through);
  bool empty() const { return ranges_.empty(); }

  // Of a namespace whose entry is not known: up to when it may have been
  // flushed. Nothing when an entry of that name was not in any range.
  std::optional<Hlc> MayBeFlushed(absl::string_view name) const;
  // The same of any name; nothing when no range can have held a namespace.
  std::optional<Hlc> AnyMayBeFlushed() const;

  // Up to when tombstones of a namespace may have been among what is lost;
  // nothing when there was room for none.
  std::optional<Hlc> MayHaveHadTombstones(uint32_t ns_id) const;

  // Whether a tombstone of a tag, a dependency or a prefix may have covered it.
  bool MayCover(uint32_t ns_id, absl::string_view key,
                const Record& record) const;

 private:
  struct Range {
    std::string high;
    Hlc through;
  };
  // The range that holds `key`.
  const Range* RangeOf(absl::string_view key) const;
  bool Holds(absl::string_view key, Hlc hlc) const;
  // The newest that a key with this prefix may have had.
  std::optional<Hlc> NewestUnder(absl::string_view prefix) const;

  std::map<std::string, Range, std::less<>> ranges_;  // By their low key.
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_LOST_INVALIDATIONS_H_
