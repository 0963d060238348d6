#include "backup/format/checksum.h"

#include "absl/strings/str_format.h"
#include "cache/check.h"
#include "cache/xxh3.h"

namespace larder::backup::format {
namespace {

absl::uint128 ToUint128(XXH128_hash_t hash) {
  return absl::MakeUint128(hash.high64, hash.low64);
}

}  // namespace

struct StreamingChecksum128::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

uint64_t Checksum64(absl::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

absl::uint128 Checksum128(absl::string_view bytes) {
  return ToUint128(XXH3_128bits(bytes.data(), bytes.size()));
}

StreamingChecksum128::StreamingChecksum128()
    : state_(std::make_unique<State>()) {
  LARDER_CHECK(state_->xxh != nullptr);
  Reset();
}

StreamingChecksum128::~StreamingChecksum128() = default;

void StreamingChecksum128::Reset() { XXH3_128bits_reset(state_->xxh); }

void StreamingChecksum128::Update(absl::string_view bytes) {
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

absl::uint128 StreamingChecksum128::Digest() const {
  return ToUint128(XXH3_128bits_digest(state_->xxh));
}

std::string EncodeUint128(absl::uint128 value) {
  std::string out(kUint128Bytes, '\0');
  for (size_t i = 0; i < kUint128Bytes; ++i) {
    out[i] = static_cast<char>(static_cast<uint8_t>(value >> (8 * i)));
  }
  return out;
}

bool DecodeUint128(absl::string_view bytes, absl::uint128* value) {
  if (bytes.size() != kUint128Bytes) return false;
  *value = 0;
  for (size_t i = kUint128Bytes; i-- > 0;) {
    *value = (*value << 8) | static_cast<uint8_t>(bytes[i]);
  }
  return true;
}

std::string Hex(absl::uint128 value) {
  return absl::StrFormat("%016x%016x", absl::Uint128High64(value),
                         absl::Uint128Low64(value));
}

}  // namespace larder::backup::format
