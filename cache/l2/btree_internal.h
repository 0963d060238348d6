// What the tree's readers and its merge share: opening a node at its place.
#ifndef LARDER_CACHE_L2_BTREE_INTERNAL_H_
#define LARDER_CACHE_L2_BTREE_INTERNAL_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/btree.h"
#include "cache/l2/page.h"

namespace larder::cache::l2::btree_internal {

// The key range of a subtree, as its ancestors give it.
struct Fences {
  absl::string_view low;   // Inclusive.
  absl::string_view high;  // Exclusive; empty: no bound.
};

// A level that is whatever the page says: the root's.
inline constexpr int kAnyLevel = -1;

// The fences of child `i` of `node`, which itself lies within `outer`.
Fences ChildFences(const PageView& node, int i, const Fences& outer);

// The page of `ref`, checked against its place in the tree: at `level`, and
// all its keys within `fences`. So a forged page can neither lead in circles
// nor put keys out of order.
// Errors: kDataLoss; what `source` says.
absl::StatusOr<PageView> OpenNode(const PageSource& source, const ChildRef& ref,
                                  int level, const Fences& fences);

// A page in memory of its own: what is read there cannot turn to zeros, as a
// page may that the disk cannot read any more.
struct PageCopy {
  char bytes[kPageBytes];
};
struct CopiedPage {
  std::shared_ptr<const PageCopy> copy;
  PageView view;  // Of it.
};
absl::StatusOr<CopiedPage> CopyPage(const PageSource& source,
                                    const ChildRef& ref);
// As OpenNode(), of a copy.
absl::StatusOr<CopiedPage> CopyNode(const PageSource& source,
                                    const ChildRef& ref, int level,
                                    const Fences& fences);

// Whether `ref` is still there, after it was read where it stands: if so, what
// was read was no zeros.
// Errors: as OpenNode().
absl::Status CheckStillThere(const PageSource& source, const ChildRef& ref);

}  // namespace larder::cache::l2::btree_internal

#endif  // LARDER_CACHE_L2_BTREE_INTERNAL_H_
