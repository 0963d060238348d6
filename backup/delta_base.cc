#include "backup/delta_base.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/format/limits.h"
#include "backup/verification.h"

namespace larder::backup {
namespace {

bool IsFull(const SnapshotEntry& entry) {
  return entry.deltas >= format::kDeltasPerChainMax;
}

// Without sources that failed. Nothing: it has no blobs.
std::optional<format::DumpHeader> HeaderOfBlobs(const SnapshotEntry& entry) {
  format::DumpHeader header = entry.manifest.header();
  header.clear_sources();
  bool has_blobs = false;
  for (int i = 0; i < entry.manifest.header().sources_size(); ++i) {
    if (entry.manifest.trailer().sources(i).status_code() != 0) continue;
    const format::SourceInfo& source = entry.manifest.header().sources(i);
    has_blobs = has_blobs || source.cache().blobs_included();
    *header.add_sources() = source;
  }
  if (!has_blobs) return std::nullopt;
  return header;
}

// Whether it has blobs of a lineage that is not in `lineages`.
bool IsOfNew(const format::DumpHeader& header,
             const absl::flat_hash_set<std::string>& lineages) {
  return absl::c_any_of(header.sources(), [&](const format::SourceInfo& s) {
    return s.cache().blobs_included() &&
           !lineages.contains(s.cache().lineage());
  });
}

// Which snapshots were found damaged, they or what they build on.
class KnownDamage {
 public:
  KnownDamage(const Archive& archive,
              const std::vector<SnapshotEntry>& snapshots)
      : archive_(archive) {
    for (const SnapshotEntry& entry : snapshots) by_id_[entry.id] = &entry;
  }

  bool Of(const SnapshotEntry& entry) {
    const auto [it, added] = known_.try_emplace(entry.id, false);
    if (!added) return it->second;
    bool damaged = IsFoundDamaged(archive_, entry);
    const auto base = by_id_.find(entry.manifest.header().base_snapshot_id());
    // A chain is as long as it may be at most: an entry that is complete has
    // none that leads back to itself.
    if (base != by_id_.end()) damaged = Of(*base->second) || damaged;
    return known_[entry.id] = damaged;
  }

 private:
  const Archive& archive_;
  absl::flat_hash_map<std::string, const SnapshotEntry*> by_id_;
  absl::flat_hash_map<std::string, bool> known_;
};

// Why nothing can build on it; empty: something can.
std::string WhyNot(const SnapshotEntry& entry, KnownDamage* damage) {
  if (!entry.complete) return entry.incomplete_reason;
  if (!HeaderOfBlobs(entry).has_value()) return "it has no blobs";
  if (IsFull(entry)) {
    return absl::StrCat(format::kDeltasPerChainMax, " deltas are below it");
  }
  if (damage->Of(entry)) {
    return "it, or what it builds on, was found damaged when it was verified";
  }
  return "";
}

}  // namespace

absl::StatusOr<std::vector<format::DumpHeader>> FindDeltaBases(
    const Archive& archive, const std::vector<SnapshotEntry>& snapshots,
    absl::string_view id) {
  KnownDamage damage(archive, snapshots);
  std::vector<format::DumpHeader> bases;
  absl::flat_hash_set<std::string> lineages;
  for (auto it = snapshots.rbegin();
       it != snapshots.rend() && bases.size() < kDeltaBasesMax; ++it) {
    if (!it->status.ok() || (!id.empty() && it->id != id)) continue;
    std::optional<format::DumpHeader> header = HeaderOfBlobs(*it);
    if (id.empty() &&
        !(it->complete && header.has_value() && IsOfNew(*header, lineages))) {
      continue;
    }
    const std::string why_not = WhyNot(*it, &damage);
    if (!why_not.empty() && !id.empty()) {
      return absl::NotFoundError(
          absl::StrCat("snapshot ", id, ": cannot be built on: ", why_not));
    }
    // The newest one decides, also when it is full: on an older one a delta
    // grows. On a damaged one it would be lost.
    if (!why_not.empty() && !IsFull(*it)) continue;
    for (const format::SourceInfo& source : header->sources()) {
      if (source.cache().blobs_included()) {
        lineages.insert(source.cache().lineage());
      }
    }
    if (why_not.empty()) bases.push_back(*std::move(header));
  }
  if (bases.empty() && !id.empty()) {
    return absl::NotFoundError(
        absl::StrCat("snapshot ", id, " does not exist"));
  }
  return bases;
}

}  // namespace larder::backup
