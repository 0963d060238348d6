// Reading a tree. Every descent is bounded, whatever the pages say: a child's
// level is one below its parent's.
#include "cache/l2/btree.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "cache/l2/btree_internal.h"
#include "cache/l2/page.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace btree_internal {

Fences ChildFences(const PageView& node, int i, const Fences& outer) {
  return {.low = i == 0 ? outer.low : node.key(i),
          .high = i + 1 < node.size() ? node.key(i + 1) : outer.high};
}

namespace {

absl::Status BadPlace(const ChildRef& ref, absl::string_view what,
                      uint64_t found, uint64_t expected) {
  return absl::DataLossError(absl::StrFormat(
      "page %d: %s: found %d vs expected %d", ref.page, what, found, expected));
}

absl::Status OutOfRange(const ChildRef& ref, absl::string_view key,
                        const Fences& fences) {
  const auto escaped = [](absl::string_view text) {
    return absl::CHexEscape(text.substr(0, 32));  // Enough to find it by.
  };
  return absl::DataLossError(absl::StrFormat(
      "page %d: key: found \"%s\" vs range [\"%s\", \"%s\")", ref.page,
      escaped(key), escaped(fences.low), escaped(fences.high)));
}

absl::Status CheckPlace(const PageView& node, const ChildRef& ref, int level,
                        const Fences& fences) {
  if (level != kAnyLevel && node.level() != level) {
    return BadPlace(ref, "level", node.level(), level);
  }
  if (node.size() == 0) {
    // Only the last leaf may be empty: shared by two parents it would be freed
    // twice.
    if (!fences.high.empty()) return BadPlace(ref, "keys", 0, 1);
    return absl::OkStatus();
  }
  const absl::string_view first = node.key(0);
  if (node.level() > 0 ? first != fences.low : first < fences.low) {
    return OutOfRange(ref, first, fences);
  }
  const absl::string_view last = node.key(node.size() - 1);
  if (!fences.high.empty() && last >= fences.high) {
    return OutOfRange(ref, last, fences);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PageView> OpenNode(const PageSource& source, const ChildRef& ref,
                                  int level, const Fences& fences) {
  LARDER_ASSIGN_OR_RETURN(const PageView node, source.Get(ref));
  LARDER_RETURN_IF_ERROR(CheckPlace(node, ref, level, fences));
  return node;
}

absl::StatusOr<CopiedPage> CopyPage(const PageSource& source,
                                    const ChildRef& ref) {
  LARDER_ASSIGN_OR_RETURN(const PageView page, source.Get(ref));
  auto copy = std::make_shared_for_overwrite<PageCopy>();
  std::memcpy(copy->bytes, page.bytes().data(), kPageBytes);
  LARDER_ASSIGN_OR_RETURN(const PageView view,
                          PageView::VerifyCopy(copy->bytes, ref));
  return CopiedPage{std::move(copy), view};
}

absl::StatusOr<CopiedPage> CopyNode(const PageSource& source,
                                    const ChildRef& ref, int level,
                                    const Fences& fences) {
  LARDER_ASSIGN_OR_RETURN(CopiedPage node, CopyPage(source, ref));
  LARDER_RETURN_IF_ERROR(CheckPlace(node.view, ref, level, fences));
  return node;
}

absl::Status CheckStillThere(const PageSource& source, const ChildRef& ref) {
  return source.Get(ref).status();
}

}  // namespace btree_internal

namespace {

using btree_internal::CheckStillThere;
using btree_internal::ChildFences;
using btree_internal::Fences;
using btree_internal::kAnyLevel;
using btree_internal::OpenNode;

// Reports what is a damaged page; passes on what is not, or has no listener.
absl::Status Report(absl::Status status, const ChildRef& ref,
                    const Fences& fences, const Tree::DamageFn* damaged) {
  if (status.ok() || damaged == nullptr || !absl::IsDataLoss(status)) {
    return status;
  }
  (*damaged)({.low = std::string(fences.low),
              .high = std::string(fences.high),
              .status = std::move(status),
              .ref = ref});
  return absl::OkStatus();
}

// One walk over entries.
struct EntryWalk {
  const PageSource& source;
  absl::string_view from;
  Tree::VisitFn visit;
  const Tree::DamageFn* damaged;  // Null: damage ends the walk.
  bool stopped = false;

  absl::Status Run(const ChildRef& ref, int level, const Fences& fences) {
    auto node = OpenNode(source, ref, level, fences);
    if (!node.ok()) return Report(node.status(), ref, fences, damaged);
    if (node->level() == 0) {
      for (int i = node->LowerBound(from); i < node->size() && !stopped; ++i) {
        stopped = !visit(node->key(i), node->value(i));
      }
    } else {
      for (int i = node->ChildFor(from); i < node->size() && !stopped; ++i) {
        LARDER_RETURN_IF_ERROR(Run(node->child(i), node->level() - 1,
                                   ChildFences(*node, i, fences)));
      }
    }
    return Report(CheckStillThere(source, ref), ref, fences, damaged);
  }
};

// What OpenNode() does not check, in case the source only trusted the page.
absl::Status CheckSums(const PageView& node, const ChildRef& ref) {
  uint64_t entries = node.level() == 0 ? node.size() : 0;
  for (int i = 0; node.level() > 0 && i < node.size(); ++i) {
    const ChildRef child = node.child(i);
    entries += child.entries;
    if (child.epoch > ref.epoch) {
      return absl::DataLossError(
          absl::StrFormat("page %d: child %d: epoch: found %d vs limit %d",
                          ref.page, i, child.epoch, ref.epoch));
    }
  }
  if (entries != ref.entries) {
    return absl::DataLossError(
        absl::StrFormat("page %d: entries: found %d vs expected %d", ref.page,
                        entries, ref.entries));
  }
  return absl::OkStatus();
}

struct PageWalk {
  const PageSource& source;
  absl::FunctionRef<void(const Tree::PageInfo&)> visit;
  const Tree::DamageFn& damaged;

  absl::Status Run(const ChildRef& ref, int level, const Fences& fences) {
    auto node = OpenNode(source, ref, level, fences);
    if (!node.ok()) return Report(node.status(), ref, fences, &damaged);
    absl::Status sums = CheckSums(*node, ref);
    if (!sums.ok()) return Report(std::move(sums), ref, fences, &damaged);
    visit({.ref = ref,
           .level = node->level(),
           .low = fences.low,
           .high = fences.high});
    for (int i = 0; node->level() > 0 && i < node->size(); ++i) {
      LARDER_RETURN_IF_ERROR(Run(node->child(i), node->level() - 1,
                                 ChildFences(*node, i, fences)));
    }
    return Report(CheckStillThere(source, ref), ref, fences, &damaged);
  }
};

// One walk over what changed since an epoch.
struct DeltaWalk {
  const PageSource& source;
  uint64_t since;
  absl::string_view from;
  absl::FunctionRef<absl::StatusOr<bool>(const Tree::LeafInfo&)> visit;
  const Tree::DamageFn* damaged;  // Null: damage ends the walk.
  bool stopped = false;

  absl::Status Run(const ChildRef& ref, int level, const Fences& fences) {
    if (ref.epoch <= since) return absl::OkStatus();
    auto node = OpenNode(source, ref, level, fences);
    if (!node.ok()) return Report(node.status(), ref, fences, damaged);
    if (node->level() == 0) {
      LARDER_ASSIGN_OR_RETURN(
          const bool more,
          visit({.leaf = *node, .low = fences.low, .high = fences.high}));
      stopped = !more;
    } else {
      for (int i = node->ChildFor(from); i < node->size() && !stopped; ++i) {
        LARDER_RETURN_IF_ERROR(Run(node->child(i), node->level() - 1,
                                   ChildFences(*node, i, fences)));
      }
    }
    // Ends the walk even so: what was visited cannot be taken back.
    return CheckStillThere(source, ref);
  }

  absl::Status RunFromRoot(const ChildRef& root) {
    if (root.page != 0) return Run(root, kAnyLevel, Fences{});
    if (root.epoch <= since) return absl::OkStatus();
    PageBuilder nothing(0);
    const ChildRef ref = nothing.Finish(0, root.epoch);
    LARDER_ASSIGN_OR_RETURN(const PageView leaf,
                            PageView::Verify(nothing.bytes().data(), ref));
    return visit({.leaf = leaf, .low = {}, .high = {}}).status();
  }
};

absl::Status BadLevel(const ChildRef& ref, const PageView& node) {
  return absl::DataLossError(absl::StrFormat(
      "page %d: level: found %d below its parent's", ref.page, node.level()));
}

}  // namespace

absl::StatusOr<std::optional<absl::string_view>> Tree::Find(
    absl::string_view key) const {
  ChildRef ref = root_;
  if (ref.page == 0) return std::nullopt;
  for (int level_max = kPageLevelMax;;) {
    LARDER_ASSIGN_OR_RETURN(const PageView node, source_->Get(ref));
    const int level = node.level();
    if (level > level_max) return BadLevel(ref, node);
    if (level == 0) {
      const int i = node.Find(key);
      if (i >= 0) return node.value(i);
      // Nothing is found in zeros either.
      LARDER_RETURN_IF_ERROR(CheckStillThere(*source_, ref));
      return std::nullopt;
    }
    level_max = level - 1;
    ref = node.child(node.ChildFor(key));
  }
}

absl::StatusOr<uint64_t> Tree::Rank(absl::string_view key) const {
  ChildRef ref = root_;
  if (ref.page == 0) return 0;
  uint64_t rank = 0;
  for (int level_max = kPageLevelMax;;) {
    LARDER_ASSIGN_OR_RETURN(const PageView node, source_->Get(ref));
    const int level = node.level();
    if (level > level_max) return BadLevel(ref, node);
    if (level == 0) return rank + node.LowerBound(key);
    const int below = node.ChildFor(key);
    for (int i = 0; i < below; ++i) rank += node.child(i).entries;
    level_max = level - 1;
    ref = node.child(below);
  }
}

absl::Status Tree::Walk(absl::string_view from, VisitFn visit) const {
  if (root_.page == 0) return absl::OkStatus();
  EntryWalk walk{*source_, from, visit, /*damaged=*/nullptr};
  return walk.Run(root_, kAnyLevel, Fences{});
}

absl::Status Tree::WalkDespiteDamage(absl::string_view from, VisitFn visit,
                                     DamageFn damaged) const {
  if (root_.page == 0) return absl::OkStatus();
  EntryWalk walk{*source_, from, visit, &damaged};
  return walk.Run(root_, kAnyLevel, Fences{});
}

absl::Status Tree::VisitPages(absl::FunctionRef<void(const PageInfo&)> visit,
                              DamageFn damaged) const {
  if (root_.page == 0) return absl::OkStatus();
  PageWalk walk{*source_, visit, damaged};
  return walk.Run(root_, kAnyLevel, Fences{});
}

absl::Status Tree::VisitLeavesSince(
    uint64_t since,
    absl::FunctionRef<absl::Status(const LeafInfo&)> visit) const {
  const auto go_on = [&](const LeafInfo& info) -> absl::StatusOr<bool> {
    LARDER_RETURN_IF_ERROR(visit(info));
    return true;
  };
  return DeltaWalk{*source_, since, /*from=*/{}, go_on, /*damaged=*/nullptr}
      .RunFromRoot(root_);
}

absl::Status Tree::VisitLeavesSinceDespiteDamage(
    uint64_t since, absl::string_view from,
    absl::FunctionRef<bool(const LeafInfo&)> visit, DamageFn damaged) const {
  const auto pass = [&](const LeafInfo& info) -> absl::StatusOr<bool> {
    return visit(info);
  };
  return DeltaWalk{*source_, since, from, pass, &damaged}.RunFromRoot(root_);
}

}  // namespace larder::cache::l2
