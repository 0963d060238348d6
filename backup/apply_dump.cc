#include "backup/apply_dump.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/names.h"
#include "backup/format/record_codec.h"
#include "backup/internal/cache_reader.h"
#include "backup/internal/delta_applier.h"
#include "backup/internal/dump_reader.h"
#include "backup/internal/invalidation_set.h"
#include "backup/internal/loss_reporter.h"
#include "backup/internal/pack_frames.h"
#include "backup/loss.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using backup_internal::CacheReader;
using backup_internal::DeltaApplier;
using backup_internal::InvalidationSet;

// What one message names of the blobs that are missing.
constexpr int kProblemsToldMax = 3;

// What the snapshot knows besides records.
absl::StatusOr<cache::SnapshotInfo> ReadTarget(const Archive& packs,
                                               const format::Manifest& manifest,
                                               uint16_t index) {
  InvalidationSet invalidations;
  LARDER_RETURN_IF_ERROR(backup_internal::ReadInvalidations(
      packs, manifest, index, [](const absl::Status&) {},
      /*cancellation=*/nullptr, &invalidations));
  cache::SnapshotInfo info =
      format::FromMessage(manifest.header().sources(index).cache());
  info.namespaces = invalidations.Namespaces();
  info.tombstones = invalidations.Tombstones();
  info.hlc = std::max(info.hlc, invalidations.newest());
  return info;
}

absl::Status CheckCounts(const format::SourceTotals& totals,
                         const CacheReader::Counts& counts, int64_t missing) {
  if (missing > 0) {
    return absl::DataLossError(
        absl::StrCat("dump: a delta keeps ", missing,
                     " records that the replica does not hold: not its base"));
  }
  if (counts.restored != totals.records_begun()) {
    return absl::DataLossError(
        absl::StrFormat("dump: %d records vs expected %d", counts.restored,
                        totals.records_begun()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<uint16_t> LiveSource(const format::DumpHeader& header) {
  std::optional<uint16_t> chosen;
  for (int i = 0; i < header.sources_size(); ++i) {
    const format::SourceInfo& source = header.sources(i);
    if (source.kind() != format::SOURCE_KIND_BLOB_CACHE) continue;
    if (chosen.has_value()) {
      return absl::FailedPreconditionError(
          "dump: holds several caches vs one that a live replica follows");
    }
    chosen = static_cast<uint16_t>(i);
  }
  if (chosen.has_value() && header.sources(*chosen).cache().blobs_included()) {
    return *chosen;
  }
  return absl::FailedPreconditionError(
      "dump: holds no cache with its blobs, which a live replica needs: back "
      "up with --include-blob-cache");
}

absl::Status CheckNothingMissing(const format::Manifest& manifest) {
  LARDER_ASSIGN_OR_RETURN(const uint16_t index, LiveSource(manifest.header()));
  const format::SourceTotals& totals =
      manifest.trailer().sources(index).totals();
  const int64_t count = totals.problems_count();
  if (count == 0) return absl::OkStatus();
  std::string message =
      absl::StrCat("dump: ", count, count == 1 ? " blob" : " blobs",
                   " could not be read at the primary when it was made");
  // A sealed dump names none in the clear.
  const int told = std::min(kProblemsToldMax, totals.problems_size());
  for (int i = 0; i < told; ++i) {
    absl::StrAppend(&message, i == 0 ? ": " : "; ",
                    format::Printable(totals.problems(i)));
  }
  if (told > 0 && count > told) {
    absl::StrAppend(&message, "; and ", count - told, " more");
  }
  return absl::DataLossError(absl::StrCat(
      message,
      ": a live replica takes all or nothing: put or delete them there, or run "
      "`larder verify --repair` on the primary's L2"));
}

absl::StatusOr<cache::SnapshotInfo> ApplyDump(const Archive& packs,
                                              const format::Manifest& manifest,
                                              OpenLoaderFn open_loader) {
  // Before the manifest is believed.
  LARDER_RETURN_IF_ERROR(packs.SealOf(manifest).status());
  LARDER_ASSIGN_OR_RETURN(const uint16_t index, LiveSource(manifest.header()));
  const format::SourceInfo& source = manifest.header().sources(index);
  const format::SourceEnd& end = manifest.trailer().sources(index);
  if (end.status_code() != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("dump: source ", source.name(),
                     " failed when it was made: ", end.status_message()));
  }
  LARDER_ASSIGN_OR_RETURN(const cache::SnapshotInfo target,
                          ReadTarget(packs, manifest, index));
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<cache::L2Loader> loader,
                          open_loader(target));
  absl::Status first_problem;
  LossTally lost;
  const auto note = [&](const absl::Status& p) { first_problem.Update(p); };
  backup_internal::LossReporter losses(
      &lost, /*listed_max=*/0,
      [&](const Loss& loss) { note(absl::DataLossError(loss.reason)); });
  std::optional<DeltaApplier> delta;
  if (source.cache().base_epoch() != 0) {
    std::vector<std::string> namespaces;
    for (const cache::NamespaceState& n : target.namespaces) {
      namespaces.push_back(n.name);
    }
    LARDER_RETURN_IF_ERROR(loader->StartDelta());
    delta.emplace(source.name(), std::move(namespaces), loader.get(), &losses);
  }
  backup_internal::PackFrames frames(&packs, &manifest);
  CacheReader reader(source.name(), &end.totals(), loader.get(),
                     /*newer=*/nullptr, &losses,
                     delta.has_value() ? &*delta : nullptr, &frames, note);
  LARDER_RETURN_IF_ERROR(
      backup_internal::ReadDump(packs, manifest, {{index, &reader}}, {}, note));
  LARDER_RETURN_IF_ERROR(first_problem);
  LARDER_RETURN_IF_ERROR(CheckCounts(end.totals(), reader.counts(),
                                     delta.has_value() ? delta->missing() : 0));
  return loader->Close();
}

}  // namespace larder::backup
