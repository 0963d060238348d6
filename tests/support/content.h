// Blobs that tests can tell apart and check without keeping them.
#ifndef LARDER_TESTS_SUPPORT_CONTENT_H_
#define LARDER_TESTS_SUPPORT_CONTENT_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace larder::tests {

// The bytes that `id` stands for: always the same, and different for each id
// but 0 (empty) and what is shorter than 8 bytes. Some are tiny, some sit in a
// leaf, some fill a chain, a few have several frames; half of them compress.
// At most `bytes_max` long. Ids from 2^63 on are IncompressibleContent()'s.
std::string ContentOf(uint64_t id, size_t bytes_max);

// The id of `bytes` (< 2^31) that do not compress, for ContentOf() without
// regard to its `bytes_max`.
uint64_t IncompressibleContent(uint32_t bytes, uint32_t salt);

// `bytes` that do not compress.
std::string Incompressible(size_t bytes, uint64_t seed);

}  // namespace larder::tests

#endif  // LARDER_TESTS_SUPPORT_CONTENT_H_
