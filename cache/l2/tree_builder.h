// Writes a tree from its left end to its right, and copies one without its
// damaged parts. For trees that a batch cannot be merged into: see ApplyBatch()
// (btree.h) for all others.
#ifndef LARDER_CACHE_L2_TREE_BUILDER_H_
#define LARDER_CACHE_L2_TREE_BUILDER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/btree.h"
#include "cache/l2/page.h"

namespace larder::cache::l2 {

// Takes entries, and whole leaves that stay where they are, in key order.
// Leaves of entries are packed full.
//
// Single-owner. Borrows `sink`. Memory: one page a level.
// Errors of every call: what `sink` says; kResourceExhausted past
// kPageLevelMax.
class TreeBuilder {
 public:
  TreeBuilder(PageSink* sink, uint64_t epoch) : sink_(sink), epoch_(epoch) {}

  // Appends an entry. `low`: where the range of its leaf begins, if it is the
  // first of one: for the first call of all that must be empty.
  absl::Status Add(absl::string_view low, absl::string_view key,
                   absl::string_view value);
  // Appends a leaf that is written already and whose range begins at `low`.
  // Its keys must all be behind what came before, its epoch at most this one.
  absl::Status AddLeaf(absl::string_view low, const ChildRef& leaf);
  // Gives the range from `low` on, in which nothing is, to the last leaf: to
  // the one that is being filled, else to an empty one.
  absl::Status EndWithout(absl::string_view low);
  // Returns: the root; page 0 and the epoch when nothing came.
  absl::StatusOr<ChildRef> Finish();

 private:
  // A page that is being filled with children.
  struct Level {
    explicit Level(int level) : page(level) {}
    std::string low;
    PageBuilder page;
    ChildRef last;
  };
  absl::Status CloseLeaf();
  absl::Status AddChild(size_t level, absl::string_view low,
                        const ChildRef& child);
  absl::StatusOr<ChildRef> Write(PageBuilder* page);

  PageSink* const sink_;
  const uint64_t epoch_;
  std::optional<PageBuilder> leaf_;
  std::string leaf_low_;
  std::string last_key_;                        // In `leaf_`.
  std::vector<std::unique_ptr<Level>> levels_;  // From 1 on.
};

// Copies the tree at `root` to new pages of `epoch` without what `keep`
// refuses and what damaged pages hide. `keep` is asked once for each entry that
// can be read, in key order.
//
// A leaf that loses no entry and takes over no range stays as it is; every
// other page is new. The range of a leaf that goes belongs to the next one, or
// to an empty last one. So the leaves newer than some epoch are a complete
// delta since then, deletions included (design.md, L2 invariant 6).
// Returns: the new root.
// Errors: as TreeBuilder; what is no damage of `source`; kFailedPrecondition
// when `root` is newer than `epoch`.
// Memory: one page a level.
absl::StatusOr<ChildRef> PruneTree(
    const PageSource* source, PageSink* sink, const ChildRef& root,
    uint64_t epoch,
    absl::FunctionRef<bool(absl::string_view key, absl::string_view value)>
        keep);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_TREE_BUILDER_H_
