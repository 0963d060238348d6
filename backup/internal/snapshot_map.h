// Finds the records of a snapshot, a full dump and the deltas on it, by name.
#ifndef LARDER_BACKUP_INTERNAL_SNAPSHOT_MAP_H_
#define LARDER_BACKUP_INTERNAL_SNAPSHOT_MAP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "backup/internal/blob_place.h"
#include "backup/internal/frame_files.h"
#include "backup/internal/frame_places.h"
#include "backup/internal/layer_map.h"

namespace larder::backup_internal {

// Single-owner. Memory: a LayerMap for each dump.
class SnapshotMap {
 public:
  // `chain` as Archive::Chain() gives it, `sources` the index of the cache in
  // each. Borrows all; `cancellation` may be null.
  SnapshotMap(const backup::Archive* archive,
              const std::vector<backup::SnapshotEntry>* chain,
              const std::vector<uint16_t>& sources, FrameFiles* frames,
              const backup::Cancellation* cancellation);

  // The record that the snapshot has at `place`, with the places of all its
  // frames; nothing: there is none, or the source could not read it.
  // Errors: kDataLoss when that cannot be told; kCancelled;
  // kFailedPrecondition; what the file system says.
  absl::StatusOr<std::optional<PlacedRecord>> Find(const BlobPlace& place);

  // From the newest delta, which is 0, to the full dump.
  size_t layers() const { return layers_.size(); }
  LayerMap* layer(size_t i) { return layers_[i].get(); }
  // Whether a record of layer `i` is gone as of a newer one.
  // Errors: as Find().
  absl::StatusOr<bool> IsHidden(size_t i, const BlobPlace& place,
                                uint64_t fingerprint);

 private:
  std::vector<std::unique_ptr<LayerMap>> layers_;
};

// Record `i` of the chunk with the places of its frames; nothing: the source
// could not read them. Errors: kDataLoss, and as LayerMap.
absl::StatusOr<std::optional<PlacedRecord>> TakeRecord(LayerMap* layer,
                                                       LayerMap::Chunk* chunk,
                                                       size_t i);

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_SNAPSHOT_MAP_H_
