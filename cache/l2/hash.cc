#include "cache/l2/hash.h"

#include "cache/xxh3.h"

namespace larder::cache::l2 {

uint64_t Checksum64(absl::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

uint64_t Hash64(absl::string_view bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

absl::uint128 Hash128(absl::string_view bytes) {
  const XXH128_hash_t h = XXH3_128bits(bytes.data(), bytes.size());
  return absl::MakeUint128(h.high64, h.low64);
}

}  // namespace larder::cache::l2
