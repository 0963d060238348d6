#include "backup/internal/lineage_invalidations.h"

#include <algorithm>
#include <limits>

#include "absl/status/status.h"
#include "backup/internal/restore_sources.h"
#include "cache/hlc.h"
#include "cache/snapshot.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {
namespace {

namespace format = backup::format;

// Up to which HLC every invalidation that `newer` knows of was made before
// `older` was taken.
cache::Hlc KnownThrough(const format::CacheInfo& older,
                        const format::CacheInfo& newer) {
  // A mutation under way may have its HLC and miss the snapshot: by far less.
  constexpr int64_t kUnderWayMsMax = 60'000;
  // Of another lineage nothing is sure, however old. It may have gone its own
  // way before `older` was taken, and at its restore it took in what others of
  // the archive had invalidated on theirs: both with an HLC before older's, and
  // unknown to it. A dump does not say which of what was forgotten that was.
  // What both have inherited is told apart by being equal (InvalidationSet).
  if (newer.lineage() != older.lineage()) return cache::Hlc();
  const int64_t unix_ms = cache::Hlc{older.hlc()}.unix_millis();
  return cache::Hlc::FromUnixMillis(
      std::max<int64_t>(0, unix_ms - kUnderWayMsMax));
}

absl::Status IgnoreProblem(const absl::Status& read, bool* all) {
  if (!read.ok() && !absl::IsDataLoss(read)) return read;
  *all = *all && read.ok();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<bool> CollectInvalidations(const InvalidationsToCollect& from,
                                          InvalidationSet* merged,
                                          InvalidationSet* newer,
                                          InvalidationSet* covering) {
  const auto read = [&](const backup::Archive& archive,
                        const format::Manifest& manifest, uint16_t source,
                        InvalidationSet* set) {
    return ReadInvalidations(
        archive, manifest, source, [](const absl::Status&) {},
        from.cancellation, set);
  };
  LARDER_RETURN_IF_ERROR(
      read(*from.archive, *from.manifest, from.source, merged));
  if (covering != nullptr) {
    // What the snapshot has forgotten itself covers none of its own records.
    covering->SetKnown(cache::Hlc{std::numeric_limits<uint64_t>::max()}, {});
    LARDER_RETURN_IF_ERROR(
        read(*from.archive, *from.manifest, from.source, covering));
  }
  const format::CacheInfo& cache =
      from.manifest->header().sources(from.source).cache();
  const std::vector<cache::NamespaceState> own = merged->Namespaces();
  bool all = true;
  // What `other` has to tell.
  const auto add = [&](const backup::Archive& archive,
                       const format::Manifest& other) -> absl::Status {
    for (int i = 0; i < other.header().sources_size(); ++i) {
      const format::SourceInfo& source = other.header().sources(i);
      if (source.kind() != format::SOURCE_KIND_BLOB_CACHE ||
          !IsOrDescendsFrom(source.cache(), cache) ||
          other.trailer().sources(i).status_code() != 0) {
        continue;
      }
      const auto index = static_cast<uint16_t>(i);
      const absl::Status found = read(archive, other, index, merged);
      if (absl::IsDataLoss(found)) from.problem(found);
      LARDER_RETURN_IF_ERROR(IgnoreProblem(found, &all));
      for (InvalidationSet* set : {newer, covering}) {
        if (set == nullptr) continue;
        set->SetKnown(KnownThrough(cache, source.cache()), own);
        LARDER_RETURN_IF_ERROR(
            IgnoreProblem(read(archive, other, index, set), &all));
      }
    }
    return absl::OkStatus();
  };
  for (const NewerSnapshots& of : from.newer) {
    for (const std::string& id : *of.ids) {
      of.lease->Renew();
      LARDER_ASSIGN_OR_RETURN(const backup::SnapshotEntry other,
                              of.archive->Find(id));
      LARDER_RETURN_IF_ERROR(add(*of.archive, other.manifest));
    }
  }
  return all;
}

}  // namespace larder::backup_internal
