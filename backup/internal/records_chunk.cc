#include "backup/internal/records_chunk.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "backup/format/message.h"
#include "backup/format/names.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::format::FrameRun;
using backup::format::FramesIndex;
using backup::format::Record;
using backup::format::Records;

namespace {

absl::StatusOr<BlobPlace> PlaceOfName(absl::string_view name) {
  absl::string_view ns;
  absl::string_view key;
  if (!backup::format::SplitBlobName(name, &ns, &key)) {
    return absl::DataLossError("records: the range's end is no name");
  }
  return BlobPlace{std::string(ns), std::string(key)};
}

}  // namespace

absl::StatusOr<RecordsChunk> RecordsChunk::Parse(
    absl::string_view payload, uint64_t sequence, bool is_delta,
    const backup::format::Manifest& manifest) {
  Records message;
  LARDER_RETURN_IF_ERROR(backup::format::ParseMessage(payload, &message));
  if (is_delta != !message.ranges().empty()) {
    return absl::DataLossError("a delta has ranges, and a full dump has none");
  }
  RecordsChunk chunk;
  chunk.sequence = sequence;
  chunk.is_delta = is_delta;
  chunk.first = is_delta ? message.first_range() : message.first_record();
  chunk.count = static_cast<uint64_t>(is_delta ? message.ranges_size()
                                               : message.records_size());
  if (is_delta) {
    LARDER_ASSIGN_OR_RETURN(chunk.ranges, ReadKeptRanges(message, BlobPlace()));
    chunk.low = chunk.ranges.front().from;
  } else {
    if (!message.low().empty()) {
      LARDER_ASSIGN_OR_RETURN(chunk.low, PlaceOfName(message.low()));
    }
    chunk.high_is_end = message.high().empty();
    if (!chunk.high_is_end) {
      LARDER_ASSIGN_OR_RETURN(chunk.high, PlaceOfName(message.high()));
    }
  }
  LARDER_RETURN_IF_ERROR(chunk.TakeRecords(&message));
  for (size_t i = 0; i < chunk.records.size(); ++i) {
    LARDER_RETURN_IF_ERROR(
        PlaceReferences(manifest, &chunk.records[i], &chunk.frames_seen_[i]));
  }
  return chunk;
}

absl::Status RecordsChunk::TakeRecords(Records* message) {
  for (Record& record : *message->mutable_records()) {
    PlacedRecord placed;
    placed.record = std::move(record);
    const BlobPlace place = placed.place();
    if (!records.empty() && place <= records.back().place()) {
      return absl::DataLossError("records out of order");
    }
    const bool in_range = StartsNotBehind(place) &&
                          (is_delta ? RangeOf(place) != nullptr : Tells(place));
    if (!in_range) return absl::DataLossError("a record is not in its range");
    records.push_back(std::move(placed));
  }
  frames_seen_.resize(records.size());
  return absl::OkStatus();
}

absl::Status RecordsChunk::TakeFrames(absl::string_view index,
                                      const FramesPlace& frames) {
  FramesIndex message;
  LARDER_RETURN_IF_ERROR(backup::format::ParseMessage(index, &message));
  if (message.records_sequence() != sequence) {
    return absl::DataLossError(absl::StrFormat(
        "frames: of chunk %d vs %d", message.records_sequence(), sequence));
  }
  uint64_t at = 0;
  for (const FrameRun& run : message.runs()) {
    if (run.record() >= records.size() || run.bytes() > frames.bytes - at) {
      return absl::DataLossError("frames: index and records do not match");
    }
    if (run.unreadable()) unreadable_.insert(run.record());
    FramesPlace start = frames;
    start.offset += at;
    at += run.bytes();
    // Behind a chunk of frames that is lost, those of this record are of no
    // use; others' are.
    if (run.first_frame() != frames_seen_[run.record()]) continue;
    LARDER_RETURN_IF_ERROR(PlaceRun(run, std::move(start),
                                    &records[run.record()],
                                    &frames_seen_[run.record()]));
  }
  return absl::OkStatus();
}

bool RecordsChunk::StartsNotBehind(const BlobPlace& place) const {
  if (is_delta) return low <= place;
  return low < place || low == BlobPlace();
}

bool RecordsChunk::Tells(const BlobPlace& place) const {
  return is_delta ? place < ranges.back().until : high_is_end || place <= high;
}

const KeptRange* RecordsChunk::RangeOf(const BlobPlace& place) const {
  auto it = std::upper_bound(
      ranges.begin(), ranges.end(), place,
      [](const BlobPlace& p, const KeptRange& r) { return p < r.from; });
  if (it == ranges.begin()) return nullptr;
  --it;
  return place < it->until ? &*it : nullptr;
}

size_t RecordsChunk::FirstNotBefore(const BlobPlace& place) const {
  return static_cast<size_t>(
      std::lower_bound(records.begin(), records.end(), place,
                       [](const PlacedRecord& r, const BlobPlace& p) {
                         return r.place() < p;
                       }) -
      records.begin());
}

}  // namespace larder::backup_internal
