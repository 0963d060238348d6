#include "backup/delta_base.h"

#include <string>
#include <vector>

#include "absl/algorithm/container.h"
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

// The sources that did not fail.
std::vector<const format::SourceInfo*> SourcesOf(const SnapshotEntry& entry) {
  std::vector<const format::SourceInfo*> sources;
  for (int i = 0; i < entry.manifest.header().sources_size(); ++i) {
    if (entry.manifest.trailer().sources(i).status_code() != 0) continue;
    sources.push_back(&entry.manifest.header().sources(i));
  }
  return sources;
}

// Of which it has blobs.
std::vector<absl::string_view> LineagesOf(const SnapshotEntry& entry) {
  std::vector<absl::string_view> lineages;
  for (const format::SourceInfo* source : SourcesOf(entry)) {
    if (source->cache().blobs_included()) {
      lineages.push_back(source->cache().lineage());
    }
  }
  return lineages;
}

format::DumpHeader HeaderOf(const SnapshotEntry& entry) {
  format::DumpHeader header = entry.manifest.header();
  header.clear_sources();
  for (const format::SourceInfo* source : SourcesOf(entry)) {
    *header.add_sources() = *source;
  }
  return header;
}

// Why nothing can build on it; empty: something can.
std::string WhyNot(const SnapshotEntry& entry, KnownDamage* damage) {
  if (!entry.complete) return entry.incomplete_reason;
  if (LineagesOf(entry).empty()) return "it has no blobs";
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
  absl::flat_hash_set<absl::string_view> decided;  // Lineages.
  for (auto it = snapshots.rbegin();
       it != snapshots.rend() && bases.size() < kDeltaBasesMax; ++it) {
    if (!it->status.ok() || (!id.empty() && it->id != id)) continue;
    const std::vector<absl::string_view> lineages = LineagesOf(*it);
    const bool is_newest =
        it->complete && absl::c_any_of(lineages, [&](absl::string_view l) {
          return !decided.contains(l);
        });
    if (id.empty() && !is_newest) continue;
    const std::string why_not = WhyNot(*it, &damage);
    if (!why_not.empty() && !id.empty()) {
      return absl::NotFoundError(
          absl::StrCat("snapshot ", id, ": cannot be built on: ", why_not));
    }
    // The newest one decides, also when it is full: on an older one a delta
    // grows. On a damaged one it would be lost.
    if (!why_not.empty() && !IsFull(*it)) continue;
    decided.insert(lineages.begin(), lineages.end());
    if (why_not.empty()) bases.push_back(HeaderOf(*it));
  }
  if (bases.empty() && !id.empty()) {
    return absl::NotFoundError(
        absl::StrCat("snapshot ", id, " does not exist"));
  }
  return bases;
}

}  // namespace larder::backup
