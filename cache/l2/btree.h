// Copy-on-write B+ trees over verified pages: lookups, walks, and the merge of
// a sorted batch into a new root.
#ifndef LARDER_CACHE_L2_BTREE_H_
#define LARDER_CACHE_L2_BTREE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/l2/page.h"

namespace larder::cache::l2 {

// Where verified pages come from. Thread-safe. A returned view stays readable
// while the caller keeps the page from reuse (a reader slot, or a pin).
class PageSource {
 public:
  virtual ~PageSource() = default;
  // Errors: kDataLoss naming file, offset and reason.
  virtual absl::StatusOr<PageView> Get(const ChildRef& ref) const = 0;
};

// Where a merge puts its new pages and says which old ones it replaced.
// Single-owner: the committer.
class PageSink {
 public:
  virtual ~PageSink() = default;
  // A page number that nothing reachable uses.
  virtual absl::StatusOr<uint64_t> Allocate() = 0;
  // `bytes` is one whole page; copied before it returns.
  virtual absl::Status Write(uint64_t page, absl::string_view bytes) = 0;
  // `page`, of an older epoch (or of an earlier batch of this one), is not
  // reachable from the new root.
  virtual void Free(uint64_t page) = 0;
};

// One tree at one root. A cheap value. Thread-safe for reading.
//
// Keys compare as unsigned bytes. An empty tree has page 0; its epoch is that
// of the batch that emptied it (0: never held anything).
//
// Errors of every call: kDataLoss for a damaged page, and what `source` says.
class Tree {
 public:
  Tree(const PageSource* source, ChildRef root)
      : source_(source), root_(root) {}

  const ChildRef& root() const { return root_; }

  // The value of `key`, pointing into its page.
  absl::StatusOr<std::optional<absl::string_view>> Find(
      absl::string_view key) const;

  // Number of keys < `key`. Reads one page of each level.
  absl::StatusOr<uint64_t> Rank(absl::string_view key) const;

  // Visits entries with key >= `from` in order, until `visit` returns false or
  // the tree ends. Views are valid as long as their pages.
  // WalkDespiteDamage() reports a damaged page (kDataLoss) to `damaged` with
  // the key range that is lost, [low, high), where an empty `high` means the
  // end, and goes on behind it. Walk() ends with its status. A page may turn to
  // zeros while it is visited, and is reported then, too: of what was visited
  // of it, some may have been zeros.
  using VisitFn =
      absl::FunctionRef<bool(absl::string_view key, absl::string_view value)>;
  struct Damage {
    std::string low;
    std::string high;
    absl::Status status;
    ChildRef ref;  // As its parent, or the superblock, names it.
  };
  using DamageFn = absl::FunctionRef<void(const Damage&)>;
  absl::Status Walk(absl::string_view from, VisitFn visit) const;
  absl::Status WalkDespiteDamage(absl::string_view from, VisitFn visit,
                                 DamageFn damaged) const;

  // Visits every page below the root, parents first, with the fences that
  // bound it; checks that keys lie within them, that levels descend by one,
  // that no child is newer than its parent and that counts add up. A page that
  // fails is reported, not visited, and the walk goes on behind it. One that
  // turns to zeros beside the walk is reported as well, after its visit.
  struct PageInfo {
    ChildRef ref;
    int level = 0;
    absl::string_view low;   // Inclusive.
    absl::string_view high;  // Exclusive; empty: no bound.
  };
  absl::Status VisitPages(absl::FunctionRef<void(const PageInfo&)> visit,
                          DamageFn damaged) const;

  // Visits, in key order, the leaves written after epoch `since`, each with
  // its key range and entries: a complete delta, deletions included (design.md,
  // L2 invariant 6). Subtrees not newer than `since` are not read. A tree that
  // became empty after `since` shows as one empty leaf without bounds.
  struct LeafInfo {
    PageView leaf;
    absl::string_view low;
    absl::string_view high;  // Empty: no bound.
  };
  absl::Status VisitLeavesSince(
      uint64_t since,
      absl::FunctionRef<absl::Status(const LeafInfo&)> visit) const;
  // The same for leaves with keys >= `from`, until `visit` returns false. A
  // damaged page is reported as by WalkDespiteDamage(): what it held is part
  // of the delta, and unknown.
  absl::Status VisitLeavesSinceDespiteDamage(
      uint64_t since, absl::string_view from,
      absl::FunctionRef<bool(const LeafInfo&)> visit, DamageFn damaged) const;

 private:
  const PageSource* source_;
  ChildRef root_;
};

// One change of a batch. Views must live through ApplyBatch().
struct TreeOp {
  absl::string_view key;
  // Read only after the resolver chose kPut, which may still set it.
  absl::string_view value;
};

// What becomes of a key, decided when the merge meets it.
enum class Resolution { kKeep, kPut, kErase };
// `op_index` indexes the batch; `existing` is the tree's value now, if any
// (valid during the call). kPut stores op.value. kKeep leaves the tree as it
// is (also when the key is absent). Called once for each op, in key order.
using Resolver = absl::FunctionRef<Resolution(
    size_t op_index, std::optional<absl::string_view> existing)>;

// Merges `ops` (sorted by key, keys distinct) into the tree at `root`, copying
// what changes to new pages of `epoch`.
// Requires: keys of at most kTreeKeyBytesMax, with the value kEntryBytesMax;
// `epoch` <= kTreeNumberMax. Old pages stay readable through the call.
//
// A leaf that no op changes (kKeep, or kErase of an absent key) is not
// rewritten. A leaf whose key range changes is, also when a neighbour
// disappears. Nodes that shrink below a quarter of a page are joined with a
// neighbour below the same parent; a leaf without one joins its right
// neighbour below the next parent. So only the last leaf of a tree can be
// empty. A damaged leaf is left alone as long as no op is for it. A leaf that
// grows at its right end splits full, so that ascending
// keys pack densely.
// Reads old pages from `source`; once all is written, every page that left
// the tree goes to sink->Free() once.
// Returns: the new root; `root` itself if nothing changed; page 0 and `epoch`
// when the tree became empty.
// Errors: what `source` and `sink` say; kFailedPrecondition if `root` is newer
// than `epoch`. The old root is intact then, nothing was freed, and pages
// allocated so far are the caller's to free (it knows what it handed out).
// Memory: O(pages changed); nodes are written as soon as their parent's
// children are final.
absl::StatusOr<ChildRef> ApplyBatch(const PageSource* source, PageSink* sink,
                                    const ChildRef& root, uint64_t epoch,
                                    absl::Span<const TreeOp> ops,
                                    Resolver resolve);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_BTREE_H_
