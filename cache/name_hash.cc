// Names are short: a call into the library would take longer than the hash.
#define XXH_INLINE_ALL
#include "cache/name_hash.h"

#include <xxhash.h>

namespace larder::cache {

uint64_t NameSeed(absl::string_view ns) {
  constexpr uint64_t kSeed = 0x6e616d656e616d65;  // "namename"
  return XXH3_64bits_withSeed(ns.data(), ns.size(), kSeed);
}

uint64_t NameHash(uint64_t name_seed, absl::string_view key) {
  return XXH3_64bits_withSeed(key.data(), key.size(), name_seed);
}

}  // namespace larder::cache
