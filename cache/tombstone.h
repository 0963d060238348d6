// "Everything matching P written before HLC t is invalid."
#ifndef LARDER_CACHE_TOMBSTONE_H_
#define LARDER_CACHE_TOMBSTONE_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "cache/hlc.h"

namespace larder::cache {

// Numbers are part of the formats; never reuse one.
enum class TombstoneKind : uint8_t {
  kNamespace = 1,   // All of the namespace; `value` empty.
  kTag = 2,         // `value`: 8 bytes, TagHash() little endian.
  kDependency = 3,  // `value`: 8 bytes, DependencyHash() little endian.
  kPrefix = 4,      // `value`: the key prefix.
  kKey = 5,         // `value`: the key. In the journal only: a commit turns it
                    // into the absence of the record.
};

// A plain value.
struct Tombstone {
  TombstoneKind kind = TombstoneKind::kNamespace;
  std::string ns;
  std::string value;
  Hlc hlc;  // Matching records with an HLC up to this one are invalid.
  friend bool operator==(const Tombstone&, const Tombstone&) = default;
};

// What records keep of a tag or dependency: XXH3-64, with different seeds. A
// collision invalidates too much, which for a cache is a miss and never wrong.
uint64_t TagHash(absl::string_view tag);
uint64_t DependencyHash(absl::string_view dependency);

}  // namespace larder::cache

#endif  // LARDER_CACHE_TOMBSTONE_H_
