#include "backup/internal/frame_places.h"

#include <utility>

#include "absl/strings/str_format.h"

namespace larder::backup_internal {

absl::Status PlaceReferences(const backup::format::Manifest& manifest,
                             PlacedRecord* placed, uint32_t* frames_seen) {
  const auto& sizes = placed->record.frame_stored_bytes();
  for (const auto& at : placed->record.frames_at()) {
    if (at.pack() >= static_cast<uint32_t>(manifest.references_size()) ||
        at.frames() > static_cast<uint32_t>(sizes.size()) - *frames_seen) {
      return absl::DataLossError("frames: places and record do not match");
    }
    FramesPlace place = {
        .pack = manifest.references(static_cast<int>(at.pack())).name(),
        .offset = at.offset(),
        .frames = at.frames(),
        .bytes = 0};
    for (uint32_t i = 0; i < at.frames(); ++i) {
      place.bytes += sizes.Get(static_cast<int>((*frames_seen)++));
    }
    placed->places.push_back(std::move(place));
  }
  return absl::OkStatus();
}

absl::Status PlaceRun(const backup::format::FrameRun& run, FramesPlace at,
                      PlacedRecord* placed, uint32_t* frames_seen) {
  const auto& sizes = placed->record.frame_stored_bytes();
  if (run.frames() > static_cast<uint32_t>(sizes.size()) - *frames_seen) {
    return absl::DataLossError("frames: more than the record has");
  }
  uint64_t expected = 0;
  for (uint32_t i = 0; i < run.frames(); ++i) {
    expected += sizes.Get(static_cast<int>(*frames_seen + i));
  }
  if (expected != run.bytes()) {
    return absl::DataLossError(absl::StrFormat("frames: run of %d bytes vs %d",
                                               run.bytes(), expected));
  }
  *frames_seen += run.frames();
  if (run.frames() > 0) {
    at.frames = run.frames();
    at.bytes = run.bytes();
    placed->places.push_back(std::move(at));
  }
  return absl::OkStatus();
}

}  // namespace larder::backup_internal
