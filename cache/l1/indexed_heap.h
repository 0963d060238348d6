// A min-heap whose items know their place in it.
#ifndef LARDER_CACHE_L1_INDEXED_HEAP_H_
#define LARDER_CACHE_L1_INDEXED_HEAP_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cache/check.h"

namespace larder::cache::l1 {

inline constexpr uint32_t kNotInHeap = UINT32_MAX;

// Borrows its items. An item holds its position in the member that `position`
// names: kNotInHeap while it is in none. Any item can be moved or removed in
// O(log n). Not thread-safe, const calls apart.
//
// Four children a node: half the levels of a binary heap, and the children of
// one node share a cache line.
template <typename Item, typename Rank, uint32_t Item::*position>
class IndexedHeap {
 public:
  bool empty() const { return nodes_.empty(); }
  size_t size() const { return nodes_.size(); }
  // Requires, as TopRank() does: not empty.
  Item* Top() const { return nodes_.front().item; }
  Rank TopRank() const { return nodes_.front().rank; }

  void Push(Item* item, Rank rank) {
    LARDER_CHECK(item->*position == kNotInHeap);
    LARDER_CHECK(nodes_.size() < kNotInHeap);
    nodes_.push_back({rank, item});
    Rise(nodes_.size() - 1, {rank, item});
  }

  // Requires: `item` is in the heap.
  void Move(Item* item, Rank rank) { Settle(PositionOf(item), {rank, item}); }

  // Does nothing when `item` is in no heap.
  void Remove(Item* item) {
    if (item->*position == kNotInHeap) return;
    const size_t at = PositionOf(item);
    const Node last = nodes_.back();
    nodes_.pop_back();
    item->*position = kNotInHeap;
    if (at < nodes_.size()) Settle(at, last);
  }

  void ShrinkToFit() { nodes_.shrink_to_fit(); }

 private:
  static constexpr size_t kChildren = 4;
  struct Node {
    Rank rank;
    Item* item;
  };

  size_t PositionOf(const Item* item) const {
    const size_t at = item->*position;
    LARDER_CHECK(at < nodes_.size() && nodes_[at].item == item);
    return at;
  }

  void Place(size_t at, Node node) {
    nodes_[at] = node;
    node.item->*position = static_cast<uint32_t>(at);
  }

  void Settle(size_t at, Node node) {
    if (at > 0 && node.rank < nodes_[(at - 1) / kChildren].rank) {
      Rise(at, node);
    } else {
      Sink(at, node);
    }
  }

  void Rise(size_t at, Node node) {
    while (at > 0) {
      const size_t parent = (at - 1) / kChildren;
      if (!(node.rank < nodes_[parent].rank)) break;
      Place(at, nodes_[parent]);
      at = parent;
    }
    Place(at, node);
  }

  void Sink(size_t at, Node node) {
    for (;;) {
      const size_t first = at * kChildren + 1;
      if (first >= nodes_.size()) break;
      const size_t end = std::min(first + kChildren, nodes_.size());
      size_t least = first;
      for (size_t child = first + 1; child < end; ++child) {
        if (nodes_[child].rank < nodes_[least].rank) least = child;
      }
      if (!(nodes_[least].rank < node.rank)) break;
      Place(at, nodes_[least]);
      at = least;
    }
    Place(at, node);
  }

  std::vector<Node> nodes_;
};

}  // namespace larder::cache::l1

#endif  // LARDER_CACHE_L1_INDEXED_HEAP_H_
