#include "backup/internal/chunk_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "backup/format/limits.h"

namespace larder::backup_internal {

using backup::format::Chunk;
using backup::format::ChunkHeader;
using backup::format::ChunkType;
using backup::format::DumpSeal;

namespace {

// A tag makes it longer.
size_t PayloadBytesMax(const DumpSeal& seal) {
  return backup::format::kChunkPayloadBytesMax -
         (seal.sealed() ? backup::format::kSealTagBytes : 0);
}

absl::Status TooLarge(size_t bytes, size_t bytes_max) {
  return absl::InternalError(
      absl::StrCat("chunk: ", bytes, " bytes exceeds ", bytes_max));
}

}  // namespace

ChunkHeader ChunkStream::NextHeader(ChunkType type, uint16_t source) {
  ChunkHeader header;
  header.type = static_cast<uint8_t>(type);
  header.source = source;
  header.flags = type == ChunkType::kNames ? 0 : backup::format::kFlagCritical;
  header.stream_id = stream_id_;
  header.sequence = next_sequence_++;
  return header;
}

void ChunkStream::Count(const Chunk& chunk) {
  if (!chunk.header.Is(ChunkType::kTrailer)) {
    digest_.Update(absl::string_view(chunk.bytes)
                       .substr(0, backup::format::kChunkHeaderBytes));
  }
  bytes_ += static_cast<int64_t>(chunk.bytes.size());
}

absl::StatusOr<Chunk> ChunkStream::Build(
    ChunkType type, uint16_t source, backup::format::PackedPayload payload) {
  const size_t most =
      backup::format::kChunkHeaderBytes + PayloadBytesMax(seal_);
  if (payload.room_and_payload.size() > most) {
    return TooLarge(payload.room_and_payload.size(), most);
  }
  Chunk chunk = backup::format::FinishChunk(NextHeader(type, source),
                                            std::move(payload), seal_);
  Count(chunk);
  return chunk;
}

void ChunkStream::CountInto(backup::format::Trailer* trailer) const {
  trailer->set_chunks(next_sequence_);
  trailer->set_chunk_bytes(static_cast<uint64_t>(bytes_));
  trailer->set_stream_digest(backup::format::EncodeUint128(digest_.Digest()));
}

}  // namespace larder::backup_internal
