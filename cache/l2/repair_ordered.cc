#include "cache/l2/repair_ordered.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "cache/l2/tree_builder.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// What an entry costs in memory beside its bytes.
constexpr size_t kEntryOverheadBytes = 64;

// The least entries behind a given key, as many as fit. Single-owner.
class LeastEntries {
 public:
  LeastEntries(std::string behind, size_t bytes_max)
      : behind_(std::move(behind)), bytes_max_(bytes_max) {}

  void Add(OrderedEntry entry) {
    if (entry.key <= behind_) return;
    if (is_full_ && entry.key > heap_.front().key) return;
    bytes_ += CostOf(entry);
    heap_.push_back(std::move(entry));
    std::push_heap(heap_.begin(), heap_.end(), Less);
    while (bytes_ > bytes_max_ && heap_.size() > 1) {
      is_full_ = true;
      std::pop_heap(heap_.begin(), heap_.end(), Less);
      bytes_ -= CostOf(heap_.back());
      heap_.pop_back();
    }
  }
  // Whether there are more behind them.
  bool is_full() const { return is_full_; }
  std::vector<OrderedEntry> TakeSorted() {
    std::sort_heap(heap_.begin(), heap_.end(), Less);
    return std::move(heap_);
  }

 private:
  static bool Less(const OrderedEntry& a, const OrderedEntry& b) {
    return a.key < b.key;
  }
  static size_t CostOf(const OrderedEntry& e) {
    return e.key.size() + e.value.size() + kEntryOverheadBytes;
  }

  const std::string behind_;
  const size_t bytes_max_;
  std::vector<OrderedEntry> heap_;  // The greatest on top.
  size_t bytes_ = 0;
  bool is_full_ = false;
};

}  // namespace

void OrderedRepair::Add(absl::string_view record_key, const Record& record) {
  wanted_ += OrderedRecordHash(kind_, record_key, record);
}

void OrderedRepair::Remove(absl::string_view record_key, const Record& record) {
  wanted_ -= OrderedRecordHash(kind_, record_key, record);
}

absl::Status OrderedRepair::Read() {
  held_ = 0;
  return Tree(pages_, root_)
      .WalkDespiteDamage(
          "",
          [&](absl::string_view key, absl::string_view value) {
            held_ += OrderedEntryHash(key, value);
            return true;
          },
          [](const Tree::Damage&) {});
}

absl::StatusOr<ChildRef> OrderedRepair::Build(const Tree& records,
                                              uint64_t epoch, bool* rebuilt) {
  *rebuilt = false;
  if (Matches()) return root_;
  if (is_whole_) {
    absl::uint128 kept = 0;
    LARDER_ASSIGN_OR_RETURN(const ChildRef pruned,
                            Prune(records, epoch, &kept));
    if (kept == wanted_) return pruned;
  }
  *rebuilt = true;
  return Rebuild(records, epoch);
}

absl::StatusOr<ChildRef> OrderedRepair::Prune(const Tree& records,
                                              uint64_t epoch,
                                              absl::uint128* kept) const {
  return PruneTree(
      pages_, pages_, root_, epoch,
      [&](absl::string_view key, absl::string_view value) {
        uint64_t at;
        absl::string_view record_key;
        if (!SplitOrderedKey(key, &at, &record_key)) return false;
        const auto found = records.Find(record_key);
        if (!found.ok() || !found->has_value()) return false;
        const absl::StatusOr<Record> record = DecodeRecord(**found);
        if (!record.ok()) return false;
        const auto entry = OrderedEntryOf(kind_, record_key, *record);
        if (!entry.has_value() || entry->key != key || entry->value != value) {
          return false;
        }
        *kept += OrderedEntryHash(key, value);
        return true;
      });
}

// Their order is not the records': each pass over these takes the next least.
absl::StatusOr<ChildRef> OrderedRepair::Rebuild(const Tree& records,
                                                uint64_t epoch) const {
  TreeBuilder builder(pages_, epoch);
  std::string last;
  for (bool more = true; more;) {
    LeastEntries least(last, sort_bytes_max_);
    LARDER_RETURN_IF_ERROR(
        records.Walk("", [&](absl::string_view key, absl::string_view value) {
          const absl::StatusOr<Record> record = DecodeRecord(value);
          if (!record.ok()) return true;
          auto entry = OrderedEntryOf(kind_, key, *record);
          if (entry.has_value()) least.Add(*std::move(entry));
          return true;
        }));
    more = least.is_full();
    for (const OrderedEntry& entry : least.TakeSorted()) {
      LARDER_RETURN_IF_ERROR(builder.Add("", entry.key, entry.value));
      last = entry.key;
    }
  }
  return builder.Finish();
}

}  // namespace larder::cache::l2
