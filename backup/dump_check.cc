#include "backup/dump_check.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/archive_file.h"
#include "backup/format/dump_seal.h"
#include "backup/format/message.h"
#include "backup/format/sealed_dump.h"
#include "cache/check.h"
#include "cache/status_macros.h"

namespace larder::backup {

using format::ChunkHeader;
using format::ChunkType;

const format::Manifest& DumpCheck::manifest() const {
  LARDER_CHECK(complete_);
  return manifest_;
}

absl::Status DumpCheck::CheckNext(const ChunkHeader& header) const {
  if (complete_) {
    return absl::InvalidArgumentError(
        absl::StrCat("chunk ", header.sequence, ": comes behind the trailer"));
  }
  if (header.stream_id != stream_id_) {
    return absl::InvalidArgumentError(
        absl::StrFormat("chunk %d: stream %016x vs expected %016x",
                        header.sequence, header.stream_id, stream_id_));
  }
  if (header.sequence != next_sequence_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "chunk ", header.sequence, ": sequence vs expected ", next_sequence_));
  }
  if (header.Is(ChunkType::kHeader) != (next_sequence_ == 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("chunk ", header.sequence, ": type ", header.type,
                     ": a dump has one header, its first chunk"));
  }
  const bool sealed = (header.flags & format::kFlagSealed) != 0;
  if (sealed != (manifest_.header().has_encryption() &&
                 !format::IsAlwaysClear(header.type))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "chunk ", header.sequence, ": is ", sealed ? "sealed" : "in the clear",
        " vs its dump, which is not"));
  }
  return absl::OkStatus();
}

absl::Status DumpCheck::CheckHeader(const std::string& payload) {
  format::DumpHeader* header = manifest_.mutable_header();
  LARDER_RETURN_IF_ERROR(format::ParseMessage(payload, header));
  LARDER_RETURN_IF_ERROR(format::CheckDumpHeader(*header));
  if (header->stream_id() != stream_id_ ||
      header->snapshot_id() != snapshot_id_) {
    return absl::DataLossError(absl::StrFormat(
        "dump header: snapshot %s, stream %016x vs expected %s, %016x",
        header->snapshot_id(), header->stream_id(), snapshot_id_, stream_id_));
  }
  manifest_.set_format_version(header->format_version());
  return absl::OkStatus();
}

absl::Status DumpCheck::CheckTrailer(const std::string& payload) {
  format::Trailer* trailer = manifest_.mutable_trailer();
  LARDER_RETURN_IF_ERROR(format::ParseMessage(payload, trailer));
  absl::uint128 digest = 0;
  if (!format::DecodeUint128(trailer->stream_digest(), &digest)) {
    return absl::DataLossError("trailer: no stream digest");
  }
  if (trailer->chunks() != next_sequence_ || trailer->chunk_bytes() != bytes_ ||
      digest != digest_.Digest()) {
    return absl::DataLossError(absl::StrFormat(
        "trailer: %d chunks of %d bytes, digest %s vs %d of %d, %s that came",
        trailer->chunks(), trailer->chunk_bytes(), format::Hex(digest),
        next_sequence_, bytes_, format::Hex(digest_.Digest())));
  }
  return format::CheckSealForm(manifest_);
}

absl::Status DumpCheck::Add(const ChunkHeader& header,
                            absl::string_view bytes) {
  LARDER_RETURN_IF_ERROR(CheckNext(header));
  const bool last = header.Is(ChunkType::kTrailer);
  if (last || header.Is(ChunkType::kHeader)) {
    LARDER_ASSIGN_OR_RETURN(
        const std::string payload,
        format::DecodePayload(
            header, std::string(bytes.substr(format::kChunkHeaderBytes)),
            format::DumpSeal()));
    LARDER_RETURN_IF_ERROR(last ? CheckTrailer(payload) : CheckHeader(payload));
  }
  if (!last) digest_.Update(bytes.substr(0, format::kChunkHeaderBytes));
  complete_ = last;
  ++next_sequence_;
  bytes_ += bytes.size();
  return absl::OkStatus();
}

}  // namespace larder::backup
