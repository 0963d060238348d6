// Seeded changes to inputs: the little of a fuzzer that runs without Clang.
#ifndef LARDER_TESTS_FUZZ_MUTATE_H_
#define LARDER_TESTS_FUZZ_MUTATE_H_

#include <cstddef>
#include <random>
#include <string>
#include <vector>

namespace larder::tests {

// Also what libFuzzer is told. Source: twice a page, so that a tree has several
// and a chain's header can exceed each of its limits.
inline constexpr size_t kInputBytesMax = 8192;

// One of `corpus` after one to four small changes: flipped bits, bytes and
// numbers at their limits, parts cut, repeated or taken from another input.
// Requires: `corpus` is not empty.
// Returns: at most kInputBytesMax bytes.
std::string Mutate(const std::vector<std::string>& corpus,
                   std::mt19937_64* random);

}  // namespace larder::tests

#endif  // LARDER_TESTS_FUZZ_MUTATE_H_
