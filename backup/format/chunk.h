// The chunk: the unit in which a dump is written, sent, checked and lost.
//
// Bytes: docs/formats/dump.md, "chunk".
#ifndef LARDER_BACKUP_FORMAT_CHUNK_H_
#define LARDER_BACKUP_FORMAT_CHUNK_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/format/dump_seal.h"
#include "backup/format/limits.h"

namespace larder::backup::format {

// Numbers are part of the format; never reuse one.
enum class ChunkType : uint8_t {
  kHeader = 1,         // DumpHeader.
  kTrailer = 2,        // Trailer.
  kInvalidations = 3,  // Invalidations.
  kRecords = 4,        // Records.
  kFrames = 5,         // Frames back to back, FramesIndex, u32 its size.
  kFiles = 6,          // Files.
  kNames = 7,          // Names. Ignorable.
};

inline constexpr size_t kChunkHeaderBytes = 64;
inline constexpr size_t kChunkBytesMax =
    kChunkHeaderBytes + kChunkPayloadBytesMax;
inline constexpr uint32_t kChunkMagic = 0x4b43444c;  // "LDCK".
// ChunkHeader::source of a chunk that belongs to the dump as a whole.
inline constexpr uint16_t kNoSource = 0xffff;

// Bits 0 to 15 refuse when unknown, bits 16 to 31 are ignored.
inline constexpr uint32_t kFlagCritical =
    1;  // Refuse the dump if `type` is unknown.
inline constexpr uint32_t kFlagZstd = 2;  // The payload is one zstd frame.
// The payload, compressed or not, is encrypted, and a tag follows it. In a
// sealed dump all chunks are but header and trailer; in another none is.
inline constexpr uint32_t kFlagSealed = 4;

// A plain value.
struct ChunkHeader {
  uint8_t type = 0;  // A ChunkType, when known.
  uint16_t source = kNoSource;
  uint32_t flags = 0;
  uint32_t stored_bytes = 0;  // Of the payload that follows.
  uint32_t raw_bytes = 0;     // Of the payload once decoded.
  uint64_t stream_id = 0;
  uint64_t sequence = 0;
  absl::uint128 checksum = 0;  // XXH3-128 of the payload as stored.

  bool known() const;
  bool Is(ChunkType t) const { return type == static_cast<uint8_t>(t); }
};

// A chunk as it is written and sent. Immutable once built.
struct Chunk {
  ChunkHeader header;
  std::string bytes;  // Header and stored payload.
};

// Whether a chunk of this type is in the clear also in a sealed dump: who has
// no key receives, lists and checks dumps by these. Their seal is in the
// trailer (sealed_dump.h).
bool IsAlwaysClear(uint8_t type);

// A payload as chunks will store it, but for their seals, behind
// kChunkHeaderBytes of room. A plain value.
struct PackedPayload {
  std::string room_and_payload;
  uint32_t raw_bytes = 0;  // Of the payload once decoded.
  bool zstd = false;
};
// A plain payload behind its room, without copying.
PackedPayload PackInPlace(std::string room_and_payload);

// Puts a header into the room, without copying. `header` brings type, source,
// critical flag, stream and sequence.
// Requires: at most kChunkBytesMax bytes, a tag included.
Chunk FinishChunk(ChunkHeader header, PackedPayload payload,
                  const DumpSeal& seal);

// Compresses with zstd, for one thread. Single-owner.
class Compressor {
 public:
  // `level` 1 to 19.
  explicit Compressor(int level);
  ~Compressor();
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  // Compresses `payload`, when that saves at least 5 %; for any number of
  // chunks. Errors: kInternal: over kDecodedBytesMax.
  absl::StatusOr<PackedPayload> Pack(absl::string_view payload);

  // One chunk; compressed, as above, when `try_compress`.
  // Requires: payload.size() <= kChunkPayloadBytesMax, a tag included, and
  // kDecodedBytesMax when compressing.
  Chunk Build(ChunkHeader header, absl::string_view payload, bool try_compress,
              const DumpSeal& seal = DumpSeal());

 private:
  const int level_;
  void* const context_;  // ZSTD_CCtx.
};

// Appends the 64 bytes of `header` to `*out`.
void EncodeChunkHeader(const ChunkHeader& header, std::string* out);

// Errors: kDataLoss (magic, checksum, a size beyond the limits),
// kFailedPrecondition (a newer version; unknown critical flags or type).
// With a `stream_id`, a header of another stream is kDataLoss, whatever its
// version: it is foreign bytes.
// Requires: bytes.size() == kChunkHeaderBytes.
absl::StatusOr<ChunkHeader> DecodeChunkHeader(
    absl::string_view bytes, std::optional<uint64_t> stream_id = std::nullopt);

// Checks `stored` against its header; takes no key. Errors: kDataLoss.
absl::Status CheckPayload(const ChunkHeader& header, absl::string_view stored);

// The plain payload; the one way to it, so that no reader forgets a seal.
// `seal` is that of the dump, as its header says. Requires: CheckPayload() was
// OK. Errors: kDataLoss: a seal that is broken, or is there or not there unlike
// that of the dump; not zstd, a window above 2^kWindowLogMax, more or fewer
// bytes than the header says. seal.status(). Allocates header.raw_bytes, never
// more.
absl::StatusOr<std::string> DecodePayload(const ChunkHeader& header,
                                          std::string stored,
                                          const DumpSeal& seal);

}  // namespace larder::backup::format

#endif  // LARDER_BACKUP_FORMAT_CHUNK_H_
