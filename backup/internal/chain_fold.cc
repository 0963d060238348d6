#include "backup/internal/chain_fold.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/archive_file.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "backup/format/names.h"
#include "backup/internal/archive_layout.h"
#include "backup/internal/chunk_stream.h"
#include "backup/internal/pack_stream.h"
#include "backup/internal/pack_writer.h"
#include "backup/internal/snapshot_records.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::Archive;
using backup::SnapshotEntry;
using backup::format::ChunkHeader;
using backup::format::ChunkType;
using backup::format::Manifest;
using backup::format::Pack;
using backup::format::SourceTotals;

namespace {

constexpr int kZstdLevel = 1;
// Records and bytes of a range: as BlobCacheSource has them.
constexpr int kRangeRecordsMax = 1024;
constexpr size_t kRangeBytesMax = 256 << 10;

class Fold {
 public:
  Fold(const Archive& archive, const std::vector<SnapshotEntry>& chain,
       const FoldOptions& options)
      : archive_(archive),
        chain_(chain),
        top_(chain.back().manifest),
        options_(options),
        compressor_(kZstdLevel),
        stream_(StreamId(), backup::format::DumpSeal()),
        writer_({.file_system = archive.file_system(),
                 .directory = PacksPath(archive.path()),
                 .snapshot_id = top_.header().snapshot_id(),
                 .first_index = FirstIndex(),
                 .stream_id = StreamId(),
                 .pack_bytes = options.pack_bytes,
                 .sync = options.sync}) {}

  absl::StatusOr<std::string> Run();

 private:
  // Behind the packs that are there, so that none is overwritten.
  uint32_t FirstIndex() const {
    return static_cast<uint32_t>(top_.packs_size());
  }
  // Another one, so that no chunk of this dump passes for one of the old.
  uint64_t StreamId() const {
    return backup::format::Checksum64(
        absl::StrCat("folded ", top_.header().stream_id()));
  }

  absl::Status CheckSources() const;
  absl::Status WriteSource(uint16_t source);
  absl::Status ReadInvalidationParts(uint16_t source,
                                     std::vector<std::string>* parts) const;
  absl::Status WriteRecords(uint16_t source, SourceTotals* totals);
  absl::Status WriteRange(uint16_t source, const std::string& high,
                          backup::format::Records* range, SourceTotals* totals);
  void Refer(const PlacedRecord& placed, backup::format::Record* record);
  absl::Status Write(ChunkType type, uint16_t source,
                     const google::protobuf::Message& message);
  absl::Status WritePayload(ChunkType type, uint16_t source,
                            absl::string_view payload);
  void NamePacks();

  const Archive& archive_;
  const std::vector<SnapshotEntry>& chain_;
  const Manifest& top_;
  const FoldOptions options_;
  backup::format::Compressor compressor_;
  ChunkStream stream_;
  PackWriter writer_;
  Manifest manifest_;
  absl::flat_hash_map<std::string, uint32_t> references_;  // By pack.
  std::string low_;  // Where the next range starts.
};

absl::Status Fold::CheckSources() const {
  for (const SnapshotEntry& layer : chain_) {
    // A frame is referred to by its place, and can be opened only with all of
    // its chunk, by the key of its dump.
    if (layer.manifest.header().has_encryption()) {
      return absl::FailedPreconditionError(
          absl::StrCat("fold: snapshot ", layer.id, " is sealed"));
    }
  }
  for (const auto& info : top_.header().sources()) {
    if (info.kind() != backup::format::SOURCE_KIND_BLOB_CACHE) {
      return absl::FailedPreconditionError(
          absl::StrCat("fold: snapshot ", chain_.back().id, ": source ",
                       info.name(), " is no blob cache"));
    }
  }
  return absl::OkStatus();
}

absl::Status Fold::WritePayload(ChunkType type, uint16_t source,
                                absl::string_view payload) {
  LARDER_ASSIGN_OR_RETURN(backup::format::PackedPayload packed,
                          compressor_.Pack(payload));
  LARDER_ASSIGN_OR_RETURN(const backup::format::Chunk chunk,
                          stream_.Build(type, source, std::move(packed)));
  return writer_.Append(chunk);
}

absl::Status Fold::Write(ChunkType type, uint16_t source,
                         const google::protobuf::Message& message) {
  return WritePayload(type, source, backup::format::SerializeMessage(message));
}

absl::Status Fold::ReadInvalidationParts(
    uint16_t source, std::vector<std::string>* parts) const {
  absl::Status problem;
  PackStream stream(
      &archive_, &top_,
      [source](const ChunkHeader& header) {
        return header.source == source && header.Is(ChunkType::kInvalidations);
      },
      [&problem](const absl::Status& p) { problem.Update(p); },
      /*cancellation=*/nullptr);
  std::map<uint32_t, std::string> by_part;
  while (true) {
    LARDER_ASSIGN_OR_RETURN(StreamItem item, stream.Next());
    LARDER_RETURN_IF_ERROR(problem);
    if (item.kind != StreamItem::Kind::kChunk) break;
    if (item.header.source != source ||
        !item.header.Is(ChunkType::kInvalidations)) {
      continue;
    }
    backup::format::Invalidations message;
    LARDER_RETURN_IF_ERROR(
        backup::format::ParseMessage(item.payload, &message));
    by_part[message.part()] = std::move(item.payload);
  }
  for (auto& [part, payload] : by_part) parts->push_back(std::move(payload));
  return absl::OkStatus();
}

// Says where the frames of `placed` lie.
void Fold::Refer(const PlacedRecord& placed, backup::format::Record* record) {
  record->clear_frames_at();
  for (const FramesPlace& place : placed.places) {
    const auto [it, added] = references_.try_emplace(
        place.pack, static_cast<uint32_t>(references_.size()));
    backup::format::FramesAt* at = record->add_frames_at();
    at->set_pack(it->second);
    at->set_offset(place.offset);
    at->set_frames(place.frames);
  }
}

absl::Status Fold::WriteRange(uint16_t source, const std::string& high,
                              backup::format::Records* range,
                              SourceTotals* totals) {
  range->set_low(low_);
  range->set_high(high);
  low_ = high;
  range->set_first_record(
      static_cast<uint64_t>(totals->records_begun() - range->records_size()));
  backup::format::Names names;
  names.add_chunks()->set_sequence(stream_.next_sequence());
  for (const auto& record : range->records()) {
    names.mutable_chunks(0)->add_names(
        backup::format::BlobName(record.ns(), record.key()));
  }
  LARDER_RETURN_IF_ERROR(Write(ChunkType::kRecords, source, *range));
  if (options_.progress != nullptr) {
    options_.progress->fetch_add(1, std::memory_order_relaxed);
  }
  if (range->records_size() > 0) {
    LARDER_RETURN_IF_ERROR(Write(ChunkType::kNames, source, names));
  }
  range->Clear();
  return absl::OkStatus();
}

absl::Status Fold::WriteRecords(uint16_t source, SourceTotals* totals) {
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<SnapshotRecords> records,
      SnapshotRecords::Open(&archive_, &chain_,
                            top_.header().sources(source).name(),
                            /*cancellation=*/nullptr));
  low_.clear();
  backup::format::Records range;
  size_t bytes = 0;
  while (true) {
    LARDER_ASSIGN_OR_RETURN(std::optional<PlacedRecord> next, records->Next());
    if (!next.has_value()) break;
    if (range.records_size() >= kRangeRecordsMax || bytes >= kRangeBytesMax) {
      const auto& last = range.records(range.records_size() - 1);
      LARDER_RETURN_IF_ERROR(
          WriteRange(source, backup::format::BlobName(last.ns(), last.key()),
                     &range, totals));
      bytes = 0;
    }
    backup::format::Record* record = range.add_records();
    *record = std::move(next->record);
    Refer(*next, record);
    bytes += record->ByteSizeLong();
    int64_t stored = 0;
    for (const uint32_t frame : record->frame_stored_bytes()) stored += frame;
    totals->set_records_begun(totals->records_begun() + 1);
    totals->set_records(totals->records() + 1);
    totals->set_frames(totals->frames() + record->frame_checksums_size());
    totals->set_raw_bytes(totals->raw_bytes() +
                          static_cast<int64_t>(record->raw_bytes()));
    totals->set_stored_bytes(totals->stored_bytes() + stored);
  }
  return WriteRange(source, "", &range, totals);
}

absl::Status Fold::WriteSource(uint16_t source) {
  const auto& info = top_.header().sources(source);
  backup::format::SourceEnd* end = manifest_.mutable_trailer()->add_sources();
  *end = top_.trailer().sources(source);
  if (end->status_code() != 0) return absl::OkStatus();
  std::vector<std::string> parts;
  LARDER_RETURN_IF_ERROR(ReadInvalidationParts(source, &parts));
  const auto write_parts = [&]() -> absl::Status {
    for (const std::string& part : parts) {
      LARDER_RETURN_IF_ERROR(
          WritePayload(ChunkType::kInvalidations, source, part));
    }
    return absl::OkStatus();
  };
  LARDER_RETURN_IF_ERROR(write_parts());
  if (info.cache().blobs_included()) {
    SourceTotals totals;
    // What of it could not be taken, here and below.
    int64_t problems = 0;
    for (const SnapshotEntry& layer : chain_) {
      for (int i = 0; i < layer.manifest.header().sources_size(); ++i) {
        if (layer.manifest.header().sources(i).name() == info.name()) {
          problems +=
              layer.manifest.trailer().sources(i).totals().problems_count();
        }
      }
    }
    totals.set_problems_count(problems);
    *totals.mutable_problems() = end->totals().problems();
    LARDER_RETURN_IF_ERROR(WriteRecords(source, &totals));
    if (problems == 0 && totals.records() != info.cache().records()) {
      return absl::DataLossError(absl::StrFormat(
          "fold: snapshot %s: source %s: %d records vs expected %d",
          chain_.back().id, info.name(), totals.records(),
          info.cache().records()));
    }
    *end->mutable_totals() = totals;
  }
  return write_parts();
}

// All packs of the chain with frames in use, and all of the snapshot's own: who
// reads by the old manifest needs those.
void Fold::NamePacks() {
  std::map<std::string, const Pack*> packs;
  for (const SnapshotEntry& layer : chain_) {
    for (const Pack& pack : layer.manifest.packs()) packs[pack.name()] = &pack;
    for (const Pack& pack : layer.manifest.references()) {
      packs[pack.name()] = &pack;
    }
  }
  for (const Pack& pack : top_.packs()) {
    references_.try_emplace(pack.name(),
                            static_cast<uint32_t>(references_.size()));
  }
  std::vector<const Pack*> references(references_.size());
  for (const auto& [name, index] : references_) {
    references[index] = packs.at(name);
  }
  for (const Pack* pack : references) *manifest_.add_references() = *pack;
  for (const Pack& pack : writer_.packs()) *manifest_.add_packs() = pack;
}

absl::StatusOr<std::string> Fold::Run() {
  LARDER_RETURN_IF_ERROR(CheckSources());
  manifest_.set_format_version(backup::format::kFormatVersion);
  manifest_.set_ordinal(top_.ordinal());
  *manifest_.mutable_header() = top_.header();
  manifest_.mutable_header()->set_stream_id(StreamId());
  manifest_.mutable_folded_from()->set_id(top_.header().stream_id());
  manifest_.mutable_folded_from()->set_digest(top_.trailer().stream_digest());
  manifest_.mutable_header()->clear_base_snapshot_id();
  for (auto& source : *manifest_.mutable_header()->mutable_sources()) {
    source.mutable_cache()->set_base_epoch(0);
  }
  LARDER_RETURN_IF_ERROR(
      Write(ChunkType::kHeader, backup::format::kNoSource, manifest_.header()));
  for (int i = 0; i < top_.header().sources_size(); ++i) {
    LARDER_RETURN_IF_ERROR(WriteSource(static_cast<uint16_t>(i)));
  }
  backup::format::Trailer* trailer = manifest_.mutable_trailer();
  stream_.CountInto(trailer);
  LARDER_RETURN_IF_ERROR(
      Write(ChunkType::kTrailer, backup::format::kNoSource, *trailer));
  LARDER_RETURN_IF_ERROR(writer_.Close());
  if (options_.sync) {
    LARDER_RETURN_IF_ERROR(
        archive_.file_system()->SyncDirectory(PacksPath(archive_.path())));
  }
  NamePacks();
  std::string bytes = backup::format::EncodeManifest(manifest_);
  LARDER_RETURN_IF_ERROR(backup::format::DecodeManifest(bytes).status());
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> FoldChain(const Archive& archive,
                                      const std::vector<SnapshotEntry>& chain,
                                      const FoldOptions& options) {
  return Fold(archive, chain, options).Run();
}

}  // namespace larder::backup_internal
