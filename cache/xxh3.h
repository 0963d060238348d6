// XXH3 by the widest vectors that this CPU has.
//
// xxHash's plain entry points are built for SSE2. Those behind this header are
// four times as fast from a few hundred bytes on, with the same results.
#ifndef LARDER_CACHE_XXH3_H_
#define LARDER_CACHE_XXH3_H_

#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // Redefines XXH3_64bits() and the like.
#else
#include <xxhash.h>
#endif

#include <cstdint>

namespace larder::cache {

// The library looks at the CPU when it first hashes something long, without
// ordering what it then notes. So that is here, before there are threads.
inline const uint64_t kXxh3VectorsChosen = [] {
  constexpr char kLong[1024] = {};
  return XXH3_64bits(kLong, sizeof(kLong)) ^
         XXH3_128bits(kLong, sizeof(kLong)).low64;
}();

}  // namespace larder::cache

#endif  // LARDER_CACHE_XXH3_H_
