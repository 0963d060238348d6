// One hash of a blob's name for all that asks for one: key locks, the access
// table, load flights, L2's synopses and chains.
#ifndef LARDER_CACHE_NAME_HASH_H_
#define LARDER_CACHE_NAME_HASH_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace larder::cache {

// What the names of a namespace have in common. Part of L2's format:
// docs/formats/l2.md, "chain".
uint64_t NameSeed(absl::string_view ns);

// `name_seed`: NameSeed() of the key's namespace.
uint64_t NameHash(uint64_t name_seed, absl::string_view key);
inline uint64_t NameHash(absl::string_view ns, absl::string_view key) {
  return NameHash(NameSeed(ns), key);
}

}  // namespace larder::cache

#endif  // LARDER_CACHE_NAME_HASH_H_
