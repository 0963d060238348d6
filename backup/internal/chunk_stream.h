// Numbers the chunks of a dump, and seals them when it is sealed.
#ifndef LARDER_BACKUP_INTERNAL_CHUNK_STREAM_H_
#define LARDER_BACKUP_INTERNAL_CHUNK_STREAM_H_

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/format/dump_seal.h"

namespace larder::backup_internal {

// Single-owner.
class ChunkStream {
 public:
  // `seal`: of this dump alone.
  ChunkStream(uint64_t stream_id, backup::format::DumpSeal seal)
      : stream_id_(stream_id), seal_(std::move(seal)) {}

  // The next chunk. Errors: kInternal: the payload is over the limits.
  absl::StatusOr<backup::format::Chunk> Build(
      backup::format::ChunkType type, uint16_t source,
      backup::format::PackedPayload payload);

  uint64_t next_sequence() const { return next_sequence_; }
  int64_t bytes() const { return bytes_; }  // Of the chunks so far.
  // Says in `*trailer`, whose chunk comes next, what came before it.
  void CountInto(backup::format::Trailer* trailer) const;

 private:
  backup::format::ChunkHeader NextHeader(backup::format::ChunkType type,
                                         uint16_t source);
  void Count(const backup::format::Chunk& chunk);

  const uint64_t stream_id_;
  const backup::format::DumpSeal seal_;
  // Over the headers, but for the trailer's.
  backup::format::StreamingChecksum128 digest_;
  uint64_t next_sequence_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_CHUNK_STREAM_H_
