// The due and the age tree, which follow from the records.
#ifndef LARDER_CACHE_L2_REPAIR_ORDERED_H_
#define LARDER_CACHE_L2_REPAIR_ORDERED_H_

#include <cstddef>
#include <cstdint>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/btree.h"
#include "cache/l2/ordered_entry.h"
#include "cache/l2/page.h"
#include "cache/l2/record.h"
#include "cache/l2/repair_pages.h"

namespace larder::cache::l2 {

// Keeps book of one of the two while the records are read: whether the tree
// that there is holds just their entries, whatever the order. Single-owner.
// Memory: kSortBytesMax.
class OrderedRepair {
 public:
  // Entries that a rebuild sorts at a time.
  static constexpr size_t kSortBytesMax = size_t{64} << 20;

  // `is_whole`: none of the tree's pages is damaged.
  OrderedRepair(OrderedKind kind, RepairPages* pages, const ChildRef& root,
                bool is_whole, size_t sort_bytes_max = kSortBytesMax)
      : kind_(kind),
        pages_(pages),
        root_(root),
        is_whole_(is_whole),
        sort_bytes_max_(sort_bytes_max) {}

  // The record stays, or comes back.
  void Add(absl::string_view record_key, const Record& record);
  // It goes after all.
  void Remove(absl::string_view record_key, const Record& record);

  // Reads the tree.
  absl::Status Read();
  // Whether it already holds what was added and nothing else.
  bool Matches() const { return is_whole_ && held_ == wanted_; }

  // The new root. `records`: the new tree, with just what was added. Entries
  // of other records are left out; a tree that lacks some, or pages, is
  // rebuilt. `*rebuilt`: whether that was necessary.
  absl::StatusOr<ChildRef> Build(const Tree& records, uint64_t epoch,
                                 bool* rebuilt);

 private:
  absl::StatusOr<ChildRef> Prune(const Tree& records, uint64_t epoch,
                                 absl::uint128* kept) const;
  absl::StatusOr<ChildRef> Rebuild(const Tree& records, uint64_t epoch) const;

  const OrderedKind kind_;
  RepairPages* const pages_;
  const ChildRef root_;
  const bool is_whole_;
  const size_t sort_bytes_max_;
  // Sums, modulo 2^128, of a hash of each entry.
  absl::uint128 held_ = 0;
  absl::uint128 wanted_ = 0;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_REPAIR_ORDERED_H_
