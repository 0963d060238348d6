#include "backup/internal/pack_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/archive_file.h"
#include "backup/format/coding.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::format::Checksum128;
using backup::format::ChunkHeader;
using backup::format::ChunkType;
using backup::format::DecodeChunkHeader;
using backup::format::kChunkHeaderBytes;
using backup::format::kPackHeadBytes;

namespace {

// Looked at in one go when a header is searched; the first one is a sector.
constexpr uint64_t kSearchBytes = 1 << 20;
// Skipped when not even that can be read.
constexpr uint64_t kSectorBytes = 4096;

// Errors that mean damage to a pack, rather than to the machine.
bool IsDamage(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsOutOfRange(status) ||
         absl::IsNotFound(status);
}

absl::Status AsDataLoss(const absl::Status& status) {
  return absl::DataLossError(status.message());
}

}  // namespace

PackStream::PackStream(const backup::Archive* archive,
                       const backup::format::Manifest* manifest,
                       FilterFn filter, ProblemFn problem,
                       const backup::Cancellation* cancellation)
    : archive_(archive),
      manifest_(manifest),
      filter_(std::move(filter)),
      problem_(std::move(problem)),
      cancellation_(cancellation),
      seal_(archive->SealOf(*manifest)) {}

uint64_t PackStream::sequence_end() const {
  return pack_->first_sequence() + pack_->chunks();
}

uint64_t PackStream::bytes_end() const {
  return std::min<uint64_t>(file_->Size(), pack_->bytes());
}

absl::Status PackStream::At(uint64_t offset, const absl::Status& status) const {
  return absl::Status(
      status.code(),
      absl::StrCat(archive_->PackPath(pack_->name()), ": at byte ", offset,
                   ": ", status.message()));
}

absl::Status PackStream::OpenPack() {
  pack_ = &manifest_->packs(++pack_index_);
  const std::string path = archive_->PackPath(pack_->name());
  auto file = archive_->file_system()->Open(path, {.read_only = true});
  open_status_ = file.status();
  offset_ = search_from_ = kPackHeadBytes;
  wasted_ = 0;
  if (!file.ok()) {
    if (IsDamage(open_status_)) return absl::OkStatus();
    return open_status_;
  }
  file_ = *std::move(file);
  pack_checksum_.Reset();
  pack_checksum_valid_ = true;
  if (file_->Size() != pack_->bytes()) {
    pack_checksum_valid_ = false;
    problem_(absl::DataLossError(absl::StrFormat(
        "%s: %d bytes vs expected %d", path, file_->Size(), pack_->bytes())));
  }
  std::string head(kPackHeadBytes, '\0');
  absl::Status status = file_->ReadAt(0, absl::MakeSpan(head));
  if (status.ok()) {
    pack_checksum_.Update(head);
    const auto decoded = backup::format::DecodePackHead(head);
    if (absl::IsFailedPrecondition(decoded.status())) {
      return At(0, decoded.status());
    }
    status = decoded.status();
    if (decoded.ok() &&
        (decoded->stream_id != manifest_->header().stream_id() ||
         decoded->first_sequence != pack_->first_sequence())) {
      status = absl::DataLossError("head is of another pack");
    }
  }
  // The manifest knows all that a head says: a bad one costs nothing.
  if (!status.ok()) {
    if (!IsDamage(status)) return status;
    problem_(At(0, AsDataLoss(status)));
  }
  return absl::OkStatus();
}

void PackStream::ClosePack() {
  bytes_done_ += static_cast<int64_t>(pack_->bytes());
  if (file_ != nullptr && pack_checksum_valid_) {
    absl::uint128 expected = 0;
    backup::format::DecodeUint128(pack_->checksum(), &expected);
    const absl::uint128 found = pack_checksum_.Digest();
    if (found != expected || offset_ != pack_->bytes()) {
      problem_(absl::DataLossError(absl::StrFormat(
          "%s: checksum of %d bytes %s vs expected of %d bytes %s",
          archive_->PackPath(pack_->name()), offset_,
          backup::format::Hex(found), pack_->bytes(),
          backup::format::Hex(expected))));
    }
  }
  file_.reset();
  pack_ = nullptr;
}

StreamItem PackStream::Gap(uint64_t end, const absl::Status& reason) {
  pack_checksum_valid_ = false;
  problem_(reason);
  StreamItem item;
  item.kind = StreamItem::Kind::kGap;
  item.gap_first = sequence_;
  item.gap_count = end - sequence_;
  item.reason = reason;
  sequence_ = end;
  return item;
}

absl::Status PackStream::ReadHeader(uint64_t offset, Found* found) const {
  found->offset = offset;
  found->bytes.resize(kChunkHeaderBytes);
  if (offset + kChunkHeaderBytes > bytes_end()) {
    return absl::DataLossError(
        absl::StrFormat("chunk header: ends at %d vs pack's end %d",
                        offset + kChunkHeaderBytes, bytes_end()));
  }
  LARDER_RETURN_IF_ERROR(file_->ReadAt(offset, absl::MakeSpan(found->bytes)));
  LARDER_ASSIGN_OR_RETURN(
      found->header,
      DecodeChunkHeader(found->bytes, manifest_->header().stream_id()));
  const ChunkHeader& header = found->header;
  if (header.sequence < sequence_ || header.sequence >= sequence_end()) {
    return absl::DataLossError(
        absl::StrFormat("chunk header: sequence %d vs expected %d (below %d)",
                        header.sequence, sequence_, sequence_end()));
  }
  return absl::OkStatus();
}

void PackStream::StartAt(int pack) {
  pack_index_ = pack - 1;
  sequence_ = manifest_->packs(pack).first_sequence();
}

absl::StatusOr<StreamItem> PackStream::Next() {
  LARDER_RETURN_IF_ERROR(backup::CheckCancelled(cancellation_));
  if (resynced_ != nullptr) {
    const std::unique_ptr<Found> found = std::move(resynced_);
    return TakeChunk(std::move(*found));
  }
  while (pack_ == nullptr || sequence_ == sequence_end()) {
    if (pack_ != nullptr) ClosePack();
    if (pack_index_ + 1 == manifest_->packs_size()) return StreamItem{};
    LARDER_RETURN_IF_ERROR(OpenPack());
  }
  if (file_ == nullptr) return Gap(sequence_end(), AsDataLoss(open_status_));
  Found found;
  const absl::Status status = ReadHeader(offset_, &found);
  if (status.ok() && found.header.sequence == sequence_) {
    return TakeChunk(std::move(found));
  }
  if (status.ok()) {
    return Resync(absl::DataLossError(
        absl::StrFormat("chunk header: sequence %d vs expected %d",
                        found.header.sequence, sequence_)));
  }
  if (IsDamage(status)) return Resync(AsDataLoss(status));
  return At(offset_, status);
}

// Finds a header of this stream at or behind `from`, also an unaligned one.
absl::StatusOr<bool> PackStream::FindNext(uint64_t from, Found* found) {
  char magic[sizeof(uint32_t)];
  backup::format::StoreFixed<uint32_t>(backup::format::kChunkMagic, magic);
  const absl::string_view needle(magic, sizeof(magic));
  const uint64_t end = bytes_end();
  std::string window;
  uint64_t window_bytes = kSectorBytes;
  for (; from + kChunkHeaderBytes <= end;
       window_bytes = std::min(2 * window_bytes, kSearchBytes)) {
    LARDER_RETURN_IF_ERROR(backup::CheckCancelled(cancellation_));
    window.resize(std::min(window_bytes, end - from));
    if (!file_->ReadAt(from, absl::MakeSpan(window)).ok()) {
      window.resize(std::min(kSectorBytes, end - from));
      if (!file_->ReadAt(from, absl::MakeSpan(window)).ok()) {
        from += kSectorBytes;
        wasted_ += kSectorBytes;
        continue;
      }
    }
    for (size_t at = window.find(needle.data(), 0, needle.size());
         at != std::string::npos;
         at = window.find(needle.data(), at + 1, needle.size())) {
      const absl::Status status = ReadHeader(from + at, found);
      if (status.ok()) {
        wasted_ += at;
        return true;
      }
      if (!IsDamage(status)) return At(from + at, status);
    }
    // A magic may lie across the edge of two windows.
    const uint64_t passed = window.size() < kChunkHeaderBytes
                                ? window.size()
                                : window.size() - needle.size() + 1;
    from += passed;
    wasted_ += passed;
  }
  return false;
}

absl::StatusOr<StreamItem> PackStream::Resync(const absl::Status& reason) {
  const absl::Status where = At(offset_, reason);
  auto found = std::make_unique<Found>();
  LARDER_ASSIGN_OR_RETURN(const bool any, FindNext(search_from_, found.get()));
  if (!any) {
    offset_ = search_from_ = bytes_end();
    return Gap(sequence_end(), where);
  }
  offset_ = found->offset;
  if (found->header.sequence == sequence_) {
    // Foreign bytes in between; the chunk itself is there.
    pack_checksum_valid_ = false;
    problem_(where);
    return TakeChunk(std::move(*found));
  }
  const uint64_t next = found->header.sequence;
  resynced_ = std::move(found);
  return Gap(next, where);
}

absl::StatusOr<std::string> PackStream::TakePayload(const Found& found) {
  std::string stored(found.header.stored_bytes, '\0');
  LARDER_RETURN_IF_ERROR(
      file_->ReadAt(found.offset + kChunkHeaderBytes, absl::MakeSpan(stored)));
  LARDER_RETURN_IF_ERROR(CheckPayload(found.header, stored));
  pack_checksum_.Update(found.bytes);
  pack_checksum_.Update(stored);
  if (keep_sealed_ && (found.header.flags & backup::format::kFlagSealed) != 0) {
    return std::string();
  }
  return DecodePayload(found.header, std::move(stored), seal_);
}

absl::StatusOr<StreamItem> PackStream::TakeChunk(Found found) {
  StreamItem item;
  item.kind = StreamItem::Kind::kChunk;
  item.header = found.header;
  const uint64_t payload_at = found.offset + kChunkHeaderBytes;
  item.pack = pack_->name();
  item.payload_at = payload_at;
  // Not past the end of the pack: a size may lie, and is not allocated then.
  const uint64_t end = payload_at + found.header.stored_bytes;
  offset_ = std::min(end, bytes_end());
  // Until the payload has proved that the size is right.
  search_from_ = payload_at;
  const bool last = found.header.sequence == manifest_->trailer().chunks();
  if (!last) digest_.Update(found.bytes);
  if (end > bytes_end()) {
    return Gap(found.header.sequence + 1,
               At(found.offset, absl::DataLossError(absl::StrFormat(
                                    "chunk %d ends at %d vs pack's end %d",
                                    found.header.sequence, end, bytes_end()))));
  }
  if (filter_ && !filter_(found.header)) {
    pack_checksum_valid_ = false;
    sequence_ = found.header.sequence + 1;
    return item;
  }
  const bool sealed = (found.header.flags & backup::format::kFlagSealed) != 0;
  // No damage, of which a reader makes the best.
  if (sealed && !keep_sealed_ && !seal_.status().ok()) return seal_.status();
  absl::StatusOr<std::string> payload = TakePayload(found);
  const absl::Status status = payload.status();
  if (payload.ok()) item.payload = *std::move(payload);
  if (!status.ok()) {
    if (!IsDamage(status)) return At(found.offset, status);
    wasted_ += found.header.stored_bytes;
    if (wasted_ > kWastedMax * pack_->bytes()) {
      return Gap(
          sequence_end(),
          At(found.offset,
             absl::DataLossError(absl::StrFormat(
                 "%d bytes read in vain vs %d times the pack's %d: %s", wasted_,
                 kWastedMax, pack_->bytes(), status.message()))));
    }
    return Gap(found.header.sequence + 1, At(found.offset, AsDataLoss(status)));
  }
  search_from_ = offset_;
  sequence_ = found.header.sequence + 1;
  return item;
}

}  // namespace larder::backup_internal
