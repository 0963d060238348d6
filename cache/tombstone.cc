#include "cache/tombstone.h"

#include "cache/l2/hash.h"

namespace larder::cache {
namespace {
// Arbitrary, distinct, part of the formats.
constexpr uint64_t kTagSeed = 0x7461677461677461;         // "tagtagta"
constexpr uint64_t kDependencySeed = 0x6465706465706465;  // "depdepde"
}  // namespace

uint64_t TagHash(absl::string_view tag) { return l2::Hash64(tag, kTagSeed); }

uint64_t DependencyHash(absl::string_view dependency) {
  return l2::Hash64(dependency, kDependencySeed);
}

}  // namespace larder::cache
