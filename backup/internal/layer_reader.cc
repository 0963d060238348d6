#include "backup/internal/layer_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/chunk.h"
#include "backup/format/coding.h"
#include "backup/format/message.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::format::ChunkHeader;
using backup::format::ChunkType;
using backup::format::FrameRun;
using backup::format::FramesIndex;
using backup::format::Record;

LayerReader::LayerReader(const backup::Archive* archive,
                         const backup::format::Manifest* manifest,
                         uint16_t source,
                         const backup::Cancellation* cancellation)
    : archive_(archive),
      manifest_(manifest),
      source_(source),
      is_delta_(manifest->header().sources(source).cache().base_epoch() != 0),
      stream_(
          archive, manifest,
          [source,
           sealed = manifest->header().has_encryption()](const ChunkHeader& h) {
            return h.source == source && (h.Is(ChunkType::kRecords) ||
                                          (sealed && h.Is(ChunkType::kFrames)));
          },
          [this](const absl::Status& problem) { problem_.Update(problem); },
          cancellation) {}

absl::Status LayerReader::Bad(const StreamItem& item,
                              absl::string_view what) const {
  return absl::DataLossError(absl::StrFormat(
      "%s: at byte %d: chunk %d: %s", archive_->PackPath(item.pack),
      item.payload_at, item.header.sequence, what));
}

absl::StatusOr<LayerReader::Head> LayerReader::Peek() {
  while (true) {
    if (!started_) {
      started_ = true;
      LARDER_RETURN_IF_ERROR(ReadChunk());
    }
    Head head;
    if (at_end_) {
      head.at_end = true;
      return head;
    }
    if (at_ < records_.size()) {
      head.record = &records_[at_];
      head.place = head.record->place();
      return head;
    }
    if (is_delta_) {
      head.place = ranges_.back().until;
      return head;
    }
    LARDER_RETURN_IF_ERROR(ReadChunk());
  }
}

void LayerReader::Advance() {
  if (at_ < records_.size()) {
    ++at_;
  } else {
    started_ = false;  // The next chunk.
  }
}

bool LayerReader::Hides(const BlobPlace& place, uint64_t fingerprint) {
  while (range_at_ < ranges_.size() && ranges_[range_at_].until <= place) {
    ++range_at_;
  }
  if (range_at_ == ranges_.size()) return false;
  const KeptRange& range = ranges_[range_at_];
  return range.from <= place && !range.kept.contains(fingerprint);
}

absl::Status LayerReader::ReadChunk() {
  records_.clear();
  frames_seen_.clear();
  ranges_.clear();
  at_ = range_at_ = 0;
  bool in_chunk = false;
  if (ahead_.has_value()) {
    LARDER_RETURN_IF_ERROR(TakeRecords(*std::exchange(ahead_, std::nullopt)));
    in_chunk = true;
  }
  while (true) {
    LARDER_ASSIGN_OR_RETURN(StreamItem item, stream_.Next());
    LARDER_RETURN_IF_ERROR(problem_);
    if (item.kind == StreamItem::Kind::kGap) return item.reason;
    if (item.kind == StreamItem::Kind::kEnd) break;
    if (item.header.source != source_) continue;
    if (item.header.Is(ChunkType::kFrames)) {
      LARDER_RETURN_IF_ERROR(TakeFrames(item));
    } else if (item.header.Is(ChunkType::kRecords)) {
      if (in_chunk) {
        ahead_ = std::move(item);
        break;
      }
      LARDER_RETURN_IF_ERROR(TakeRecords(item));
      in_chunk = true;
    }
  }
  at_end_ = !in_chunk;
  // Where all of a record's frames are not there, the source could not read.
  size_t whole = 0;
  for (size_t i = 0; i < records_.size(); ++i) {
    if (static_cast<int>(frames_seen_[i]) !=
        records_[i].record.frame_checksums_size()) {
      continue;
    }
    if (whole != i) records_[whole] = std::move(records_[i]);
    ++whole;
  }
  records_.resize(whole);
  return absl::OkStatus();
}

absl::Status LayerReader::TakeRecords(const StreamItem& item) {
  backup::format::Records message;
  LARDER_RETURN_IF_ERROR(backup::format::ParseMessage(item.payload, &message));
  sequence_ = item.header.sequence;
  if (is_delta_ != !message.ranges().empty()) {
    return Bad(item, "a delta has ranges, and a full dump has none");
  }
  absl::StatusOr<std::vector<KeptRange>> ranges =
      ReadKeptRanges(message, last_);
  if (!ranges.ok()) return Bad(item, ranges.status().message());
  ranges_ = *std::move(ranges);
  for (Record& record : *message.mutable_records()) {
    PlacedRecord placed;
    placed.record = std::move(record);
    const BlobPlace place = placed.place();
    if (records_.empty() ? place < last_ : place <= records_.back().place()) {
      return Bad(item, "records out of order");
    }
    records_.push_back(std::move(placed));
  }
  frames_seen_.resize(records_.size());
  for (size_t i = 0; i < records_.size(); ++i) {
    const absl::Status placed =
        PlaceReferences(*manifest_, &records_[i], &frames_seen_[i]);
    if (!placed.ok()) return Bad(item, placed.message());
  }
  last_ = is_delta_          ? ranges_.back().until
          : records_.empty() ? last_
                             : records_.back().place();
  return absl::OkStatus();
}

absl::StatusOr<std::string> LayerReader::ReadAt(const StreamItem& item,
                                                uint64_t offset,
                                                uint64_t bytes) {
  if (manifest_->header().has_encryption()) {
    return item.payload.substr(offset, bytes);
  }
  if (file_ == nullptr || file_name_ != item.pack) {
    file_name_ = item.pack;
    LARDER_ASSIGN_OR_RETURN(
        file_, archive_->file_system()->Open(archive_->PackPath(item.pack),
                                             {.read_only = true}));
  }
  std::string out(bytes, '\0');
  LARDER_RETURN_IF_ERROR(
      file_->ReadAt(item.payload_at + offset, absl::MakeSpan(out)));
  return out;
}

absl::Status LayerReader::TakeFrames(const StreamItem& item) {
  const uint64_t stored = manifest_->header().has_encryption()
                              ? item.payload.size()
                              : item.header.stored_bytes;
  constexpr uint64_t kSizeBytes = sizeof(uint32_t);
  if (stored < kSizeBytes) return Bad(item, "frames: no index");
  LARDER_ASSIGN_OR_RETURN(const std::string size,
                          ReadAt(item, stored - kSizeBytes, kSizeBytes));
  const uint64_t index_bytes = backup::format::LoadFixed<uint32_t>(size.data());
  if (index_bytes > stored - kSizeBytes) {
    return Bad(item, absl::StrFormat("frames: index of %d bytes vs at most %d",
                                     index_bytes, stored - kSizeBytes));
  }
  const uint64_t frames_bytes = stored - kSizeBytes - index_bytes;
  LARDER_ASSIGN_OR_RETURN(const std::string bytes,
                          ReadAt(item, frames_bytes, index_bytes));
  FramesIndex index;
  LARDER_RETURN_IF_ERROR(backup::format::ParseMessage(bytes, &index));
  if (index.records_sequence() != sequence_) {
    return Bad(item, absl::StrFormat("frames: of chunk %d vs %d",
                                     index.records_sequence(), sequence_));
  }
  uint64_t at = 0;
  for (const FrameRun& run : index.runs()) {
    if (run.record() >= records_.size() ||
        run.first_frame() != frames_seen_[run.record()] ||
        run.bytes() > frames_bytes - at) {
      return Bad(item, "frames: index and records do not match");
    }
    const absl::Status placed =
        PlaceRun(run, {.pack = item.pack, .offset = item.payload_at + at},
                 &records_[run.record()], &frames_seen_[run.record()]);
    if (!placed.ok()) return Bad(item, placed.message());
    at += run.bytes();
  }
  return absl::OkStatus();
}

}  // namespace larder::backup_internal
