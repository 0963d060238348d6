#include "backup/internal/snapshot_records.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/hlc.h"
#include "cache/name_hash.h"
#include "cache/record_fingerprint.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

absl::StatusOr<std::unique_ptr<SnapshotRecords>> SnapshotRecords::Open(
    const backup::Archive* archive,
    const std::vector<backup::SnapshotEntry>* chain, absl::string_view source,
    const backup::Cancellation* cancellation) {
  std::unique_ptr<SnapshotRecords> records(new SnapshotRecords());
  for (const backup::SnapshotEntry& entry : *chain) {
    const auto& sources = entry.manifest.header().sources();
    std::optional<uint16_t> index;
    for (int i = 0; i < sources.size(); ++i) {
      if (sources.Get(i).name() == source &&
          sources.Get(i).cache().blobs_included() &&
          entry.manifest.trailer().sources(i).status_code() == 0) {
        index = static_cast<uint16_t>(i);
      }
    }
    if (!index.has_value()) {
      return absl::NotFoundError(absl::StrCat(
          "snapshot ", entry.id, ": holds no blobs of source ", source));
    }
    records->layers_.push_back(std::make_unique<LayerReader>(
        archive, &entry.manifest, *index, cancellation));
  }
  return records;
}

absl::StatusOr<std::optional<PlacedRecord>> SnapshotRecords::Next() {
  while (true) {
    // The least place that any layer is at. A delta that has come to the end of
    // its ranges goes on first: it may have another that starts there.
    std::optional<BlobPlace> least;
    size_t newest = 0;
    bool is_record = false;
    for (size_t i = 0; i < layers_.size(); ++i) {
      LARDER_ASSIGN_OR_RETURN(const LayerReader::Head head, layers_[i]->Peek());
      if (head.at_end) continue;
      const bool record = head.record != nullptr;
      if (!least.has_value() || head.place < *least ||
          (head.place == *least && (!record || is_record))) {
        least = head.place;
        newest = i;
        is_record = record;
      }
    }
    if (!least.has_value()) return std::optional<PlacedRecord>();
    if (!is_record) {
      layers_[newest]->Advance();
      continue;
    }
    PlacedRecord found;
    for (size_t i = 0; i < layers_.size(); ++i) {
      LARDER_ASSIGN_OR_RETURN(const LayerReader::Head head, layers_[i]->Peek());
      if (head.at_end || head.place != *least) continue;
      if (i == newest) found = std::move(*head.record);
      layers_[i]->Advance();
    }
    const uint64_t fingerprint = cache::RecordFingerprint(
        cache::NameHash(least->ns, least->key), cache::Hlc{found.record.hlc()});
    bool hidden = false;
    for (size_t i = newest + 1; i < layers_.size() && !hidden; ++i) {
      hidden = layers_[i]->Hides(*least, fingerprint);
    }
    if (!hidden) return std::optional<PlacedRecord>(std::move(found));
  }
}

}  // namespace larder::backup_internal
