#include "cache/l2/btree_node.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "cache/l2/page.h"

namespace larder::cache::l2::btree_internal {
namespace {

// Below a quarter of its space a node joins a neighbour. Lower would leave
// pages emptier, higher would join and split the same pages in turns.
constexpr size_t kSmallBytes = kPageSpaceBytes / 4;

size_t SpaceOf(const Entry& entry) {
  return PageBuilder::ValueEntryBytes(entry.key.size() + entry.value.size());
}

size_t SpaceOf(const Child& child) {
  return PageBuilder::ChildEntryBytes(child.low.size());
}

// The shortest key above `left` and not above `right`: part of `right`.
absl::string_view Separator(absl::string_view left, absl::string_view right) {
  const size_t limit = std::min(left.size(), right.size());
  const size_t common =
      std::mismatch(left.begin(), left.begin() + limit, right.begin()).first -
      left.begin();
  return right.substr(0, common + 1);
}

absl::string_view LowOfPart(const std::vector<Entry>& entries, size_t begin) {
  return Separator(entries[begin - 1].key, entries[begin].key);
}

absl::string_view LowOfPart(const std::vector<Child>& children, size_t begin) {
  return children[begin].low;
}

template <typename T>
size_t PagesNeeded(const std::vector<T>& items) {
  size_t pages = 1;
  size_t used = 0;
  for (const T& item : items) {
    const size_t space = SpaceOf(item);
    if (used + space > kPageSpaceBytes) {
      ++pages;
      used = 0;
    }
    used += space;
  }
  return pages;
}

// Cuts `items` into parts that fit a page each and returns where they end:
// parts of about equal size, or full ones but for the last if `dense`. No part
// has fewer than `items_min` (1, or 2: any three children fit a page).
template <typename T>
std::vector<size_t> CutIntoPages(const std::vector<T>& items, size_t bytes,
                                 bool dense, size_t items_min) {
  const size_t pages = PagesNeeded(items);
  std::vector<size_t> ends;
  size_t i = 0;
  while (i < items.size()) {
    const bool fill = dense || ends.size() + 1 >= pages;
    const size_t target =
        fill ? kPageSpaceBytes : bytes / (pages - ends.size());
    const size_t begin = i;
    size_t used = 0;
    for (; i < items.size(); ++i) {
      const size_t space = SpaceOf(items[i]);
      if (used + space > kPageSpaceBytes) break;
      if (i - begin >= items_min && used + space / 2 > target) break;
      used += space;
    }
    const size_t rest = items.size() - i;
    if (rest > 0 && rest < items_min) {
      i = i - begin > items_min ? i - 1 : items.size();
    }
    for (size_t taken = begin; taken < i; ++taken) {
      bytes -= SpaceOf(items[taken]);
    }
    ends.push_back(i);
  }
  return ends;
}

template <typename T>
void MoveParts(absl::string_view low, const Node& node, std::vector<T>* items,
               const std::vector<size_t>& ends, std::vector<Child>* out) {
  size_t begin = 0;
  for (const size_t end : ends) {
    std::string part_low(begin == 0 ? low : LowOfPart(*items, begin));
    auto part = std::make_unique<Node>(node.level);
    part->copies = node.copies;
    for (size_t i = begin; i < end; ++i) {
      Append(part.get(), std::move((*items)[i]));
    }
    out->push_back(
        {.low = std::move(part_low), .ref = {}, .node = std::move(part)});
    begin = end;
  }
}

}  // namespace

void Append(Node* node, const Entry& entry) {
  node->bytes += SpaceOf(entry);
  node->entries.push_back(entry);
}

void Append(Node* node, Child child) {
  node->bytes += SpaceOf(child);
  node->children.push_back(std::move(child));
}

bool IsSmall(const Child& child) {
  if (child.node == nullptr) return false;
  const Node& node = *child.node;
  return (node.bytes < kSmallBytes && !node.growing) ||
         (node.level > 0 && node.children.size() < 2);
}

std::unique_ptr<Node> NodeOf(const CopiedPage& copied, absl::string_view low) {
  const PageView& page = copied.view;
  auto node = std::make_unique<Node>(page.level());
  for (int i = 0; i < page.size(); ++i) {
    if (page.level() == 0) {
      Append(node.get(), Entry{page.key(i), page.value(i)});
    } else {
      Append(node.get(), Child{.low = std::string(i == 0 ? low : page.key(i)),
                               .ref = page.child(i),
                               .node = nullptr});
    }
  }
  if (page.level() == 0) node->copies.push_back(copied.copy);
  return node;
}

void SplitInto(absl::string_view low, std::unique_ptr<Node> node, bool dense,
               std::vector<Child>* out) {
  if (node->bytes <= kPageSpaceBytes) {
    out->push_back(
        {.low = std::string(low), .ref = {}, .node = std::move(node)});
    return;
  }
  if (node->level == 0) {
    const auto ends = CutIntoPages(node->entries, node->bytes, dense, 1);
    MoveParts(low, *node, &node->entries, ends, out);
  } else {
    const auto ends = CutIntoPages(node->children, node->bytes, dense, 2);
    MoveParts(low, *node, &node->children, ends, out);
  }
  out->back().node->growing = dense;
}

}  // namespace larder::cache::l2::btree_internal
