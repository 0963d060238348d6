// A chunk: its header encodes to the very bytes it was decoded from; its
// payload decodes to as many bytes as it says, or not at all; and not at all
// with the seal of a dump that it is not of.
#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/crypto/secret_key.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/coding.h"
#include "backup/format/dump_seal.h"
#include "backup/format/limits.h"
#include "cache/check.h"
#include "tests/fuzz/dump_message.h"
#include "tests/fuzz/input.h"

namespace larder::backup::format {
namespace {

// docs/formats/dump.md, "chunk".
constexpr size_t kFlagsAt = 8;
constexpr size_t kStoredBytesAt = 12;
constexpr size_t kRawBytesAt = 16;
constexpr size_t kPayloadChecksumAt = 40;
constexpr size_t kHeaderChecksumAt = 56;

// Compressing megabytes again would be all that a run does.
constexpr size_t kRebuildBytesMax = 64 << 10;

// Of a dump whose key nobody else has.
const DumpSeal& FuzzSeal() {
  static const DumpSeal& seal =
      *new DumpSeal(crypto::SecretKey(std::string(32, 'k')),
                    std::string(kSaltBytes, 's'), /*stream_id=*/1);
  return seal;
}

void CheckRebuilds(const ChunkHeader& header, const std::string& payload,
                   const DumpSeal& seal) {
  static Compressor& compressor = *new Compressor(1);
  const Chunk chunk =
      compressor.Build(header, payload, /*try_compress=*/true, seal);
  LARDER_CHECK(chunk.bytes.size() <=
               kChunkHeaderBytes + payload.size() + kSealTagBytes);
  const absl::string_view bytes = chunk.bytes;
  const auto decoded = DecodeChunkHeader(bytes.substr(0, kChunkHeaderBytes));
  LARDER_CHECK(decoded.ok());
  const absl::string_view stored = bytes.substr(kChunkHeaderBytes);
  LARDER_CHECK(CheckPayload(*decoded, stored).ok());
  LARDER_CHECK(((decoded->flags & kFlagSealed) != 0) ==
               (seal.sealed() && !IsAlwaysClear(header.type)));
  const auto again = DecodePayload(*decoded, std::string(stored), seal);
  LARDER_CHECK(again.ok() && *again == payload);
}

void CheckPayloadOf(const ChunkHeader& header, absl::string_view stored) {
  const absl::Status sound = CheckPayload(header, stored);
  if (!sound.ok()) return tests::CheckRefusal(sound);
  // A tag is not guessed.
  const auto sealed = DecodePayload(header, std::string(stored), FuzzSeal());
  LARDER_CHECK(!sealed.ok() || IsAlwaysClear(header.type));
  if (!sealed.ok()) tests::CheckRefusal(sealed.status());
  const auto payload = DecodePayload(header, std::string(stored), DumpSeal());
  if (!payload.ok()) return tests::CheckRefusal(payload.status());
  LARDER_CHECK(payload->size() == header.raw_bytes);
  if (payload->size() > kRebuildBytesMax) return;
  CheckRebuilds(header, *payload, DumpSeal());
  CheckRebuilds(header, *payload, FuzzSeal());
}

void Check(absl::string_view bytes) {
  if (bytes.size() < kChunkHeaderBytes) return;
  const absl::string_view front = bytes.substr(0, kChunkHeaderBytes);
  const absl::StatusOr<ChunkHeader> header = DecodeChunkHeader(front);
  if (!header.ok()) return tests::CheckRefusal(header.status());
  LARDER_CHECK(header->stored_bytes <= kChunkPayloadBytesMax);
  LARDER_CHECK(header->raw_bytes <= kChunkPayloadBytesMax);
  LARDER_CHECK(header->known() || (header->flags & kFlagCritical) == 0);
  std::string encoded;
  EncodeChunkHeader(*header, &encoded);
  LARDER_CHECK(encoded == front);
  CheckPayloadOf(*header, bytes.substr(kChunkHeaderBytes));
}

// With the sizes of the payload there is, and the right checksums.
std::string Mend(absl::string_view input) {
  std::string bytes(input);
  bytes.resize(std::max(bytes.size(), kChunkHeaderBytes));
  const absl::string_view payload =
      absl::string_view(bytes).substr(kChunkHeaderBytes);
  const auto size = static_cast<uint32_t>(payload.size());
  StoreFixed<uint32_t>(size, &bytes[kStoredBytesAt]);
  const auto flags = LoadFixed<uint32_t>(&bytes[kFlagsAt]);
  const bool has_tag = (flags & kFlagSealed) != 0 && size >= kSealTagBytes;
  if ((flags & kFlagZstd) == 0) {
    StoreFixed<uint32_t>(
        size - (has_tag ? static_cast<uint32_t>(kSealTagBytes) : 0),
        &bytes[kRawBytesAt]);
  }
  const absl::uint128 checksum = Checksum128(payload);
  StoreFixed<uint64_t>(absl::Uint128Low64(checksum),
                       &bytes[kPayloadChecksumAt]);
  StoreFixed<uint64_t>(absl::Uint128High64(checksum),
                       &bytes[kPayloadChecksumAt + 8]);
  StoreFixed<uint64_t>(
      Checksum64(absl::string_view(bytes).substr(0, kHeaderChecksumAt)),
      &bytes[kHeaderChecksumAt]);
  return bytes;
}

}  // namespace
}  // namespace larder::backup::format

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input = larder::tests::Input(data, size);
  larder::backup::format::Check(input);
  larder::backup::format::Check(larder::backup::format::Mend(input));
  return 0;
}
