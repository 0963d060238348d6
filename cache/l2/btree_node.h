// The nodes that a merge rebuilds in memory, and how they split into pages.
#ifndef LARDER_CACHE_L2_BTREE_NODE_H_
#define LARDER_CACHE_L2_BTREE_NODE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cache/l2/btree_internal.h"
#include "cache/l2/page.h"

// Views point into the batch's ops and into copies of old pages, which a node
// keeps as long as it needs them.
namespace larder::cache::l2::btree_internal {

struct Node;

// A node as its parent sees it.
struct Child {
  std::string low;
  ChildRef ref;                // Its page, if `node` is null.
  std::unique_ptr<Node> node;  // Not written yet.
};

struct Entry {
  absl::string_view key;
  absl::string_view value;
};

// A node in memory: what a page will hold, or several if it overflows.
struct Node {
  explicit Node(int node_level) : level(node_level) {}

  const int level;
  // Did not shrink in this batch, so it may stay small: a join of the last
  // leaf of ascending keys would only halve the full one to its left.
  bool growing = false;
  size_t bytes = 0;            // Of entries or children, as a page counts them.
  std::vector<Entry> entries;  // Level 0.
  std::vector<std::shared_ptr<const PageCopy>> copies;  // Of entries.
  std::vector<Child> children;                          // Level > 0.
};

void Append(Node* node, const Entry& entry);
void Append(Node* node, Child child);

// Whether `child` shrank below a quarter of a page, or has a single child.
bool IsSmall(const Child& child);

// The content of `page`, whose low fence is `low`.
std::unique_ptr<Node> NodeOf(const CopiedPage& page, absl::string_view low);

// Appends to `out` the node, or the nodes into which it splits: of about equal
// size, or full ones but for the last if `dense`.
void SplitInto(absl::string_view low, std::unique_ptr<Node> node, bool dense,
               std::vector<Child>* out);

}  // namespace larder::cache::l2::btree_internal

#endif  // LARDER_CACHE_L2_BTREE_NODE_H_
