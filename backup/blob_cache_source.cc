#include "backup/blob_cache_source.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backup/format/coding.h"
#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "backup/format/names.h"
#include "backup/format/record_codec.h"
#include "backup/internal/problems.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using cache::Snapshot;
using cache::SnapshotInfo;
using cache::StoredRecord;
using format::ChunkType;
using Packing = ChunkEmitter::Packing;

// Records of one Read(): what waits for its range in memory.
constexpr int64_t kReadRecords = 64;
// Keeps a range with its last record, the names of its records, and a frame
// chunk with its last frame within the limits of a chunk, whatever the options.
constexpr int64_t kRangeBytesMax = 1 << 20;
constexpr int64_t kFrameChunkBytesMax = 4 << 20;
// Behind a full frame chunk: its last frame, of L2's 256 KiB, and its index.
constexpr int64_t kFrameSlackBytes = 288 << 10;
// Payload of one part of the invalidations.
constexpr size_t kInvalidationPartBytes = 1 << 20;

std::string NameOf(const StoredRecord& record) {
  return absl::StrCat("blob ", format::Printable(record.ns), "/",
                      format::Printable(record.key));
}

// OK when the record is sound and within what a dump can hold.
absl::Status CheckFits(const StoredRecord& record) {
  LARDER_RETURN_IF_ERROR(record.status);
  if (static_cast<int64_t>(record.frames.size()) >
      format::kFramesPerRecordMax) {
    return absl::OutOfRangeError(absl::StrCat(
        record.frames.size(), " frames exceed ", format::kFramesPerRecordMax));
  }
  for (const cache::Frame& frame : record.frames) {
    if (std::max(frame.stored_bytes, frame.raw_bytes) >
        format::kFrameBytesMax) {
      return absl::OutOfRangeError(
          absl::StrCat("a frame of ", frame.stored_bytes, " bytes exceeds ",
                       format::kFrameBytesMax));
    }
  }
  return absl::OkStatus();
}

// Cuts namespaces and tombstones into messages of about kInvalidationPartBytes.
std::vector<format::Invalidations> CutInvalidations(const SnapshotInfo& info) {
  std::vector<format::Invalidations> parts(1);
  size_t bytes = 0;
  const auto part_for = [&](size_t more) {
    if (bytes + more > kInvalidationPartBytes) {
      parts.emplace_back();
      bytes = 0;
    }
    bytes += more;
    return &parts.back();
  };
  constexpr size_t kFieldsBytes = 32;
  for (const cache::NamespaceState& state : info.namespaces) {
    ToMessage(state,
              part_for(state.name.size() + kFieldsBytes)->add_namespaces());
  }
  for (const cache::Tombstone& t : info.tombstones) {
    ToMessage(t, part_for(t.ns.size() + t.value.size() + kFieldsBytes)
                     ->add_tombstones());
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i].set_part(static_cast<uint32_t>(i));
    parts[i].set_parts(static_cast<uint32_t>(parts.size()));
  }
  return parts;
}

absl::Status CheckInvalidations(const SnapshotInfo& info) {
  size_t bytes = 0;
  for (const auto& state : info.namespaces) bytes += state.name.size();
  for (const auto& t : info.tombstones) bytes += t.ns.size() + t.value.size();
  const auto tombstones = static_cast<int64_t>(info.tombstones.size());
  const auto namespaces = static_cast<int64_t>(info.namespaces.size());
  if (tombstones <= format::kTombstonesMax &&
      namespaces <= format::kNamespacesMax &&
      static_cast<int64_t>(bytes) <= format::kInvalidationBytesMax) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("snapshot: ", tombstones, " tombstones, ", namespaces,
                   " namespaces, ", bytes, " bytes exceed ",
                   format::kTombstonesMax, ", ", format::kNamespacesMax, ", ",
                   format::kInvalidationBytesMax, "; sweep first"));
}

class BlobCacheView : public SourceView {
 public:
  BlobCacheView(std::unique_ptr<Snapshot> snapshot, bool include_blobs,
                const BlobCacheSource::Options& options)
      : snapshot_(std::move(snapshot)), options_(options) {
    info_.set_kind(format::SOURCE_KIND_BLOB_CACHE);
    *info_.mutable_cache() = format::ToMessage(snapshot_->info());
    info_.mutable_cache()->set_blobs_included(include_blobs);
  }

  format::SourceInfo Describe(const format::SourceInfo* base) const override;
  int64_t bytes_estimate() const override {
    return info_.cache().blobs_included() ? info_.cache().stored_bytes() : 0;
  }
  bool pressed() const override { return snapshot_->pressed(); }
  absl::Status Produce(const format::SourceInfo* base, ChunkEmitter* out,
                       format::SourceTotals* totals) override;

 private:
  // A range of records: collected, then begun, then emitted bit by bit, so that
  // no step of Repeat() takes long.
  struct Range {
    std::vector<StoredRecord> records;
    format::Records message;
    size_t bytes = 0;
    bool begun = false;
    uint64_t sequence = 0;
    size_t next = 0;  // The record whose frames come next.
  };

  absl::Status EmitInvalidations();
  absl::Status EmitRecords();
  absl::Status EmitDelta(const cache::DeltaBase& base);
  absl::Status BeginDelta(std::vector<cache::DeltaRange> ranges, Range* range);
  // Takes the record into the range, if it is sound and a dump can hold it.
  bool AddRecord(StoredRecord record, Range* range);
  absl::Status BeginUpTo(const std::string& high, Range* range);
  absl::Status Begin(Range* range);
  // Of a range that is begun. False: that was all of it; it is empty then.
  absl::StatusOr<bool> EmitNext(Range* range);
  absl::Status EmitFramesOf(const Range& range, size_t index);
  void StartFrames();
  absl::Status FlushFrames();
  absl::Status EmitNames(const Range& range);
  bool IsFull(const Range& range) const {
    return static_cast<int64_t>(range.records.size()) >=
               std::min(options_.range_records_max,
                        format::kRecordsPerChunkMax) ||
           static_cast<int64_t>(range.bytes) >=
               std::min(options_.range_metadata_bytes, kRangeBytesMax);
  }
  void Problem(absl::string_view what) {
    backup_internal::AddProblem(what, totals_);
  }

  const std::unique_ptr<Snapshot> snapshot_;
  const BlobCacheSource::Options options_;
  format::SourceInfo info_;

  // Of the Produce() under way.
  ChunkEmitter* out_ = nullptr;
  format::SourceTotals* totals_ = nullptr;
  std::string low_;            // Where the next range starts.
  std::string frames_;         // The frame chunk being filled, or empty.
  format::FramesIndex index_;  // Of the same.
};

// An epoch of another lineage says nothing about this one, nor does a dump
// without blobs. Of a directory that was copied, two go on as one lineage:
// where that shows, it is none either.
format::SourceInfo BlobCacheView::Describe(
    const format::SourceInfo* base) const {
  format::SourceInfo info = info_;
  const format::CacheInfo& now = info_.cache();
  if (base == nullptr || base->kind() != format::SOURCE_KIND_BLOB_CACHE) {
    return info;
  }
  const format::CacheInfo& then = base->cache();
  const bool same_history = then.lineage() == now.lineage() &&
                            then.epoch() <= now.epoch() &&
                            (then.epoch() < now.epoch() ||
                             then.content_digest() == now.content_digest());
  if (same_history && then.blobs_included() && now.blobs_included()) {
    info.mutable_cache()->set_base_epoch(then.epoch());
  }
  return info;
}

absl::Status BlobCacheView::Produce(const format::SourceInfo* base,
                                    ChunkEmitter* out,
                                    format::SourceTotals* totals) {
  out_ = out;
  totals_ = totals;
  low_.clear();
  LARDER_RETURN_IF_ERROR(EmitInvalidations());
  if (Describe(base).cache().base_epoch() != 0) {
    LARDER_RETURN_IF_ERROR(EmitDelta(
        {base->cache().epoch(), cache::Hlc{base->cache().complete_through()}}));
  } else if (info_.cache().blobs_included()) {
    LARDER_RETURN_IF_ERROR(EmitRecords());
  }
  // The second copy: far from the first, so that one fault hits one of them.
  LARDER_RETURN_IF_ERROR(EmitInvalidations());
  return snapshot_->status();
}

absl::Status BlobCacheView::EmitInvalidations() {
  for (const format::Invalidations& part :
       CutInvalidations(snapshot_->info())) {
    LARDER_RETURN_IF_ERROR(out_->Emit(ChunkType::kInvalidations,
                                      Packing::kCompress,
                                      format::SerializeMessage(part))
                               .status());
  }
  return absl::OkStatus();
}

absl::Status BlobCacheView::EmitRecords() {
  Snapshot::Position position;
  std::vector<StoredRecord> read;
  size_t taken = 0;  // Of `read`.
  Range range;
  bool is_last = false;
  return out_->Repeat([&]() -> absl::StatusOr<bool> {
    if (range.begun) {
      LARDER_ASSIGN_OR_RETURN(const bool more, EmitNext(&range));
      return more || !is_last;
    }
    if (taken == read.size() && !position.at_end) {
      read.clear();
      taken = 0;
      std::vector<std::string> damage;
      LARDER_RETURN_IF_ERROR(
          snapshot_->Read(kReadRecords, &position, &read, &damage));
      for (const std::string& line : damage) Problem(line);
    }
    while (taken < read.size() && !IsFull(range)) {
      AddRecord(std::move(read[taken++]), &range);
    }
    if (taken < read.size()) {
      const StoredRecord& last = range.records.back();
      LARDER_RETURN_IF_ERROR(
          BeginUpTo(format::BlobName(last.ns, last.key), &range));
    } else if (position.at_end) {
      is_last = true;
      LARDER_RETURN_IF_ERROR(BeginUpTo("", &range));
    }
    return true;
  });
}

bool BlobCacheView::AddRecord(StoredRecord record, Range* range) {
  if (const absl::Status fit = CheckFits(record); !fit.ok()) {
    Problem(absl::StrCat(NameOf(record), ": ", fit.message()));
    return false;
  }
  format::Record* message = range->message.add_records();
  ToMessage(record, message);
  range->bytes += message->ByteSizeLong();
  range->records.push_back(std::move(record));
  return true;
}

absl::Status BlobCacheView::EmitDelta(const cache::DeltaBase& base) {
  const Snapshot::DeltaLimits limits = {
      .changed =
          std::min(options_.range_records_max, format::kRecordsPerChunkMax),
      .kept = options_.range_kept_max,
      .bytes = std::min(options_.range_metadata_bytes, kRangeBytesMax)};
  Snapshot::Position position;
  Range range;
  return out_->Repeat([&]() -> absl::StatusOr<bool> {
    if (range.begun) {
      LARDER_ASSIGN_OR_RETURN(const bool more, EmitNext(&range));
      return more || !position.at_end;
    }
    std::vector<cache::DeltaRange> ranges;
    std::vector<std::string> damage;
    LARDER_RETURN_IF_ERROR(
        snapshot_->ReadDelta(base, limits, &position, &ranges, &damage));
    for (const std::string& line : damage) Problem(line);
    if (ranges.empty()) return !position.at_end;
    LARDER_RETURN_IF_ERROR(BeginDelta(std::move(ranges), &range));
    return true;
  });
}

absl::Status BlobCacheView::BeginDelta(std::vector<cache::DeltaRange> ranges,
                                       Range* out) {
  out->message.set_first_range(static_cast<uint64_t>(totals_->ranges()));
  for (cache::DeltaRange& range : ranges) {
    format::KeyRange* message = out->message.add_ranges();
    message->set_ns(range.ns);
    message->set_from(range.from);
    message->set_until(range.until);
    message->mutable_kept()->Add(range.kept.begin(), range.kept.end());
    uint32_t records = 0;
    for (StoredRecord& record : range.changed) {
      records += AddRecord(std::move(record), out) ? 1 : 0;
    }
    message->set_records(records);
    totals_->set_records_kept(totals_->records_kept() +
                              static_cast<int64_t>(range.kept.size()));
  }
  totals_->set_ranges(totals_->ranges() + static_cast<int64_t>(ranges.size()));
  return Begin(out);
}

absl::Status BlobCacheView::BeginUpTo(const std::string& high, Range* range) {
  range->message.set_low(low_);
  range->message.set_high(high);
  low_ = high;
  return Begin(range);
}

absl::Status BlobCacheView::Begin(Range* range) {
  range->begun = true;
  range->message.set_first_record(
      static_cast<uint64_t>(totals_->records_begun()));
  totals_->set_records_begun(totals_->records_begun() +
                             static_cast<int64_t>(range->records.size()));
  LARDER_ASSIGN_OR_RETURN(range->sequence,
                          out_->Emit(ChunkType::kRecords, Packing::kCompress,
                                     format::SerializeMessage(range->message)));
  return absl::OkStatus();
}

absl::StatusOr<bool> BlobCacheView::EmitNext(Range* range) {
  if (range->next < range->records.size()) {
    LARDER_RETURN_IF_ERROR(EmitFramesOf(*range, range->next++));
    return true;
  }
  LARDER_RETURN_IF_ERROR(FlushFrames());
  LARDER_RETURN_IF_ERROR(EmitNames(*range));
  *range = Range();
  LARDER_RETURN_IF_ERROR(snapshot_->status());
  return false;
}

absl::Status BlobCacheView::EmitFramesOf(const Range& range, size_t index) {
  const StoredRecord& record = range.records[index];
  format::FrameRun* run = nullptr;
  for (size_t i = 0; i < record.frames.size(); ++i) {
    if (run == nullptr) {
      index_.set_records_sequence(range.sequence);
      if (frames_.empty()) StartFrames();
      run = index_.add_runs();
      run->set_record(static_cast<uint32_t>(index));
      run->set_first_frame(static_cast<uint32_t>(i));
    }
    const size_t before = frames_.size();
    const absl::Status read = snapshot_->ReadFrame(record, i, &frames_);
    if (absl::IsDataLoss(read)) {
      run->set_unreadable(true);
      Problem(absl::StrCat(NameOf(record), ": ", read.message()));
      return absl::OkStatus();
    }
    LARDER_RETURN_IF_ERROR(read);
    run->set_frames(run->frames() + 1);
    run->set_bytes(run->bytes() + (frames_.size() - before));
    totals_->set_frames(totals_->frames() + 1);
    if (static_cast<int64_t>(frames_.size()) >=
        std::min(options_.frame_chunk_bytes, kFrameChunkBytesMax)) {
      LARDER_RETURN_IF_ERROR(FlushFrames());
      run = nullptr;
    }
  }
  totals_->set_records(totals_->records() + 1);
  totals_->set_raw_bytes(totals_->raw_bytes() +
                         static_cast<int64_t>(record.raw_bytes));
  totals_->set_stored_bytes(totals_->stored_bytes() +
                            static_cast<int64_t>(record.stored_bytes));
  return absl::OkStatus();
}

// Makes room for the chunk's header, and for a typical chunk at once.
void BlobCacheView::StartFrames() {
  frames_.reserve(static_cast<size_t>(
      std::min(options_.frame_chunk_bytes, kFrameChunkBytesMax) +
      kFrameSlackBytes));
  frames_.assign(format::kChunkHeaderBytes, '\0');
}

absl::Status BlobCacheView::FlushFrames() {
  if (index_.runs_size() == 0) return absl::OkStatus();
  out_->Advance(
      static_cast<int64_t>(frames_.size() - format::kChunkHeaderBytes));
  const std::string index = format::SerializeMessage(index_);
  frames_.append(index);
  format::AppendFixed<uint32_t>(static_cast<uint32_t>(index.size()), &frames_);
  index_.Clear();
  return out_
      ->EmitInPlace(ChunkType::kFrames, std::exchange(frames_, std::string()))
      .status();
}

absl::Status BlobCacheView::EmitNames(const Range& range) {
  if (range.records.empty() && range.message.ranges().empty()) {
    return absl::OkStatus();
  }
  format::Names names;
  format::NamesOfChunk* of = names.add_chunks();
  of->set_sequence(range.sequence);
  for (const StoredRecord& record : range.records) {
    of->add_names(format::BlobName(record.ns, record.key));
  }
  for (const format::KeyRange& r : range.message.ranges()) {
    format::KeyRange* named = of->add_ranges();
    named->set_ns(r.ns());
    named->set_from(r.from());
    named->set_until(r.until());
  }
  return out_
      ->Emit(ChunkType::kNames, Packing::kCompress,
             format::SerializeMessage(names))
      .status();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SourceView>> BlobCacheSource::Open(
    const SourceRequest& request) {
  LARDER_ASSIGN_OR_RETURN(std::unique_ptr<Snapshot> snapshot,
                          take_snapshot_(options_.pin));
  LARDER_RETURN_IF_ERROR(CheckInvalidations(snapshot->info()));
  return std::make_unique<BlobCacheView>(std::move(snapshot),
                                         request.include_blob_cache, options_);
}

}  // namespace larder::backup
