#include "backup/internal/cache_dump_writer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backup/format/chunk.h"
#include "backup/format/coding.h"
#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "backup/format/names.h"
#include "backup/format/record_codec.h"
#include "backup/internal/problems.h"
#include "cache/check.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::format::ChunkType;
using cache::Snapshot;
using cache::StoredRecord;

namespace {

// Records of one Read(): what waits for its range in memory.
constexpr int64_t kReadRecords = 64;
// Keeps a range with its last record, the names of its records, and a frame
// chunk with its last frame within the limits of a chunk, whatever the options.
constexpr int64_t kRangeBytesMax = 1 << 20;
constexpr int64_t kFrameChunkBytesMax = 4 << 20;
// Behind a full frame chunk: its last frame, of L2's 256 KiB, and its index.
constexpr int64_t kFrameSlackBytes = 288 << 10;

CacheDumpWriter::Limits WithinFormat(CacheDumpWriter::Limits limits) {
  limits.range_records =
      std::min(limits.range_records, backup::format::kRecordsPerChunkMax);
  limits.range_metadata_bytes =
      std::min(limits.range_metadata_bytes, kRangeBytesMax);
  limits.frame_chunk_bytes =
      std::min(limits.frame_chunk_bytes, kFrameChunkBytesMax);
  return limits;
}

std::string NameOf(const StoredRecord& record) {
  return absl::StrCat("blob ", backup::format::Printable(record.ns), "/",
                      backup::format::Printable(record.key));
}

// OK when the record is sound and within what a dump can hold.
absl::Status CheckFits(const StoredRecord& record) {
  LARDER_RETURN_IF_ERROR(record.status);
  if (static_cast<int64_t>(record.frames.size()) >
      backup::format::kFramesPerRecordMax) {
    return absl::OutOfRangeError(
        absl::StrCat(record.frames.size(), " frames exceed ",
                     backup::format::kFramesPerRecordMax));
  }
  for (const cache::Frame& frame : record.frames) {
    if (std::max(frame.stored_bytes, frame.raw_bytes) >
        backup::format::kFrameBytesMax) {
      return absl::OutOfRangeError(
          absl::StrCat("a frame of ", frame.stored_bytes, " bytes exceeds ",
                       backup::format::kFrameBytesMax));
    }
  }
  return absl::OkStatus();
}

}  // namespace

CacheDumpWriter::CacheDumpWriter(const Snapshot* snapshot, const Limits& limits,
                                 std::optional<cache::DeltaBase> base,
                                 backup::SourceDump* dump)
    : snapshot_(snapshot),
      limits_(WithinFormat(limits)),
      base_(base),
      dump_(dump),
      totals_(dump->totals()) {}

void CacheDumpWriter::Problem(absl::string_view what) {
  AddProblem(what, totals_);
}

bool CacheDumpWriter::IsFull() const {
  return static_cast<int64_t>(records_.size()) >= limits_.range_records ||
         static_cast<int64_t>(range_bytes_) >= limits_.range_metadata_bytes;
}

absl::Status CacheDumpWriter::ReadOn() {
  LARDER_CHECK(!done() && current() == nullptr);
  if (begun_) return EndRange();
  return base_.has_value() ? ReadDelta() : ReadRecords();
}

absl::Status CacheDumpWriter::ReadRecords() {
  if (taken_ == read_.size() && !position_.at_end) {
    read_.clear();
    taken_ = 0;
    std::vector<std::string> damage;
    LARDER_RETURN_IF_ERROR(
        snapshot_->Read(kReadRecords, &position_, &read_, &damage));
    for (const std::string& line : damage) Problem(line);
  }
  while (taken_ < read_.size() && !IsFull()) {
    AddRecord(std::move(read_[taken_++]));
  }
  if (taken_ < read_.size()) {
    const StoredRecord& last = records_.back();
    return BeginUpTo(backup::format::BlobName(last.ns, last.key));
  }
  if (!position_.at_end) return absl::OkStatus();
  at_end_ = true;
  return BeginUpTo("");
}

bool CacheDumpWriter::AddRecord(StoredRecord record) {
  if (const absl::Status fit = CheckFits(record); !fit.ok()) {
    Problem(absl::StrCat(NameOf(record), ": ", fit.message()));
    return false;
  }
  backup::format::Record* message = message_.add_records();
  ToMessage(record, message);
  range_bytes_ += message->ByteSizeLong();
  records_.push_back(std::move(record));
  return true;
}

absl::Status CacheDumpWriter::ReadDelta() {
  const Snapshot::DeltaLimits limits = {.changed = limits_.range_records,
                                        .kept = limits_.range_kept,
                                        .bytes = limits_.range_metadata_bytes};
  std::vector<cache::DeltaRange> ranges;
  std::vector<std::string> damage;
  LARDER_RETURN_IF_ERROR(
      snapshot_->ReadDelta(*base_, limits, &position_, &ranges, &damage));
  for (const std::string& line : damage) Problem(line);
  at_end_ = position_.at_end;
  return ranges.empty() ? absl::OkStatus() : BeginDelta(std::move(ranges));
}

absl::Status CacheDumpWriter::BeginDelta(
    std::vector<cache::DeltaRange> ranges) {
  message_.set_first_range(static_cast<uint64_t>(totals_->ranges()));
  for (cache::DeltaRange& range : ranges) {
    backup::format::KeyRange* message = message_.add_ranges();
    message->set_ns(range.ns);
    message->set_from(range.from);
    message->set_until(range.until);
    message->mutable_kept()->Add(range.kept.begin(), range.kept.end());
    uint32_t records = 0;
    for (StoredRecord& record : range.changed) {
      records += AddRecord(std::move(record)) ? 1 : 0;
    }
    message->set_records(records);
    totals_->set_records_kept(totals_->records_kept() +
                              static_cast<int64_t>(range.kept.size()));
  }
  totals_->set_ranges(totals_->ranges() + static_cast<int64_t>(ranges.size()));
  return Begin();
}

absl::Status CacheDumpWriter::BeginUpTo(const std::string& high) {
  message_.set_low(low_);
  message_.set_high(high);
  low_ = high;
  return Begin();
}

absl::Status CacheDumpWriter::Begin() {
  begun_ = true;
  message_.set_first_record(static_cast<uint64_t>(totals_->records_begun()));
  totals_->set_records_begun(totals_->records_begun() +
                             static_cast<int64_t>(records_.size()));
  LARDER_ASSIGN_OR_RETURN(
      sequence_, dump_->Emit(ChunkType::kRecords,
                             backup::format::SerializeMessage(message_)));
  wanted_ = dump_->wanted();
  return absl::OkStatus();
}

absl::Status CacheDumpWriter::EndRange() {
  LARDER_RETURN_IF_ERROR(FlushFrames());
  LARDER_RETURN_IF_ERROR(EmitNames());
  records_.clear();
  message_.Clear();
  range_bytes_ = 0;
  begun_ = false;
  next_ = 0;
  return snapshot_->status();
}

// Room for the chunk's header, and for a typical chunk at once.
std::string* CacheDumpWriter::FrameRoom() {
  if (run_ != nullptr) return &frames_;
  index_.set_records_sequence(sequence_);
  if (frames_.empty()) {
    frames_.reserve(
        static_cast<size_t>(limits_.frame_chunk_bytes + kFrameSlackBytes));
    frames_.assign(backup::format::kChunkHeaderBytes, '\0');
  }
  run_ = index_.add_runs();
  run_->set_record(static_cast<uint32_t>(next_));
  run_->set_first_frame(frames_taken_);
  return &frames_;
}

absl::Status CacheDumpWriter::TookFrame(size_t bytes) {
  ++frames_taken_;
  run_->set_frames(run_->frames() + 1);
  run_->set_bytes(run_->bytes() + bytes);
  totals_->set_frames(totals_->frames() + 1);
  return static_cast<int64_t>(frames_.size()) >= limits_.frame_chunk_bytes
             ? FlushFrames()
             : absl::OkStatus();
}

void CacheDumpWriter::LoseFrames(absl::string_view why) {
  FrameRoom();
  run_->set_unreadable(true);
  lost_ = true;
  Problem(absl::StrCat(NameOf(records_[next_]), ": ", why));
}

void CacheDumpWriter::EndRecord() {
  const StoredRecord& record = records_[next_++];
  run_ = nullptr;
  frames_taken_ = 0;
  if (std::exchange(lost_, false)) return;
  totals_->set_records(totals_->records() + 1);
  totals_->set_raw_bytes(totals_->raw_bytes() +
                         static_cast<int64_t>(record.raw_bytes));
  totals_->set_stored_bytes(totals_->stored_bytes() +
                            static_cast<int64_t>(record.stored_bytes));
}

absl::Status CacheDumpWriter::FlushFrames() {
  if (index_.runs_size() == 0) return absl::OkStatus();
  const std::string index = backup::format::SerializeMessage(index_);
  frames_.append(index);
  backup::format::AppendFixed<uint32_t>(static_cast<uint32_t>(index.size()),
                                        &frames_);
  index_.Clear();
  run_ = nullptr;
  const absl::Status sent =
      dump_
          ->EmitInPlace(ChunkType::kFrames,
                        std::exchange(frames_, std::string()))
          .status();
  wanted_ = dump_->wanted();
  return sent;
}

absl::Status CacheDumpWriter::EmitNames() {
  if (records_.empty() && message_.ranges().empty()) return absl::OkStatus();
  backup::format::Names names;
  backup::format::NamesOfChunk* of = names.add_chunks();
  of->set_sequence(sequence_);
  for (const StoredRecord& record : records_) {
    of->add_names(backup::format::BlobName(record.ns, record.key));
  }
  for (const backup::format::KeyRange& r : message_.ranges()) {
    backup::format::KeyRange* named = of->add_ranges();
    named->set_ns(r.ns());
    named->set_from(r.from());
    named->set_until(r.until());
  }
  return dump_->Emit(ChunkType::kNames, backup::format::SerializeMessage(names))
      .status();
}

}  // namespace larder::backup_internal
