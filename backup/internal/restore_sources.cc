#include "backup/internal/restore_sources.h"

#include <algorithm>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace larder::backup_internal {

namespace format = backup::format;

absl::StatusOr<uint16_t> ChooseSource(const format::Manifest& manifest,
                                      format::SourceKind kind,
                                      absl::string_view name) {
  std::optional<uint16_t> chosen;
  const std::string& id = manifest.header().snapshot_id();
  for (int i = 0; i < manifest.header().sources_size(); ++i) {
    const format::SourceInfo& source = manifest.header().sources(i);
    if (source.kind() != kind || (!name.empty() && source.name() != name)) {
      continue;
    }
    if (chosen.has_value()) {
      return absl::FailedPreconditionError(
          absl::StrCat("snapshot ", id, ": holds several such sources, ",
                       manifest.header().sources(*chosen).name(), " and ",
                       source.name(), ": name one"));
    }
    chosen = static_cast<uint16_t>(i);
  }
  if (!chosen.has_value()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "snapshot ", id, ": holds no ",
        kind == format::SOURCE_KIND_BLOB_CACHE ? "blob cache" : "files"));
  }
  const format::SourceEnd& end = manifest.trailer().sources(*chosen);
  if (end.status_code() != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "snapshot ", id, ": source ", manifest.header().sources(*chosen).name(),
        " failed when the backup was made: ", end.status_message()));
  }
  return *chosen;
}

bool IsOrDescendsFrom(const format::CacheInfo& other,
                      const format::CacheInfo& cache) {
  return other.lineage() == cache.lineage() ||
         std::find(other.ancestors().begin(), other.ancestors().end(),
                   cache.lineage()) != other.ancestors().end();
}

bool MayTellOfLater(const format::CacheInfo& other,
                    const format::CacheInfo& cache) {
  return IsOrDescendsFrom(other, cache) &&
         (other.lineage() != cache.lineage() || other.epoch() >= cache.epoch());
}

absl::StatusOr<uint16_t> CacheSourceIn(
    const std::vector<backup::SnapshotEntry>& chain, size_t at,
    uint16_t index) {
  if (at + 1 == chain.size()) return index;
  const format::SourceInfo& target =
      chain.back().manifest.header().sources(index);
  const format::DumpHeader& header = chain[at].manifest.header();
  for (int i = 0; i < header.sources_size(); ++i) {
    const format::SourceInfo& info = header.sources(i);
    if (info.name() != target.name() ||
        info.kind() != format::SOURCE_KIND_BLOB_CACHE ||
        info.cache().lineage() != target.cache().lineage() ||
        chain[at].manifest.trailer().sources(i).status_code() != 0) {
      continue;
    }
    for (const auto& above : chain[at + 1].manifest.header().sources()) {
      if (above.name() == target.name() &&
          above.cache().base_epoch() == info.cache().epoch()) {
        return static_cast<uint16_t>(i);
      }
    }
  }
  return absl::DataLossError(absl::StrCat(
      "snapshot ", chain[at].id, ": holds no source ", target.name(),
      " of the epoch that snapshot ", chain[at + 1].id, " builds on"));
}

}  // namespace larder::backup_internal
