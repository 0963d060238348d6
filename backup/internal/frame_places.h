// Where in packs the frames of a record lie.
#ifndef LARDER_BACKUP_INTERNAL_FRAME_PLACES_H_
#define LARDER_BACKUP_INTERNAL_FRAME_PLACES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/blob_place.h"

namespace larder::backup_internal {

// Where frames of a record lie, one after the other.
struct FramesPlace {
  std::string pack;     // Its name.
  uint64_t offset = 0;  // In the pack.
  uint32_t frames = 0;
  uint64_t bytes = 0;
};

struct PlacedRecord {
  backup::format::Record record;
  std::vector<FramesPlace> places;

  BlobPlace place() const { return {record.ns(), record.key()}; }
};

// Both take what they are given to be hostile, and add to `*frames_seen`, how
// many of the record's frames have a place. Errors: kDataLoss.

// Adds the places that a record of a folded dump names itself.
absl::Status PlaceReferences(const backup::format::Manifest& manifest,
                             PlacedRecord* placed, uint32_t* frames_seen);
// Adds a run that starts at `offset` of `pack`.
// Requires: run.first_frame() == *frames_seen.
absl::Status PlaceRun(const backup::format::FrameRun& run,
                      const std::string& pack, uint64_t offset,
                      PlacedRecord* placed, uint32_t* frames_seen);

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_FRAME_PLACES_H_
