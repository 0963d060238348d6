#include "cache/l2/tree_builder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "cache/check.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// The shortest key above `left` and not above `right`: part of `right`.
absl::string_view Separator(absl::string_view left, absl::string_view right) {
  const size_t limit = std::min(left.size(), right.size());
  const size_t common =
      std::mismatch(left.begin(), left.begin() + limit, right.begin()).first -
      left.begin();
  return right.substr(0, common + 1);
}

}  // namespace

absl::StatusOr<ChildRef> TreeBuilder::Write(PageBuilder* page) {
  LARDER_ASSIGN_OR_RETURN(const uint64_t number, sink_->Allocate());
  const ChildRef ref = page->Finish(number, epoch_);
  LARDER_RETURN_IF_ERROR(sink_->Write(number, page->bytes()));
  return ref;
}

absl::Status TreeBuilder::AddChild(size_t level, absl::string_view low,
                                   const ChildRef& child) {
  if (level > kPageLevelMax) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("tree: level: %d exceeds %d", level, kPageLevelMax));
  }
  if (levels_.size() < level) {
    levels_.push_back(std::make_unique<Level>(static_cast<int>(level)));
  }
  Level& to = *levels_[level - 1];
  if (to.page.size() > 0 && !to.page.Fits(low, 0)) {
    LARDER_ASSIGN_OR_RETURN(const ChildRef full, Write(&to.page));
    LARDER_RETURN_IF_ERROR(AddChild(level + 1, to.low, full));
    to.page = PageBuilder(static_cast<int>(level));
  }
  if (to.page.size() == 0) to.low = std::string(low);
  to.page.AddChild(low, child);
  to.last = child;
  return absl::OkStatus();
}

absl::Status TreeBuilder::CloseLeaf() {
  if (!leaf_.has_value()) return absl::OkStatus();
  LARDER_ASSIGN_OR_RETURN(const ChildRef ref, Write(&*leaf_));
  leaf_.reset();
  return AddChild(1, leaf_low_, ref);
}

absl::Status TreeBuilder::Add(absl::string_view low, absl::string_view key,
                              absl::string_view value) {
  LARDER_CHECK(key.size() + value.size() <= kEntryBytesMax);
  std::string next_low(low);
  if (leaf_.has_value() && !leaf_->Fits(key, value.size())) {
    next_low = std::string(Separator(last_key_, key));
    LARDER_RETURN_IF_ERROR(CloseLeaf());
  }
  if (!leaf_.has_value()) {
    leaf_.emplace(0);
    leaf_low_ = std::move(next_low);
  }
  leaf_->AddValue(key, value);
  last_key_ = std::string(key);
  return absl::OkStatus();
}

absl::Status TreeBuilder::AddLeaf(absl::string_view low, const ChildRef& leaf) {
  LARDER_CHECK(leaf.epoch <= epoch_);
  LARDER_RETURN_IF_ERROR(CloseLeaf());
  return AddChild(1, low, leaf);
}

absl::Status TreeBuilder::EndWithout(absl::string_view low) {
  if (leaf_.has_value() || levels_.empty()) return absl::OkStatus();
  leaf_.emplace(0);
  leaf_low_ = std::string(low);
  return CloseLeaf();
}

absl::StatusOr<ChildRef> TreeBuilder::Finish() {
  LARDER_RETURN_IF_ERROR(CloseLeaf());
  for (size_t level = 1; level <= levels_.size(); ++level) {
    Level& at = *levels_[level - 1];
    const bool is_top = level == levels_.size();
    // A root with one child gives way to it.
    if (is_top && at.page.size() == 1) return at.last;
    LARDER_ASSIGN_OR_RETURN(const ChildRef ref, Write(&at.page));
    if (is_top) return ref;
    LARDER_RETURN_IF_ERROR(AddChild(level + 1, at.low, ref));
  }
  return ChildRef{.page = 0, .epoch = epoch_, .checksum = 0, .entries = 0};
}

namespace {

// One pass over the old tree.
class Pruner {
 public:
  Pruner(const PageSource* source, PageSink* sink, uint64_t epoch,
         absl::FunctionRef<bool(absl::string_view, absl::string_view)> keep)
      : source_(source), keep_(keep), builder_(sink, epoch) {}

  absl::StatusOr<ChildRef> Run(const ChildRef& root) {
    const absl::Status walked =
        Tree(source_, root)
            .VisitPages(
                [&](const Tree::PageInfo& page) {
                  if (page.level == 0 && status_.ok()) status_ = CopyLeaf(page);
                },
                [&](const Tree::Damage& damage) { LeaveRange(damage.low); });
    LARDER_RETURN_IF_ERROR(walked);
    LARDER_RETURN_IF_ERROR(status_);
    if (left_.has_value()) {
      LARDER_RETURN_IF_ERROR(builder_.EndWithout(*left_));
    }
    return builder_.Finish();
  }

 private:
  // The range from `low` on has no leaf, up to where the next one begins.
  void LeaveRange(absl::string_view low) {
    if (!left_.has_value()) left_ = std::string(low);
  }

  absl::Status CopyLeaf(const Tree::PageInfo& page) {
    LARDER_ASSIGN_OR_RETURN(const PageView leaf, source_->Get(page.ref));
    std::vector<int> kept;
    kept.reserve(leaf.size());
    for (int i = 0; i < leaf.size(); ++i) {
      if (keep_(leaf.key(i), leaf.value(i))) kept.push_back(i);
    }
    if (kept.empty()) {
      LeaveRange(page.low);
      return absl::OkStatus();
    }
    if (!left_.has_value() && static_cast<int>(kept.size()) == leaf.size()) {
      return builder_.AddLeaf(page.low, page.ref);
    }
    const std::string low = left_.value_or(std::string(page.low));
    left_.reset();
    for (const int i : kept) {
      LARDER_RETURN_IF_ERROR(builder_.Add(low, leaf.key(i), leaf.value(i)));
    }
    return absl::OkStatus();
  }

  const PageSource* const source_;
  const absl::FunctionRef<bool(absl::string_view, absl::string_view)> keep_;
  TreeBuilder builder_;
  absl::Status status_;
  // Where a range begins that nothing has taken over yet.
  std::optional<std::string> left_;
};

}  // namespace

absl::StatusOr<ChildRef> PruneTree(
    const PageSource* source, PageSink* sink, const ChildRef& root,
    uint64_t epoch,
    absl::FunctionRef<bool(absl::string_view key, absl::string_view value)>
        keep) {
  if (root.epoch > epoch) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "tree: root epoch: found %d vs new epoch %d", root.epoch, epoch));
  }
  return Pruner(source, sink, epoch, keep).Run(root);
}

}  // namespace larder::cache::l2
