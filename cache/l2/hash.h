// The checksums and hashes of L2's formats: XXH3, one place for the library.
#ifndef LARDER_CACHE_L2_HASH_H_
#define LARDER_CACHE_L2_HASH_H_

#include <cstdint>

#include "absl/numeric/int128.h"
#include "absl/strings/string_view.h"

namespace larder::cache::l2 {

// XXH3-64 and XXH3-128 with seed 0 unless given. Checksums of bytes on disk:
// they find accidents, not intent.
uint64_t Checksum64(absl::string_view bytes);
uint64_t Hash64(absl::string_view bytes, uint64_t seed);
absl::uint128 Hash128(absl::string_view bytes);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_HASH_H_
