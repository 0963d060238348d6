#include "cache/l2/lost_invalidations.h"

#include <algorithm>
#include <iterator>

#include "cache/l2/coding.h"
#include "cache/l2/system_tree.h"
#include "cache/tombstone.h"

namespace larder::cache::l2 {
namespace {

// Whether keys of [low, high) can begin with `prefix`.
bool Touches(absl::string_view low, absl::string_view high,
             absl::string_view prefix) {
  return (high.empty() || high > prefix) &&
         low.substr(0, prefix.size()) <= prefix;
}

std::string TombstonesOf(uint32_t ns_id) {
  std::string prefix(1, kTombstoneTag);
  AppendBig32(&prefix, ns_id);
  return prefix;
}

}  // namespace

void LostInvalidations::Add(absl::string_view low, absl::string_view high,
                            Hlc through) {
  if (!Touches(low, high, absl::string_view(&kNamespaceTag, 1)) &&
      !Touches(low, high, absl::string_view(&kTombstoneTag, 1))) {
    return;
  }
  ranges_[std::string(low)] = {std::string(high), through};
}

const LostInvalidations::Range* LostInvalidations::RangeOf(
    absl::string_view key) const {
  auto behind = ranges_.upper_bound(key);
  if (behind == ranges_.begin()) return nullptr;
  const Range& range = std::prev(behind)->second;
  return range.high.empty() || key < range.high ? &range : nullptr;
}

std::optional<Hlc> LostInvalidations::MayBeFlushed(
    absl::string_view name) const {
  const Range* range = RangeOf(NamespaceEntryKey(name));
  if (range == nullptr) return std::nullopt;
  return range->through;
}

std::optional<Hlc> LostInvalidations::NewestUnder(
    absl::string_view prefix) const {
  std::optional<Hlc> newest;
  for (const auto& [low, range] : ranges_) {
    if (Touches(low, range.high, prefix)) {
      newest = std::max(newest.value_or(range.through), range.through);
    }
  }
  return newest;
}

std::optional<Hlc> LostInvalidations::AnyMayBeFlushed() const {
  return NewestUnder(absl::string_view(&kNamespaceTag, 1));
}

std::optional<Hlc> LostInvalidations::MayHaveHadTombstones(
    uint32_t ns_id) const {
  return NewestUnder(TombstonesOf(ns_id));
}

bool LostInvalidations::Holds(absl::string_view key, Hlc hlc) const {
  const Range* range = RangeOf(key);
  return range != nullptr && hlc <= range->through;
}

bool LostInvalidations::MayCover(uint32_t ns_id, absl::string_view key,
                                 const Record& record) const {
  const std::optional<Hlc> newest = MayHaveHadTombstones(ns_id);
  if (!newest.has_value() || record.hlc > *newest) return false;
  Tombstone t;
  for (const uint64_t hash : record.invalidation_hashes) {
    t.value.clear();
    AppendFixed64(&t.value, hash);
    // A record does not tell which of the two it is of.
    for (const TombstoneKind kind :
         {TombstoneKind::kTag, TombstoneKind::kDependency}) {
      t.kind = kind;
      if (Holds(TombstoneEntryKey(ns_id, t), record.hlc)) return true;
    }
  }
  t.kind = TombstoneKind::kPrefix;
  for (size_t length = 0; length <= key.size(); ++length) {
    t.value = std::string(key.substr(0, length));
    if (Holds(TombstoneEntryKey(ns_id, t), record.hlc)) return true;
  }
  return false;
}

}  // namespace larder::cache::l2
