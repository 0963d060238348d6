// The due and the age tree, which follow from the records.
#ifndef LARDER_CACHE_L2_REPAIR_ORDERED_H_
#define LARDER_CACHE_L2_REPAIR_ORDERED_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/btree.h"
#include "cache/l2/commit_merge.h"
#include "cache/l2/page.h"
#include "cache/l2/record.h"
#include "cache/l2/repair_pages.h"

namespace larder::cache::l2 {

enum class OrderedKind { kDue, kAge };

// What a tree of this kind holds of a record; nothing when that is nothing.
struct OrderedEntry {
  std::string key;
  std::string value;
};
std::optional<OrderedEntry> OrderedEntryOf(OrderedKind kind,
                                           absl::string_view record_key,
                                           const Record& record);

// Keeps book of one of the two while the records are read: whether the tree
// that there is holds just their entries, whatever the order. Single-owner.
// Memory: kRemovalBytesMax.
class OrderedRepair {
 public:
  // Keys of entries to be removed, at most; past it the tree is rebuilt.
  static constexpr size_t kRemovalBytesMax = size_t{8} << 20;
  // Entries that a rebuild sorts at a time.
  static constexpr size_t kSortBytesMax = size_t{16} << 20;

  OrderedRepair(OrderedKind kind, RepairPages* pages, const ChildRef& root,
                bool is_whole, size_t sort_bytes_max = kSortBytesMax)
      : kind_(kind),
        pages_(pages),
        root_(root),
        sort_bytes_max_(sort_bytes_max),
        is_whole_(is_whole) {}

  // The record stays, or comes back.
  void Add(absl::string_view record_key, const Record& record);
  // The record goes; `was_added`: after Add().
  void Remove(absl::string_view record_key, const Record& record,
              bool was_added);

  // Reads the tree.
  absl::Status Read();
  // Whether it already holds what was added and nothing else.
  bool Matches() const { return is_whole_ && held_ == wanted_; }

  // The new root. `records`: the new tree. Without Read() it is rebuilt.
  // `*rebuilt`: whether that was necessary.
  absl::StatusOr<ChildRef> Build(const Tree& records, uint64_t epoch,
                                 bool* rebuilt);

 private:
  absl::StatusOr<ChildRef> Rebuild(const Tree& records, uint64_t epoch) const;

  const OrderedKind kind_;
  RepairPages* const pages_;
  const ChildRef root_;
  const size_t sort_bytes_max_;
  bool is_whole_;
  // Sums, modulo 2^128, of a hash of each entry.
  absl::uint128 held_ = 0;
  absl::uint128 wanted_ = 0;
  absl::uint128 removed_ = 0;
  TreeChanges removals_;
  size_t removal_bytes_ = 0;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_REPAIR_ORDERED_H_
