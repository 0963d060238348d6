// One chunk of records by itself, and where their frames lie.
#ifndef LARDER_BACKUP_INTERNAL_RECORDS_CHUNK_H_
#define LARDER_BACKUP_INTERNAL_RECORDS_CHUNK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/blob_place.h"
#include "backup/internal/frame_places.h"
#include "backup/internal/kept_ranges.h"

namespace larder::backup_internal {

// What a Records chunk says, checked in itself. A plain value.
class RecordsChunk {
 public:
  // Takes the payload to be hostile. `references`: Manifest.references, in
  // which a folded dump has its frames.
  // Errors: kDataLoss, and what ParseMessage() says.
  static absl::StatusOr<RecordsChunk> Parse(
      absl::string_view payload, uint64_t sequence, bool is_delta,
      const backup::format::Manifest& manifest);

  // Takes the index of a Frames chunk behind it. `frames`: where they start,
  // and how many bytes of them there are.
  // Errors: kDataLoss; what came before stays.
  absl::Status TakeFrames(absl::string_view index, const FramesPlace& frames);

  // Whether `place` is not before the chunk's first: the last chunk that this
  // is true for is the one that tells about the place.
  bool StartsNotBehind(const BlobPlace& place) const;
  // Whether the chunk says whether there is a record at `place`. Requires:
  // StartsNotBehind(place).
  bool Tells(const BlobPlace& place) const;
  // The range of a delta that has the place in it; null: none has.
  const KeptRange* RangeOf(const BlobPlace& place) const;
  // The index of the first record at or behind `place`.
  size_t FirstNotBefore(const BlobPlace& place) const;
  // How many of the frames of record `i` were found.
  bool HasAllFrames(size_t i) const {
    return frames_seen_[i] ==
           static_cast<uint32_t>(records[i].record.frame_checksums_size());
  }
  // The source could not read all frames of record `i`.
  bool WasUnreadable(size_t i) const { return unreadable_.contains(i); }

  uint64_t sequence = 0;
  bool is_delta = false;
  // Records, of a delta ranges, in the chunks before, and in this one.
  uint64_t first = 0;
  uint64_t count = 0;
  BlobPlace low;             // Exclusive, unless it is the first of all places.
  BlobPlace high;            // Inclusive; not of a delta.
  bool high_is_end = false;  // Then `high` means nothing.
  std::vector<KeptRange> ranges;  // Of a delta.
  std::vector<PlacedRecord> records;

 private:
  absl::Status TakeRecords(backup::format::Records* message);

  std::vector<uint32_t> frames_seen_;  // Of each record.
  absl::flat_hash_set<size_t> unreadable_;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_RECORDS_CHUNK_H_
