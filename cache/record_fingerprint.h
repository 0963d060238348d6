// Tells two puts of a key apart, in 8 bytes.
#ifndef LARDER_CACHE_RECORD_FINGERPRINT_H_
#define LARDER_CACHE_RECORD_FINGERPRINT_H_

#include <cstdint>

#include "cache/hlc.h"

namespace larder::cache {

// What a delta calls an unchanged record by, among those of one range: a hash
// of its name and of the HLC of its put, which no two puts share. Part of the
// dump format: docs/formats/dump.md, "deltas".
// `name_hash`: NameHash() of namespace and key.
inline uint64_t RecordFingerprint(uint64_t name_hash, Hlc hlc) {
  // The finalizer of a 64-bit mix: every bit of both reaches every bit of the
  // result. Source: the constants of Stafford's variant 13, as in SplitMix64.
  uint64_t x = name_hash ^ (hlc.value * 0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace larder::cache

#endif  // LARDER_CACHE_RECORD_FINGERPRINT_H_
