#include "cache/l2/tombstone_coverage.h"

#include "cache/l2/system_tree.h"

namespace larder::cache::l2 {

void TombstoneCoverage::Add(const Namespace& ns, const Tombstone& tombstone) {
  Entry& entry = entries_[TombstoneEntryKey(ns.id(), tombstone)];
  if (entry.tombstone.hlc <= tombstone.hlc) entry.tombstone = tombstone;
}

void TombstoneCoverage::Note(const Namespace& ns, absl::string_view key,
                             const Record& record) {
  if (ns.IsValid(key, record.hlc, record.invalidation_hashes)) return;
  const auto note = [&](TombstoneKind kind, absl::string_view value) {
    const auto it = entries_.find(TombstoneEntryKey(
        ns.id(), {kind, ns.name(), std::string(value), Hlc()}));
    if (it != entries_.end() && record.hlc <= it->second.tombstone.hlc) {
      it->second.covers = true;
    }
  };
  for (const uint64_t hash : record.invalidation_hashes) {
    const absl::string_view value(reinterpret_cast<const char*>(&hash),
                                  sizeof(hash));
    note(TombstoneKind::kTag, value);
    note(TombstoneKind::kDependency, value);
  }
  for (size_t length = 1; length <= key.size(); ++length) {
    note(TombstoneKind::kPrefix, key.substr(0, length));
  }
}

}  // namespace larder::cache::l2
