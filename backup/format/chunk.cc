#include "backup/format/chunk.h"

#include <zstd.h>

#include <memory>
#include <utility>

#include "absl/strings/str_format.h"
#include "backup/format/checksum.h"
#include "backup/format/coding.h"
#include "cache/check.h"
#include "cache/status_macros.h"

namespace larder::backup::format {
namespace {

constexpr uint8_t kChunkVersion = 1;
// Flags that this version knows, and those it may not ignore.
constexpr uint32_t kKnownFlags = kFlagCritical | kFlagZstd | kFlagSealed;
constexpr uint32_t kFlagsThatRefuse = 0x0000ffff;

// Offsets of the fields; docs/formats/dump.md, "chunk".
constexpr size_t kMagicAt = 0;
constexpr size_t kVersionAt = 4;
constexpr size_t kTypeAt = 5;
constexpr size_t kSourceAt = 6;
constexpr size_t kFlagsAt = 8;
constexpr size_t kStoredBytesAt = 12;
constexpr size_t kRawBytesAt = 16;
constexpr size_t kReservedAt = 20;
constexpr size_t kStreamIdAt = 24;
constexpr size_t kSequenceAt = 32;
// What stands before it is bound to a sealed payload.
constexpr size_t kChecksumLowAt = 40;
constexpr size_t kChecksumHighAt = 48;
constexpr size_t kHeaderChecksumAt = 56;
static_assert(kHeaderChecksumAt + sizeof(uint64_t) == kChunkHeaderBytes);

void StoreChunkHeader(const ChunkHeader& h, char* to) {
  StoreFixed<uint32_t>(kChunkMagic, to + kMagicAt);
  StoreFixed<uint8_t>(kChunkVersion, to + kVersionAt);
  StoreFixed<uint8_t>(h.type, to + kTypeAt);
  StoreFixed<uint16_t>(h.source, to + kSourceAt);
  StoreFixed<uint32_t>(h.flags, to + kFlagsAt);
  StoreFixed<uint32_t>(h.stored_bytes, to + kStoredBytesAt);
  StoreFixed<uint32_t>(h.raw_bytes, to + kRawBytesAt);
  StoreFixed<uint32_t>(0, to + kReservedAt);
  StoreFixed<uint64_t>(h.stream_id, to + kStreamIdAt);
  StoreFixed<uint64_t>(h.sequence, to + kSequenceAt);
  StoreFixed<uint64_t>(absl::Uint128Low64(h.checksum), to + kChecksumLowAt);
  StoreFixed<uint64_t>(absl::Uint128High64(h.checksum), to + kChecksumHighAt);
  StoreFixed<uint64_t>(Checksum64({to, kHeaderChecksumAt}),
                       to + kHeaderChecksumAt);
}

// The bytes of a header that are bound to a sealed payload.
std::string BoundToPayload(const ChunkHeader& header) {
  std::string bytes(kChunkHeaderBytes, '\0');
  StoreChunkHeader(header, bytes.data());
  bytes.resize(kChecksumLowAt);
  return bytes;
}

// Seals the payload, as the dump is, and puts `header`, with its sizes and
// checksum, in front of it. `header.raw_bytes` are set.
void Finish(ChunkHeader header, const DumpSeal& seal, Chunk* chunk) {
  const bool sealed = seal.sealed() && !IsAlwaysClear(header.type);
  header.flags &= ~kFlagSealed;
  header.stored_bytes =
      static_cast<uint32_t>(chunk->bytes.size() - kChunkHeaderBytes);
  if (sealed) {
    header.flags |= kFlagSealed;
    header.stored_bytes += static_cast<uint32_t>(kSealTagBytes);
    seal.Encrypt(header.sequence, BoundToPayload(header), kChunkHeaderBytes,
                 &chunk->bytes);
  }
  LARDER_CHECK(chunk->bytes.size() <= kChunkBytesMax);
  header.checksum =
      Checksum128(absl::string_view(chunk->bytes).substr(kChunkHeaderBytes));
  StoreChunkHeader(header, chunk->bytes.data());
  chunk->header = header;
}

absl::Status CheckSizes(const ChunkHeader& h) {
  if (h.stored_bytes > kChunkPayloadBytesMax) {
    return absl::DataLossError(
        absl::StrFormat("chunk %d: payload of %d bytes exceeds %d", h.sequence,
                        h.stored_bytes, kChunkPayloadBytesMax));
  }
  const uint64_t tag = (h.flags & kFlagSealed) != 0 ? kSealTagBytes : 0;
  if (h.stored_bytes < tag) {
    return absl::DataLossError(
        absl::StrFormat("chunk %d: sealed payload of %d bytes vs at least %d",
                        h.sequence, h.stored_bytes, tag));
  }
  const uint64_t stored = h.stored_bytes - tag;
  if ((h.flags & kFlagZstd) == 0) {
    if (h.raw_bytes == stored) return absl::OkStatus();
    return absl::DataLossError(
        absl::StrFormat("chunk %d: plain payload: %d bytes vs %d stored",
                        h.sequence, h.raw_bytes, stored));
  }
  if (h.raw_bytes > kDecodedBytesMax || h.raw_bytes > stored * kRatioMax) {
    return absl::DataLossError(absl::StrFormat(
        "chunk %d: decoded size: %d bytes exceeds %d, or %d times %d stored",
        h.sequence, h.raw_bytes, kDecodedBytesMax, kRatioMax, stored));
  }
  return absl::OkStatus();
}

// The window that decoding `frame` needs, in bytes; 0 when it says none of its
// own (then it is the content's size). RFC 8878, 3.1.1.1.
uint64_t WindowBytes(absl::string_view frame) {
  constexpr size_t kDescriptorAt = 4;
  constexpr uint8_t kSingleSegment = 0x20;
  if (frame.size() < kDescriptorAt + 2) return 0;
  if ((static_cast<uint8_t>(frame[kDescriptorAt]) & kSingleSegment) != 0) {
    return 0;
  }
  const uint8_t window = static_cast<uint8_t>(frame[kDescriptorAt + 1]);
  const uint64_t base = uint64_t{1} << (10 + (window >> 3));
  return base + base / 8 * (window & 7);
}

absl::Status CheckZstdFrame(const ChunkHeader& h, absl::string_view stored) {
  const unsigned long long content =
      ZSTD_getFrameContentSize(stored.data(), stored.size());
  if (content != h.raw_bytes) {
    return absl::DataLossError(absl::StrFormat(
        "chunk %d: zstd frame says %d bytes vs %d in the chunk's header",
        h.sequence, content, h.raw_bytes));
  }
  if (WindowBytes(stored) > (uint64_t{1} << kWindowLogMax)) {
    return absl::DataLossError(
        absl::StrFormat("chunk %d: zstd window of %d bytes exceeds 2^%d",
                        h.sequence, WindowBytes(stored), kWindowLogMax));
  }
  return absl::OkStatus();
}

ZSTD_DCtx* ThreadDecompressor() {
  thread_local std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(
      ZSTD_createDCtx(), ZSTD_freeDCtx);
  LARDER_CHECK(context != nullptr);
  return context.get();
}

}  // namespace

bool ChunkHeader::known() const {
  return type >= static_cast<uint8_t>(ChunkType::kHeader) &&
         type <= static_cast<uint8_t>(ChunkType::kNames);
}

bool IsAlwaysClear(uint8_t type) {
  return type == static_cast<uint8_t>(ChunkType::kHeader) ||
         type == static_cast<uint8_t>(ChunkType::kTrailer);
}

Compressor::Compressor(int level) : level_(level), context_(ZSTD_createCCtx()) {
  LARDER_CHECK(context_ != nullptr);
}

Compressor::~Compressor() { ZSTD_freeCCtx(static_cast<ZSTD_CCtx*>(context_)); }

PackedPayload PackInPlace(std::string room_and_payload) {
  LARDER_CHECK(room_and_payload.size() >= kChunkHeaderBytes);
  PackedPayload packed;
  packed.raw_bytes =
      static_cast<uint32_t>(room_and_payload.size() - kChunkHeaderBytes);
  packed.room_and_payload = std::move(room_and_payload);
  return packed;
}

Chunk FinishChunk(ChunkHeader header, PackedPayload payload,
                  const DumpSeal& seal) {
  Chunk chunk;
  chunk.bytes = std::move(payload.room_and_payload);
  LARDER_CHECK(chunk.bytes.size() >= kChunkHeaderBytes);
  header.flags &= ~kFlagZstd;
  if (payload.zstd) header.flags |= kFlagZstd;
  header.raw_bytes = payload.raw_bytes;
  Finish(header, seal, &chunk);
  return chunk;
}

namespace {

PackedPayload PackPlain(absl::string_view payload) {
  std::string bytes;
  bytes.reserve(kChunkHeaderBytes + payload.size() + kSealTagBytes);
  bytes.assign(kChunkHeaderBytes, '\0');
  bytes.append(payload.data(), payload.size());
  return PackInPlace(std::move(bytes));
}

}  // namespace

absl::StatusOr<PackedPayload> Compressor::Pack(absl::string_view payload) {
  if (payload.size() > kDecodedBytesMax) {
    return absl::InternalError(
        absl::StrFormat("chunk: payload of %d bytes exceeds %d", payload.size(),
                        kDecodedBytesMax));
  }
  // What does not fit saves under 5 %, and is not worth decoding.
  const size_t most = payload.size() - payload.size() / 20;
  std::string bytes(kChunkHeaderBytes + most, '\0');
  const size_t n = ZSTD_compressCCtx(static_cast<ZSTD_CCtx*>(context_),
                                     &bytes[kChunkHeaderBytes], most,
                                     payload.data(), payload.size(), level_);
  if (ZSTD_isError(n) != 0 || n >= payload.size()) return PackPlain(payload);
  PackedPayload packed;
  packed.room_and_payload = bytes.substr(0, kChunkHeaderBytes + n);
  packed.raw_bytes = static_cast<uint32_t>(payload.size());
  packed.zstd = true;
  return packed;
}

Chunk Compressor::Build(ChunkHeader header, absl::string_view payload,
                        bool try_compress, const DumpSeal& seal) {
  if (!try_compress) return FinishChunk(header, PackPlain(payload), seal);
  absl::StatusOr<PackedPayload> packed = Pack(payload);
  LARDER_CHECK(packed.ok());
  return FinishChunk(header, *std::move(packed), seal);
}

void EncodeChunkHeader(const ChunkHeader& header, std::string* out) {
  const size_t at = out->size();
  out->resize(at + kChunkHeaderBytes);
  StoreChunkHeader(header, out->data() + at);
}

absl::StatusOr<ChunkHeader> DecodeChunkHeader(
    absl::string_view bytes, std::optional<uint64_t> stream_id) {
  LARDER_CHECK(bytes.size() == kChunkHeaderBytes);
  const char* p = bytes.data();
  const uint32_t magic = LoadFixed<uint32_t>(p + kMagicAt);
  if (magic != kChunkMagic) {
    return absl::DataLossError(absl::StrFormat(
        "chunk header: magic %08x vs expected %08x", magic, kChunkMagic));
  }
  const uint64_t found = LoadFixed<uint64_t>(p + kHeaderChecksumAt);
  const uint64_t expected = Checksum64(bytes.substr(0, kHeaderChecksumAt));
  if (found != expected) {
    return absl::DataLossError(absl::StrFormat(
        "chunk header: checksum %016x vs expected %016x", found, expected));
  }
  ChunkHeader h;
  h.type = LoadFixed<uint8_t>(p + kTypeAt);
  h.source = LoadFixed<uint16_t>(p + kSourceAt);
  h.flags = LoadFixed<uint32_t>(p + kFlagsAt);
  h.stored_bytes = LoadFixed<uint32_t>(p + kStoredBytesAt);
  h.raw_bytes = LoadFixed<uint32_t>(p + kRawBytesAt);
  h.stream_id = LoadFixed<uint64_t>(p + kStreamIdAt);
  h.sequence = LoadFixed<uint64_t>(p + kSequenceAt);
  h.checksum = absl::MakeUint128(LoadFixed<uint64_t>(p + kChecksumHighAt),
                                 LoadFixed<uint64_t>(p + kChecksumLowAt));
  if (stream_id.has_value() && h.stream_id != *stream_id) {
    return absl::DataLossError(
        absl::StrFormat("chunk header: stream %016x vs expected %016x",
                        h.stream_id, *stream_id));
  }
  const uint8_t version = LoadFixed<uint8_t>(p + kVersionAt);
  if (version != kChunkVersion || LoadFixed<uint32_t>(p + kReservedAt) != 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("chunk %d: version %d vs %d known", h.sequence, version,
                        kChunkVersion));
  }
  if ((h.flags & kFlagsThatRefuse & ~kKnownFlags) != 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("chunk %d: critical flags %04x vs %04x known",
                        h.sequence, h.flags & kFlagsThatRefuse, kKnownFlags));
  }
  if (!h.known() && (h.flags & kFlagCritical) != 0) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "chunk %d: critical type %d is not known", h.sequence, h.type));
  }
  LARDER_RETURN_IF_ERROR(CheckSizes(h));
  return h;
}

absl::Status CheckPayload(const ChunkHeader& header, absl::string_view stored) {
  if (stored.size() != header.stored_bytes) {
    return absl::DataLossError(
        absl::StrFormat("chunk %d: payload of %d bytes vs expected %d",
                        header.sequence, stored.size(), header.stored_bytes));
  }
  const absl::uint128 found = Checksum128(stored);
  if (found != header.checksum) {
    return absl::DataLossError(
        absl::StrFormat("chunk %d: payload checksum %s vs expected %s",
                        header.sequence, Hex(found), Hex(header.checksum)));
  }
  return absl::OkStatus();
}

namespace {

// Takes the seal off, if there is one and there should be.
absl::Status Unseal(const ChunkHeader& header, const DumpSeal& seal,
                    std::string* stored) {
  const bool is_sealed = (header.flags & kFlagSealed) != 0;
  // Or whoever can write could replace sealed chunks by others of his own.
  if (is_sealed != (seal.sealed() && !IsAlwaysClear(header.type))) {
    return absl::DataLossError(absl::StrFormat(
        "chunk %d: type %d: is %s vs its dump, which is %s", header.sequence,
        header.type, is_sealed ? "sealed" : "in the clear",
        seal.sealed() ? "sealed" : "in the clear"));
  }
  if (!is_sealed) return absl::OkStatus();
  return seal.Decrypt(header.sequence, BoundToPayload(header), stored);
}

}  // namespace

absl::StatusOr<std::string> DecodePayload(const ChunkHeader& header,
                                          std::string stored,
                                          const DumpSeal& seal) {
  LARDER_RETURN_IF_ERROR(Unseal(header, seal, &stored));
  if ((header.flags & kFlagZstd) == 0) return stored;
  LARDER_RETURN_IF_ERROR(CheckZstdFrame(header, stored));
  std::string raw(header.raw_bytes, '\0');
  const size_t n =
      ZSTD_decompressDCtx(ThreadDecompressor(), raw.data(), raw.size(),
                          stored.data(), stored.size());
  if (ZSTD_isError(n) != 0 || n != raw.size()) {
    return absl::DataLossError(absl::StrFormat(
        "chunk %d: decoding: %s", header.sequence,
        ZSTD_isError(n) != 0 ? ZSTD_getErrorName(n) : "wrong size"));
  }
  return raw;
}

}  // namespace larder::backup::format
