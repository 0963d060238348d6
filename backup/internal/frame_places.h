// Where in packs the frames of a record lie.
#ifndef LARDER_BACKUP_INTERNAL_FRAME_PLACES_H_
#define LARDER_BACKUP_INTERNAL_FRAME_PLACES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/format/dump_seal.h"
#include "backup/internal/blob_place.h"

namespace larder::backup_internal {

// A sealed chunk of frames and what opens it. Immutable.
struct SealedChunk {
  backup::format::ChunkHeader header;
  uint64_t payload_at = 0;  // In the pack.
  backup::format::DumpSeal seal;
};

// Where frames of a record lie, one after the other.
struct FramesPlace {
  std::string pack = {};  // Its name.
  // In the pack; of a sealed chunk, whose payload is as long as it is once it
  // is opened, as if it were in the clear.
  uint64_t offset = 0;
  uint32_t frames = 0;
  uint64_t bytes = 0;
  std::shared_ptr<const SealedChunk> sealed = nullptr;  // Null: in the clear.
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
// Adds a run that starts at `at`, whose frames and bytes do not count.
// Requires: run.first_frame() == *frames_seen.
absl::Status PlaceRun(const backup::format::FrameRun& run, FramesPlace at,
                      PlacedRecord* placed, uint32_t* frames_seen);

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_FRAME_PLACES_H_
