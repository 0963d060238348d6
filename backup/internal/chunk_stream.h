// Numbers the chunks of a dump, and seals them when it is sealed.
#ifndef LARDER_BACKUP_INTERNAL_CHUNK_STREAM_H_
#define LARDER_BACKUP_INTERNAL_CHUNK_STREAM_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/format/dump_seal.h"

namespace larder::backup_internal {

// Single-owner.
class ChunkStream {
 public:
  ChunkStream(uint64_t stream_id, int zstd_level)
      : stream_id_(stream_id), compressor_(zstd_level) {}

  // Begins again with chunk 0. `seal`: of this dump alone.
  void Restart(backup::format::DumpSeal seal);

  // The next chunk. Errors: kInternal: the payload is over the limits.
  absl::StatusOr<backup::format::Chunk> Build(backup::format::ChunkType type,
                                              uint16_t source,
                                              bool try_compress,
                                              absl::string_view payload);
  // The same for a plain payload behind kChunkHeaderBytes of room.
  absl::StatusOr<backup::format::Chunk> BuildInPlace(
      backup::format::ChunkType type, uint16_t source,
      std::string room_and_payload);

  uint64_t next_sequence() const { return next_sequence_; }
  int64_t bytes() const { return bytes_; }  // Of the chunks so far.
  const backup::format::DumpSeal& seal() const { return seal_; }
  // Says in `*trailer`, whose chunk comes next, what came before it.
  void CountInto(backup::format::Trailer* trailer) const;

 private:
  backup::format::ChunkHeader NextHeader(backup::format::ChunkType type,
                                         uint16_t source);
  void Count(const backup::format::Chunk& chunk);

  const uint64_t stream_id_;
  backup::format::Compressor compressor_;
  backup::format::DumpSeal seal_;
  // Over the headers, but for the trailer's.
  backup::format::StreamingChecksum128 digest_;
  uint64_t next_sequence_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_CHUNK_STREAM_H_
