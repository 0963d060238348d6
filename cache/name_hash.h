// One hash of a blob's name for all that asks for one: key locks, the access
// table, load flights, L2's synopses and chains.
#ifndef LARDER_CACHE_NAME_HASH_H_
#define LARDER_CACHE_NAME_HASH_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "cache/l2/hash.h"

namespace larder::cache {

// What the names of a namespace have in common; part of L2's format.
inline uint64_t NameSeed(absl::string_view ns) {
  constexpr uint64_t kSeed = 0x6e616d656e616d65;  // "namename"
  return l2::Hash64(ns, kSeed);
}

// `name_seed`: NameSeed() of the key's namespace.
inline uint64_t NameHash(uint64_t name_seed, absl::string_view key) {
  return l2::Hash64(key, name_seed);
}
inline uint64_t NameHash(absl::string_view ns, absl::string_view key) {
  return NameHash(NameSeed(ns), key);
}

}  // namespace larder::cache

#endif  // LARDER_CACHE_NAME_HASH_H_
