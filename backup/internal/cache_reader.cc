#include "backup/internal/cache_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/checksum.h"
#include "backup/format/coding.h"
#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "backup/format/names.h"
#include "backup/format/record_codec.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::Loss;
using backup::format::ChunkHeader;
using backup::format::ChunkType;
using cache::StoredRecord;

namespace {

// Whether a message that cannot be parsed is damage, rather than newer.
bool IsMalformed(const absl::Status& status) {
  return absl::IsDataLoss(status);
}

}  // namespace

absl::Status CacheReader::OnChunk(const ChunkHeader& header,
                                  absl::string_view payload) {
  absl::Status status;
  if (header.Is(ChunkType::kRecords)) {
    status = OnRecords(header.sequence, payload);
  } else if (header.Is(ChunkType::kFrames)) {
    status = OnFrames(payload);
  } else if (header.Is(ChunkType::kNames)) {
    status = OnNames(payload);
  }
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("chunk ", header.sequence,
                                                  ": ", status.message()));
}

void CacheReader::OnGap(const absl::Status& reason) {
  gap_reason_ = std::string(reason.message());
}

std::string CacheReader::GapReason() const {
  return gap_reason_.empty() ? "its chunks are missing" : gap_reason_;
}

absl::Status CacheReader::OnRecords(uint64_t sequence,
                                    absl::string_view payload) {
  backup::format::Records message;
  const absl::Status parsed = backup::format::ParseMessage(payload, &message);
  if (!parsed.ok() && !IsMalformed(parsed)) return parsed;
  LARDER_RETURN_IF_ERROR(MoveTo(records_.size()));
  in_range_ = false;
  records_.clear();
  states_.clear();
  current_ = 0;
  next_frame_ = 0;
  const absl::Status bad = parsed.ok() ? CheckRecords(message) : parsed;
  if (!bad.ok()) {
    OnGap(bad);
    problem_(bad);
    return absl::OkStatus();
  }
  LoseUnnamed(message.first_record());
  if (delta_ != nullptr) LARDER_RETURN_IF_ERROR(ApplyRanges(message));
  gap_reason_.clear();
  in_range_ = true;
  sequence_ = sequence;
  for (const auto& record : message.records()) AddRecord(record);
  records_seen_ += static_cast<uint64_t>(message.records_size());
  for (int i = 0; i < message.records_size(); ++i) {
    if (message.records(i).frames_at().empty()) continue;
    LARDER_RETURN_IF_ERROR(MoveTo(static_cast<size_t>(i)));
    LARDER_RETURN_IF_ERROR(FetchFrames(message.records(i)));
  }
  return absl::OkStatus();
}

absl::Status CacheReader::FetchFrames(const backup::format::Record& message) {
  if (states_[current_] != State::kWaiting) return absl::OkStatus();
  LARDER_RETURN_IF_ERROR(OpenCurrent());
  const StoredRecord& record = records_[current_];
  State& state = states_[current_];
  for (const backup::format::FramesAt& at : message.frames_at()) {
    uint64_t offset = at.offset();
    for (uint32_t i = 0; i < at.frames() && state == State::kOpen; ++i) {
      const uint64_t bytes = next_frame_ < record.frames.size()
                                 ? record.frames[next_frame_].stored_bytes
                                 : 0;
      absl::StatusOr<std::string> frame =
          frames_->Read(at.pack(), offset, bytes);
      if (absl::IsDataLoss(frame.status())) {
        LoseCurrent(frame.status().message());
        break;
      }
      LARDER_RETURN_IF_ERROR(frame.status());
      absl::string_view stored = *frame;
      LARDER_RETURN_IF_ERROR(TakeFrame(record, &stored));
      offset += bytes;
    }
  }
  if (state == State::kOpen && next_frame_ == record.frames.size()) {
    return CloseCurrent();
  }
  return absl::OkStatus();  // Else MoveTo() books it.
}

absl::Status CacheReader::CheckRecords(
    const backup::format::Records& message) const {
  if (message.records_size() > backup::format::kRecordsPerChunkMax) {
    return absl::DataLossError(
        absl::StrFormat("%d records exceed %d", message.records_size(),
                        backup::format::kRecordsPerChunkMax));
  }
  const uint64_t begun = static_cast<uint64_t>(totals_->records_begun());
  const uint64_t count = static_cast<uint64_t>(message.records_size());
  if (message.first_record() < records_seen_ + named_missing_ ||
      count > begun || message.first_record() > begun - count) {
    return absl::DataLossError(absl::StrFormat(
        "records %d and %d more vs expected from %d, of %d",
        message.first_record(), count, records_seen_ + named_missing_, begun));
  }
  if (delta_ == nullptr) {
    return message.ranges().empty()
               ? absl::OkStatus()
               : absl::DataLossError("ranges of a delta in a full dump");
  }
  const uint64_t ranges = static_cast<uint64_t>(totals_->ranges());
  const uint64_t own = static_cast<uint64_t>(message.ranges_size());
  if (message.first_range() < ranges_seen_ || own > ranges ||
      message.first_range() > ranges - own) {
    return absl::DataLossError(
        absl::StrFormat("ranges %d and %d more vs expected from %d, of %d",
                        message.first_range(), own, ranges_seen_, ranges));
  }
  return delta_->Check(message);
}

absl::Status CacheReader::ApplyRanges(const backup::format::Records& message) {
  if (message.first_range() > ranges_seen_) {
    LARDER_RETURN_IF_ERROR(delta_->LoseUpTo(
        message.ranges().empty() ? nullptr : &message.ranges(0), GapReason()));
  }
  for (const auto& range : message.ranges()) {
    LARDER_RETURN_IF_ERROR(delta_->Take(range));
  }
  ranges_seen_ =
      message.first_range() + static_cast<uint64_t>(message.ranges_size());
  return absl::OkStatus();
}

// Of a Records chunk that never came.
absl::Status CacheReader::LoseRanges(
    const backup::format::NamesOfChunk& chunk) {
  if (delta_ == nullptr) return absl::OkStatus();
  for (const auto& range : chunk.ranges()) {
    const absl::Status lost = delta_->Lose(range, GapReason());
    if (absl::IsDataLoss(lost)) {
      problem_(lost);
      return absl::OkStatus();
    }
    LARDER_RETURN_IF_ERROR(lost);
    ++ranges_seen_;
  }
  return absl::OkStatus();
}

void CacheReader::AddRecord(const backup::format::Record& message) {
  absl::StatusOr<StoredRecord> record = backup::format::FromMessage(message);
  if (record.ok()) {
    if (const absl::Status placed = CheckOrder(*record); !placed.ok()) {
      record = placed;
    }
  }
  if (!record.ok()) {
    Lose(message.ns(), message.key(), record.status().message());
    records_.emplace_back();
    states_.push_back(State::kLost);
    return;
  }
  namespace_ = message.ns();
  key_ = message.key();
  if (delta_ != nullptr) losses_->Forget(record->ns, record->key);
  const bool skip = newer_ != nullptr && newer_->Covers(*record);
  if (skip) ++counts_.skipped;
  states_.push_back(skip ? State::kSkipped : State::kWaiting);
  records_.push_back(*std::move(record));
}

// A name that comes twice would be two blobs under one key.
absl::Status CacheReader::CheckOrder(const StoredRecord& record) {
  if (record.ns == namespace_) {
    return record.key > key_ ? absl::OkStatus()
                             : absl::DataLossError("key out of order");
  }
  if (static_cast<int64_t>(namespaces_.size()) >=
      backup::format::kNamespacesMax) {
    return absl::DataLossError(
        absl::StrCat("namespaces exceed ", backup::format::kNamespacesMax));
  }
  return namespaces_.insert(record.ns).second
             ? absl::OkStatus()
             : absl::DataLossError("namespace comes twice");
}

absl::Status CacheReader::OpenCurrent() {
  const absl::Status begun = loader_->Begin(records_[current_]);
  // What is wrong with this record, rather than with the target: a device that
  // fails says so again when it must commit.
  if (absl::IsInvalidArgument(begun) || absl::IsDataLoss(begun)) {
    loader_->Abandon();
    LoseCurrent(begun.message());
    return absl::OkStatus();
  }
  LARDER_RETURN_IF_ERROR(begun);
  states_[current_] = State::kOpen;
  return absl::OkStatus();
}

absl::Status CacheReader::CloseCurrent() {
  LARDER_RETURN_IF_ERROR(loader_->Finish());
  states_[current_] = State::kDone;
  ++counts_.restored;
  counts_.restored_bytes +=
      static_cast<int64_t>(records_[current_].stored_bytes);
  return absl::OkStatus();
}

void CacheReader::Lose(absl::string_view ns, absl::string_view key,
                       absl::string_view reason) {
  ++counts_.lost;
  losses_->Add({.kind = Loss::Kind::kBlob,
                .source = source_,
                .ns = std::string(ns),
                .name = std::string(key),
                .count = 1,
                .reason = std::string(reason)});
}

void CacheReader::LoseCurrent(absl::string_view reason) {
  if (states_[current_] == State::kOpen) loader_->Abandon();
  states_[current_] = State::kLost;
  Lose(records_[current_].ns, records_[current_].key, reason);
}

absl::Status CacheReader::MoveTo(size_t index) {
  for (; current_ < index; ++current_, next_frame_ = 0) {
    if (states_[current_] == State::kWaiting &&
        records_[current_].frames.empty()) {
      LARDER_RETURN_IF_ERROR(OpenCurrent());
      if (states_[current_] == State::kOpen) {
        LARDER_RETURN_IF_ERROR(CloseCurrent());
      }
    }
    if (states_[current_] == State::kWaiting ||
        states_[current_] == State::kOpen) {
      LoseCurrent(GapReason());
    }
  }
  return absl::OkStatus();
}

absl::Status CacheReader::OnFrames(absl::string_view payload) {
  backup::format::FramesIndex index;
  absl::Status parsed = absl::DataLossError("frames: no index");
  absl::string_view frames = payload;
  if (frames.size() >= sizeof(uint32_t)) {
    frames.remove_suffix(sizeof(uint32_t));
    const uint32_t index_bytes =
        backup::format::LoadFixed<uint32_t>(frames.data() + frames.size());
    if (index_bytes <= frames.size()) {
      parsed = backup::format::ParseMessage(
          frames.substr(frames.size() - index_bytes), &index);
      frames.remove_suffix(index_bytes);
    }
  }
  if (!parsed.ok() && !IsMalformed(parsed)) return parsed;
  bool malformed = !parsed.ok();
  if (!malformed && (!in_range_ || index.records_sequence() != sequence_)) {
    return absl::OkStatus();  // Its range was lost; Names will tell.
  }
  for (const auto& run : index.runs()) {
    if (malformed) break;
    LARDER_RETURN_IF_ERROR(TakeRun(run, &frames, &malformed));
  }
  if (malformed) {
    const absl::Status bad = parsed.ok() ? absl::DataLossError(
                                               "frames: index and "
                                               "records do not match")
                                         : parsed;
    OnGap(bad);
    problem_(bad);
  }
  return absl::OkStatus();
}

absl::Status CacheReader::TakeRun(const backup::format::FrameRun& run,
                                  absl::string_view* frames, bool* malformed) {
  *malformed = true;
  if (run.record() < current_ || run.record() >= records_.size()) {
    return absl::OkStatus();
  }
  if (run.bytes() > frames->size()) return absl::OkStatus();
  absl::string_view stored = frames->substr(0, run.bytes());
  frames->remove_prefix(run.bytes());
  *malformed = false;
  LARDER_RETURN_IF_ERROR(MoveTo(run.record()));
  const StoredRecord& record = records_[current_];
  State& state = states_[current_];
  if (state == State::kWaiting && run.first_frame() == 0) {
    LARDER_RETURN_IF_ERROR(OpenCurrent());
  }
  if (state != State::kWaiting && state != State::kOpen) {
    return absl::OkStatus();
  }
  if (run.first_frame() != next_frame_) {
    LoseCurrent(GapReason());
    return absl::OkStatus();
  }
  for (uint32_t i = 0; i < run.frames() && state == State::kOpen; ++i) {
    LARDER_RETURN_IF_ERROR(TakeFrame(record, &stored));
  }
  if (state == State::kOpen && run.unreadable()) {
    LoseCurrent("could not be read when the backup was made");
  } else if (state == State::kOpen && next_frame_ == record.frames.size()) {
    return CloseCurrent();
  }
  return absl::OkStatus();
}

// Takes the next frame of the current record off `*stored`.
absl::Status CacheReader::TakeFrame(const StoredRecord& record,
                                    absl::string_view* stored) {
  if (next_frame_ >= record.frames.size() ||
      record.frames[next_frame_].stored_bytes > stored->size()) {
    LoseCurrent(absl::StrFormat("frame %d: not among the %d of the record",
                                next_frame_, record.frames.size()));
    return absl::OkStatus();
  }
  const cache::Frame& frame = record.frames[next_frame_];
  const absl::string_view bytes = stored->substr(0, frame.stored_bytes);
  stored->remove_prefix(frame.stored_bytes);
  const uint64_t found = backup::format::Checksum64(bytes);
  if (found != frame.checksum) {
    LoseCurrent(absl::StrFormat("frame %d: checksum %016x vs expected %016x",
                                next_frame_, found, frame.checksum));
    return absl::OkStatus();
  }
  ++next_frame_;
  return loader_->AppendFrame(bytes);
}

absl::Status CacheReader::OnNames(absl::string_view payload) {
  backup::format::Names names;
  const absl::Status parsed = backup::format::ParseMessage(payload, &names);
  if (!parsed.ok()) {
    if (!IsMalformed(parsed)) return parsed;
    problem_(parsed);
    return absl::OkStatus();
  }
  for (const auto& chunk : names.chunks()) {
    if (in_range_ && chunk.sequence() == sequence_) continue;
    // The names follow their range at once, so this range never came.
    LARDER_RETURN_IF_ERROR(LoseRanges(chunk));
    for (const std::string& name : chunk.names()) {
      absl::string_view ns, key;
      const uint64_t seen = records_seen_ + named_missing_;
      if (seen >= static_cast<uint64_t>(totals_->records_begun()) ||
          !backup::format::SplitBlobName(name, &ns, &key)) {
        problem_(absl::DataLossError("names: more than there are, or no name"));
        return absl::OkStatus();
      }
      ++named_missing_;
      Lose(ns, key, GapReason());
    }
  }
  return absl::OkStatus();
}

void CacheReader::LoseUnnamed(uint64_t first_record) {
  const uint64_t missing = first_record - records_seen_ - named_missing_;
  records_seen_ = first_record;
  named_missing_ = 0;
  if (missing == 0) return;
  counts_.lost += static_cast<int64_t>(missing);
  losses_->Add({.kind = Loss::Kind::kUnnamedBlobs,
                .source = source_,
                .ns = "",
                .name = "",
                .count = static_cast<int64_t>(missing),
                .reason = absl::StrCat(
                    "behind ", backup::format::Printable(namespace_), "/",
                    backup::format::Printable(key_), ": ", GapReason())});
}

absl::Status CacheReader::Finish() {
  LARDER_RETURN_IF_ERROR(MoveTo(records_.size()));
  const uint64_t begun = static_cast<uint64_t>(totals_->records_begun());
  if (records_seen_ + named_missing_ > begun) {
    problem_(absl::DataLossError(
        absl::StrFormat("source %s: %d records vs expected %d", source_,
                        records_seen_ + named_missing_, begun)));
    return absl::OkStatus();
  }
  LoseUnnamed(begun);
  if (delta_ != nullptr &&
      ranges_seen_ != static_cast<uint64_t>(totals_->ranges())) {
    return delta_->LoseUpTo(nullptr, GapReason());
  }
  return absl::OkStatus();
}

}  // namespace larder::backup_internal
