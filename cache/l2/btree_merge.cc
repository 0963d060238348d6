// The merge of a sorted batch into a tree.
//
// One pass from left to right, over verified copies of the old pages: what the
// disk cannot read any more turns to zeros, at any time, and these must not be
// merged. A node that changes becomes a Node in memory, whose entries are views
// into such copies and ops. Its parent then splits what overflows, joins what
// shrank, and only when its list of children is final writes them (Seal): so no
// page is written twice, and memory holds the dirty nodes of one path, not of
// the whole tree.
//
//   MergeSubtree --+-- leaf:  MergeLeaf  -> SplitInto
//                  +-- inner: MergeInner -> each child: MergeSubtree
//                                        -> JoinSmall -> Seal -> SplitInto
//
// Invariants:
// 1. Every key range belongs to exactly one leaf, before and after. A range
//    moves only together with a leaf that is written anew.
// 2. A small leaf that finds nobody below its parent is carried to the right
//    (`carry_`): the next parent takes it in as its first child and joins it
//    there. Nothing is written for what it leaves behind. So emptied subtrees
//    vanish, at any height; only the last leaf, with nobody to its right, may
//    stay empty.
// 3. A node with a single child is not written as long as it may still turn
//    out to be the root: a root with one child gives way to that child.
// 4. A damaged leaf which no op is for stays where it is. What would be joined
//    with it goes to the other side, or stays small. Only an empty leaf between
//    two damaged ones has nowhere to go.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/check.h"
#include "cache/l2/btree.h"
#include "cache/l2/btree_internal.h"
#include "cache/l2/btree_node.h"
#include "cache/l2/page.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

using btree_internal::Append;
using btree_internal::Child;
using btree_internal::ChildFences;
using btree_internal::CopiedPage;
using btree_internal::CopyNode;
using btree_internal::CopyPage;
using btree_internal::Entry;
using btree_internal::Fences;
using btree_internal::IsSmall;
using btree_internal::kAnyLevel;
using btree_internal::Node;
using btree_internal::NodeOf;
using btree_internal::SplitInto;

// Whether `child`, which has a neighbour to its right, must not stay.
bool MustJoin(const Child& child) {
  return child.node != nullptr && child.node->level == 0 &&
         child.node->entries.empty();
}

// A range of the batch.
struct OpRange {
  size_t begin;
  size_t end;
};

class Merger {
 public:
  Merger(const PageSource* source, PageSink* sink, uint64_t epoch,
         absl::Span<const TreeOp> ops, Resolver resolve)
      : source_(*source),
        sink_(*sink),
        epoch_(epoch),
        ops_(ops),
        resolve_(resolve) {}

  absl::StatusOr<ChildRef> Run(const ChildRef& root);

 private:
  // Each appends to `out` what becomes of a subtree: its page as it stands,
  // or new nodes; nothing if it became empty or was carried on.
  absl::Status MergeSubtree(const ChildRef& ref, int level,
                            const Fences& fences, OpRange ops,
                            std::vector<Child>* out);
  void MergeLeaf(const CopiedPage* old, const ChildRef& ref,
                 absl::string_view low, OpRange ops, std::vector<Child>* out);
  absl::Status MergeInner(const PageView& page, const ChildRef& ref,
                          const Fences& fences, OpRange ops,
                          std::vector<Child>* out);
  absl::Status FinishInner(const PageView& page, const Fences& fences,
                           bool dense, std::vector<Child> list,
                           std::vector<Child>* out);

  // Joins small nodes of `level` with neighbours in their parent's `list`,
  // which ends at `high`.
  absl::Status JoinSmall(int level, absl::string_view high,
                         std::vector<Child>* list);
  // Replaces the last two, of which the right one ends at `high`. After an
  // error both are there.
  absl::Status JoinLastTwo(int level, absl::string_view high,
                           std::vector<Child>* list);
  // Makes `child` a node in memory, if it is a page.
  absl::Status LoadNode(int level, absl::string_view high, Child* child);
  // Writes all nodes of `list`.
  absl::Status Seal(std::vector<Child>* list);
  absl::StatusOr<ChildRef> Write(Node* node);

  // Stacks levels on `list` until one node is left.
  absl::StatusOr<Child> GrowRoot(std::vector<Child> list);
  // Follows single children down and writes the root.
  absl::StatusOr<ChildRef> WriteRoot(Child root);
  void FreeReplaced();

  // The end of those of `ops` whose keys are below `high`.
  size_t OpsBelow(absl::string_view high, OpRange ops) const;

  const PageSource& source_;
  PageSink& sink_;
  const uint64_t epoch_;
  const absl::Span<const TreeOp> ops_;
  const Resolver resolve_;
  std::optional<Child> carry_;   // Invariant 2. A leaf in memory.
  std::vector<uint64_t> freed_;  // Pages that leave the tree.
};

size_t Merger::OpsBelow(absl::string_view high, OpRange ops) const {
  if (high.empty()) return ops.end;
  // In growing steps, since one child of many has but a few of the ops.
  size_t step = 1;
  while (step < ops.end - ops.begin && ops_[ops.begin + step].key < high) {
    ops.begin += step;
    step *= 2;
  }
  const size_t end = std::min(ops.begin + step, ops.end);
  return std::partition_point(
             ops_.begin() + ops.begin, ops_.begin() + end,
             [high](const TreeOp& op) { return op.key < high; }) -
         ops_.begin();
}

absl::Status Merger::MergeSubtree(const ChildRef& ref, int level,
                                  const Fences& fences, OpRange ops,
                                  std::vector<Child>* out) {
  LARDER_ASSIGN_OR_RETURN(const CopiedPage page,
                          CopyNode(source_, ref, level, fences));
  if (page.view.level() > 0) {
    return MergeInner(page.view, ref, fences, ops, out);
  }
  MergeLeaf(&page, ref, fences.low, ops, out);
  return absl::OkStatus();
}

void Merger::MergeLeaf(const CopiedPage* old, const ChildRef& ref,
                       absl::string_view low, OpRange ops,
                       std::vector<Child>* out) {
  const PageView* const page = old == nullptr ? nullptr : &old->view;
  auto leaf = std::make_unique<Node>(0);
  const int size = page == nullptr ? 0 : page->size();
  leaf->entries.reserve(size + ops.end - ops.begin);
  bool changed = false;
  bool dense = true;  // Whether all that is put is behind the last old key.
  int next = 0;
  const auto copy_to = [&](int end) {
    for (; next < end; ++next) {
      Append(leaf.get(), Entry{page->key(next), page->value(next)});
    }
  };
  for (size_t i = ops.begin; i < ops.end; ++i) {
    const TreeOp& op = ops_[i];
    // Batches that remove or replace much meet one entry after the other.
    bool exists = next < size && page->key(next) == op.key;
    if (!exists && next < size) {
      copy_to(page->LowerBound(op.key));
      exists = next < size && page->key(next) == op.key;
    }
    std::optional<absl::string_view> existing;
    if (exists) existing = page->value(next);
    const Resolution resolution = resolve_(i, existing);
    if (resolution == Resolution::kPut) {
      LARDER_CHECK(op.key.size() + op.value.size() <= kEntryBytesMax);
      Append(leaf.get(), Entry{op.key, op.value});
      changed = true;
      if (next < size) dense = false;
    }
    if (resolution == Resolution::kErase && existing) changed = true;
    if (resolution != Resolution::kKeep && existing) ++next;
  }
  if (!changed) {
    out->push_back({.low = std::string(low), .ref = ref, .node = nullptr});
    return;
  }
  copy_to(size);
  if (page != nullptr) {
    leaf->copies.push_back(old->copy);
    leaf->growing = leaf->bytes >= page->bytes_used();
    freed_.push_back(ref.page);
  }
  SplitInto(low, std::move(leaf), dense, out);
}

absl::Status Merger::MergeInner(const PageView& page, const ChildRef& ref,
                                const Fences& fences, OpRange ops,
                                std::vector<Child>* out) {
  std::vector<Child> list;
  list.reserve(page.size() + 1);
  bool changed = false;
  bool dense = true;  // Whether only the last child split.
  if (page.level() == 1 && carry_.has_value()) {
    list.push_back(*std::move(carry_));
    carry_.reset();
    changed = true;
  }
  for (int i = 0; i < page.size(); ++i) {
    const Fences range = ChildFences(page, i, fences);
    const OpRange part = {ops.begin, OpsBelow(range.high, ops)};
    ops.begin = part.end;
    if (part.begin == part.end && !carry_.has_value()) {
      list.push_back({.low = std::string(range.low),
                      .ref = page.child(i),
                      .node = nullptr});
      continue;
    }
    const size_t before = list.size();
    LARDER_RETURN_IF_ERROR(
        MergeSubtree(page.child(i), page.level() - 1, range, part, &list));
    const size_t added = list.size() - before;
    if (added != 1 || list.back().node != nullptr) changed = true;
    if (added > 1 && i + 1 < page.size()) dense = false;
  }
  if (!changed) {
    out->push_back(
        {.low = std::string(fences.low), .ref = ref, .node = nullptr});
    return absl::OkStatus();
  }
  freed_.push_back(ref.page);
  return FinishInner(page, fences, dense, std::move(list), out);
}

absl::Status Merger::FinishInner(const PageView& page, const Fences& fences,
                                 bool dense, std::vector<Child> list,
                                 std::vector<Child>* out) {
  const int level = page.level();
  LARDER_RETURN_IF_ERROR(JoinSmall(level - 1, fences.high, &list));
  if (list.empty()) return absl::OkStatus();
  if (level == 1 && IsSmall(list.back())) {
    if (!fences.high.empty()) {
      carry_ = std::move(list.back());
      list.pop_back();
      if (list.empty()) return absl::OkStatus();
    } else if (list.size() == 1 && list[0].low.empty() &&
               list[0].node->entries.empty()) {
      // The last leaf, and nothing to its left: the tree is empty.
      return absl::OkStatus();
    }
  }
  if (list.size() > 1) LARDER_RETURN_IF_ERROR(Seal(&list));  // Invariant 3.
  const std::string low = list[0].low;
  auto node = std::make_unique<Node>(level);
  node->children.reserve(list.size());
  for (Child& child : list) Append(node.get(), std::move(child));
  node->growing = node->bytes >= page.bytes_used();
  SplitInto(low, std::move(node), dense, out);
  return absl::OkStatus();
}

absl::Status Merger::JoinSmall(int level, absl::string_view high,
                               std::vector<Child>* list) {
  std::vector<Child> done;
  done.reserve(list->size());
  for (size_t i = 0; i < list->size(); ++i) {
    done.push_back(std::move((*list)[i]));
    const Child* after = i + 1 < list->size() ? &(*list)[i + 1] : nullptr;
    // Rather with a neighbour that is written anyway.
    const bool after_is_better = after != nullptr && after->node != nullptr;
    while (done.size() > 1) {
      const Child& left = done[done.size() - 2];
      const bool join =
          IsSmall(left) ||
          (IsSmall(done.back()) && (left.node != nullptr || !after_is_better));
      if (!join) break;
      const absl::Status joined =
          JoinLastTwo(level, after == nullptr ? high : after->low, &done);
      if (absl::IsDataLoss(joined) && !MustJoin(done[done.size() - 2])) {
        break;  // Invariant 4.
      }
      LARDER_RETURN_IF_ERROR(joined);
    }
  }
  *list = std::move(done);
  return absl::OkStatus();
}

absl::Status Merger::JoinLastTwo(int level, absl::string_view high,
                                 std::vector<Child>* list) {
  const absl::string_view middle = list->back().low;
  LARDER_RETURN_IF_ERROR(LoadNode(level, middle, &(*list)[list->size() - 2]));
  LARDER_RETURN_IF_ERROR(LoadNode(level, high, &list->back()));
  Child right = std::move(list->back());
  list->pop_back();
  Child left = std::move(list->back());
  list->pop_back();
  for (const Entry& entry : right.node->entries) {
    Append(left.node.get(), entry);
  }
  left.node->copies.insert(left.node->copies.end(), right.node->copies.begin(),
                           right.node->copies.end());
  for (Child& child : right.node->children) {
    Append(left.node.get(), std::move(child));
  }
  left.node->growing = false;
  // If the sum splits, both parts have more than a quarter: no entry has more
  // than half a page.
  SplitInto(left.low, std::move(left.node), /*dense=*/false, list);
  return absl::OkStatus();
}

absl::Status Merger::LoadNode(int level, absl::string_view high, Child* child) {
  if (child->node != nullptr) return absl::OkStatus();
  LARDER_ASSIGN_OR_RETURN(
      const CopiedPage page,
      CopyNode(source_, child->ref, level, {child->low, high}));
  freed_.push_back(child->ref.page);
  child->node = NodeOf(page, child->low);
  return absl::OkStatus();
}

absl::Status Merger::Seal(std::vector<Child>* list) {
  for (Child& child : *list) {
    if (child.node == nullptr) continue;
    LARDER_ASSIGN_OR_RETURN(child.ref, Write(child.node.get()));
    child.node.reset();
  }
  return absl::OkStatus();
}

absl::StatusOr<ChildRef> Merger::Write(Node* node) {
  LARDER_RETURN_IF_ERROR(Seal(&node->children));  // A single one, if any.
  PageBuilder builder(node->level);
  for (const Entry& entry : node->entries) {
    builder.AddValue(entry.key, entry.value);
  }
  for (const Child& child : node->children) {
    builder.AddChild(child.low, child.ref);
  }
  LARDER_ASSIGN_OR_RETURN(const uint64_t page, sink_.Allocate());
  const ChildRef ref = builder.Finish(page, epoch_);
  LARDER_RETURN_IF_ERROR(sink_.Write(page, builder.bytes()));
  return ref;
}

absl::StatusOr<Child> Merger::GrowRoot(std::vector<Child> list) {
  while (list.size() > 1) {
    const int level = list[0].node->level + 1;
    if (level > kPageLevelMax) {
      return absl::ResourceExhaustedError(
          absl::StrFormat("tree: level: %d exceeds %d", level, kPageLevelMax));
    }
    LARDER_RETURN_IF_ERROR(Seal(&list));
    auto node = std::make_unique<Node>(level);
    for (Child& child : list) Append(node.get(), std::move(child));
    list.clear();
    SplitInto({}, std::move(node), /*dense=*/false, &list);
  }
  return std::move(list[0]);
}

absl::StatusOr<ChildRef> Merger::WriteRoot(Child root) {
  while (root.node != nullptr && root.node->children.size() == 1) {
    Child only = std::move(root.node->children[0]);
    root = std::move(only);
  }
  if (root.node != nullptr) return Write(root.node.get());
  // Pages of this epoch were written to stay.
  while (root.ref.epoch < epoch_) {
    LARDER_ASSIGN_OR_RETURN(const CopiedPage page, CopyPage(source_, root.ref));
    if (page.view.level() == 0 || page.view.size() > 1) break;
    freed_.push_back(root.ref.page);
    root.ref = page.view.child(0);
  }
  return root.ref;
}

void Merger::FreeReplaced() {
  for (const uint64_t page : freed_) sink_.Free(page);
}

absl::StatusOr<ChildRef> Merger::Run(const ChildRef& root) {
  const OpRange all = {0, ops_.size()};
  std::vector<Child> list;
  if (root.page == 0) {
    MergeLeaf(nullptr, root, {}, all, &list);
  } else {
    LARDER_RETURN_IF_ERROR(MergeSubtree(root, kAnyLevel, Fences{}, all, &list));
  }
  if (list.size() == 1 && list[0].node == nullptr) return root;
  const bool empty = list.empty() || (list[0].node->level == 0 &&
                                      list[0].node->entries.empty());
  ChildRef result = {.page = 0, .epoch = epoch_, .checksum = 0, .entries = 0};
  if (!empty) {
    LARDER_ASSIGN_OR_RETURN(Child grown, GrowRoot(std::move(list)));
    LARDER_ASSIGN_OR_RETURN(result, WriteRoot(std::move(grown)));
  }
  FreeReplaced();
  return result;
}

}  // namespace

absl::StatusOr<ChildRef> ApplyBatch(const PageSource* source, PageSink* sink,
                                    const ChildRef& root, uint64_t epoch,
                                    absl::Span<const TreeOp> ops,
                                    Resolver resolve) {
  LARDER_CHECK(epoch <= kTreeNumberMax);
  for (size_t i = 0; i < ops.size(); ++i) {
    LARDER_CHECK(ops[i].key.size() <= kTreeKeyBytesMax);
    LARDER_CHECK(i == 0 || ops[i - 1].key < ops[i].key);
  }
  if (root.epoch > epoch) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "tree: root epoch: found %d vs batch epoch %d", root.epoch, epoch));
  }
  return Merger(source, sink, epoch, ops, resolve).Run(root);
}

}  // namespace larder::cache::l2
