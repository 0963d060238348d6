#include "backup/internal/pack_writer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "backup/format/archive_file.h"
#include "backup/format/limits.h"
#include "cache/check.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::format::Chunk;
using backup::format::ChunkHeader;
using backup::format::kChunkHeaderBytes;
using backup::format::kPackHeadBytes;
using backup::format::Pack;
using backup::format::PackHead;

namespace {

// Of bytes: that they are not what was written, or not there.
bool IsDamage(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsOutOfRange(status) ||
         absl::IsFailedPrecondition(status);
}

}  // namespace

uint64_t PackWriter::next_sequence() const {
  return packs_.empty()
             ? 0
             : packs_.back().first_sequence() + packs_.back().chunks();
}

absl::Status PackWriter::OpenPack(uint64_t first_sequence) {
  if (static_cast<int64_t>(packs_.size()) >= backup::format::kPacksMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat(options_.directory, ": dump needs more than ",
                     backup::format::kPacksMax, " packs"));
  }
  Pack pack;
  const uint32_t index =
      options_.first_index + static_cast<uint32_t>(packs_.size());
  pack.set_name(backup::format::PackName(options_.snapshot_id, index));
  pack.set_first_sequence(first_sequence);
  paths_.push_back(absl::StrCat(options_.directory, "/", pack.name()));
  LARDER_ASSIGN_OR_RETURN(
      file_, options_.file_system->Open(paths_.back(),
                                        {.create = true, .owner_only = true}));
  LARDER_RETURN_IF_ERROR(file_->Resize(0));
  names_synced_ = false;
  packs_.push_back(std::move(pack));
  checksum_.Reset();
  return Write(
      backup::format::EncodePackHead({.index = index,
                                      .stream_id = options_.stream_id,
                                      .first_sequence = first_sequence}));
}

absl::Status PackWriter::Write(absl::string_view bytes) {
  Pack& pack = packs_.back();
  const uint64_t offset = pack.bytes();
  const uint64_t end = offset + bytes.size();
  if (end > file_->Size()) {
    // Room for as much again: growing costs as much as a small write.
    LARDER_RETURN_IF_ERROR(file_->Resize(std::max(
        end, std::min(2 * end, static_cast<uint64_t>(options_.pack_bytes)))));
  }
  LARDER_RETURN_IF_ERROR(file_->WriteAt(offset, bytes));
  checksum_.Update(bytes);
  pack.set_bytes(end);
  return absl::OkStatus();
}

absl::Status PackWriter::Append(const Chunk& chunk) {
  if (file_ != nullptr &&
      static_cast<int64_t>(packs_.back().bytes() + chunk.bytes.size()) >
          options_.pack_bytes &&
      packs_.back().chunks() > 0) {
    LARDER_RETURN_IF_ERROR(Close());
  }
  if (file_ == nullptr) {
    LARDER_RETURN_IF_ERROR(OpenPack(chunk.header.sequence));
  }
  LARDER_RETURN_IF_ERROR(Write(chunk.bytes));
  packs_.back().set_chunks(packs_.back().chunks() + 1);
  return absl::OkStatus();
}

absl::Status PackWriter::Sync() {
  if (!options_.sync) return absl::OkStatus();
  if (file_ != nullptr) LARDER_RETURN_IF_ERROR(file_->Sync());
  if (names_synced_) return absl::OkStatus();
  LARDER_RETURN_IF_ERROR(
      options_.file_system->SyncDirectory(options_.directory));
  names_synced_ = true;
  return absl::OkStatus();
}

absl::Status PackWriter::Close() {
  if (file_ == nullptr) return absl::OkStatus();
  LARDER_RETURN_IF_ERROR(file_->Resize(packs_.back().bytes()));
  if (options_.sync) LARDER_RETURN_IF_ERROR(file_->Sync());
  file_.reset();
  packs_.back().set_checksum(backup::format::EncodeUint128(checksum_.Digest()));
  return absl::OkStatus();
}

absl::StatusOr<bool> PackWriter::RecoverChunk(const ChunkFn& chunk) {
  Pack& pack = packs_.back();
  const uint64_t left = file_->Size() - pack.bytes();
  if (left < kChunkHeaderBytes) return false;
  std::string bytes(kChunkHeaderBytes, '\0');
  LARDER_RETURN_IF_ERROR(file_->ReadAt(pack.bytes(), absl::MakeSpan(bytes)));
  LARDER_ASSIGN_OR_RETURN(
      const ChunkHeader header,
      backup::format::DecodeChunkHeader(bytes, options_.stream_id));
  if (header.sequence != next_sequence() ||
      left - kChunkHeaderBytes < header.stored_bytes) {
    return false;
  }
  bytes.resize(kChunkHeaderBytes + header.stored_bytes);
  LARDER_RETURN_IF_ERROR(
      file_->ReadAt(pack.bytes() + kChunkHeaderBytes,
                    absl::MakeSpan(bytes).subspan(kChunkHeaderBytes)));
  LARDER_RETURN_IF_ERROR(backup::format::CheckPayload(
      header, absl::string_view(bytes).substr(kChunkHeaderBytes)));
  LARDER_RETURN_IF_ERROR(chunk(header, bytes));
  checksum_.Update(bytes);
  pack.set_bytes(pack.bytes() + bytes.size());
  pack.set_chunks(pack.chunks() + 1);
  return true;
}

absl::StatusOr<bool> PackWriter::RecoverPack(const std::string& name,
                                             const ChunkFn& chunk) {
  LARDER_ASSIGN_OR_RETURN(auto file,
                          options_.file_system->Open(paths_.back(), {}));
  std::string head_bytes(kPackHeadBytes, '\0');
  const absl::Status read = file->ReadAt(0, absl::MakeSpan(head_bytes));
  const absl::StatusOr<PackHead> head =
      read.ok() ? backup::format::DecodePackHead(head_bytes)
                : absl::StatusOr<PackHead>(read);
  if (!head.ok() && !IsDamage(head.status())) return head.status();
  if (!head.ok() || head->index != packs_.size() ||
      head->stream_id != options_.stream_id ||
      head->first_sequence != next_sequence()) {
    return false;  // The pack before it stays the last one.
  }
  // A new last one: the one before is whole.
  if (!packs_.empty()) LARDER_RETURN_IF_ERROR(Close());
  Pack pack;
  pack.set_name(name);
  pack.set_first_sequence(head->first_sequence);
  pack.set_bytes(kPackHeadBytes);
  packs_.push_back(std::move(pack));
  file_ = std::move(file);
  checksum_.Reset();
  checksum_.Update(head_bytes);
  while (packs_.back().bytes() < file_->Size()) {
    const absl::StatusOr<bool> taken = RecoverChunk(chunk);
    if (!taken.ok() && !IsDamage(taken.status())) return taken.status();
    if (taken.ok() && *taken) continue;
    LARDER_RETURN_IF_ERROR(file_->Resize(packs_.back().bytes()));
    return false;
  }
  return true;
}

absl::Status PackWriter::Recover(const ChunkFn& chunk) {
  LARDER_CHECK(packs_.empty());
  bool whole = true;
  for (int64_t i = 0; i < backup::format::kPacksMax; ++i) {
    const std::string name = backup::format::PackName(options_.snapshot_id,
                                                      static_cast<uint32_t>(i));
    const std::string path = absl::StrCat(options_.directory, "/", name);
    if (!options_.file_system->Exists(path)) break;
    paths_.push_back(path);
    if (whole) {
      LARDER_ASSIGN_OR_RETURN(whole, RecoverPack(name, chunk));
      if (packs_.size() == paths_.size()) continue;
    }
    LARDER_RETURN_IF_ERROR(options_.file_system->Remove(path));
  }
  paths_.resize(packs_.size());
  names_synced_ = false;
  return Sync();
}

}  // namespace larder::backup_internal
