#include "backup/internal/snapshot_map.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/hlc.h"
#include "cache/name_hash.h"
#include "cache/record_fingerprint.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {
namespace {

uint64_t FingerprintOf(const backup::format::Record& record) {
  return cache::RecordFingerprint(cache::NameHash(record.ns(), record.key()),
                                  cache::Hlc{record.hlc()});
}

}  // namespace

SnapshotMap::SnapshotMap(const backup::Archive* archive,
                         const std::vector<backup::SnapshotEntry>* chain,
                         const std::vector<uint16_t>& sources,
                         FrameFiles* frames,
                         const backup::Cancellation* cancellation) {
  for (size_t i = chain->size(); i-- > 0;) {
    layers_.push_back(std::make_unique<LayerMap>(
        archive, &(*chain)[i].manifest, sources[i], frames, cancellation));
  }
}

absl::StatusOr<std::optional<PlacedRecord>> SnapshotMap::Find(
    const BlobPlace& place) {
  // What the newer ones keep of what is below them.
  std::vector<LayerMap::Answer> above;
  for (const std::unique_ptr<LayerMap>& layer : layers_) {
    LARDER_ASSIGN_OR_RETURN(LayerMap::Answer answer, layer->Ask(place));
    if (answer.gap != nullptr) return answer.gap->reason;
    if (answer.chunk == nullptr) continue;
    const RecordsChunk& chunk = answer.chunk->records;
    const size_t i = chunk.FirstNotBefore(place);
    if (i < chunk.records.size() && chunk.records[i].place() == place) {
      const uint64_t fingerprint = FingerprintOf(chunk.records[i].record);
      for (const LayerMap::Answer& newer : above) {
        const KeptRange* range = newer.chunk->records.RangeOf(place);
        if (!range->kept.contains(fingerprint)) {
          return std::optional<PlacedRecord>();
        }
      }
      return TakeRecord(layer.get(), answer.chunk.get(), i);
    }
    if (!chunk.is_delta) break;
    const KeptRange* range = chunk.RangeOf(place);
    if (range == nullptr) continue;
    if (range->kept.empty()) break;
    above.push_back(std::move(answer));
  }
  return std::optional<PlacedRecord>();
}

absl::StatusOr<bool> SnapshotMap::IsHidden(size_t i, const BlobPlace& place,
                                           uint64_t fingerprint) {
  for (size_t newer = 0; newer < i; ++newer) {
    LARDER_ASSIGN_OR_RETURN(const LayerMap::Answer answer,
                            layers_[newer]->Ask(place));
    if (answer.gap != nullptr) return answer.gap->reason;
    if (answer.chunk == nullptr) continue;
    const KeptRange* range = answer.chunk->records.RangeOf(place);
    if (range != nullptr && !range->kept.contains(fingerprint)) return true;
  }
  return false;
}

absl::StatusOr<std::optional<PlacedRecord>> TakeRecord(LayerMap* layer,
                                                       LayerMap::Chunk* chunk,
                                                       size_t i) {
  LARDER_RETURN_IF_ERROR(layer->Locate(chunk, i));
  if (chunk->records.HasAllFrames(i)) {
    return std::make_optional(chunk->records.records[i]);
  }
  if (chunk->records.WasUnreadable(i) || chunk->frames_lost.ok()) {
    return std::optional<PlacedRecord>();
  }
  return absl::DataLossError(chunk->frames_lost.message());
}

}  // namespace larder::backup_internal
