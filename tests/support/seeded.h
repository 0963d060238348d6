// Where a seeded test gets its seed and its size from, so that a failure can
// be replayed and a run made longer:
//   bazel test --test_env=LARDER_SEED=7 --test_env=LARDER_ROUNDS=1 //tests/...
#ifndef LARDER_TESTS_SUPPORT_SEEDED_H_
#define LARDER_TESTS_SUPPORT_SEEDED_H_

#include <cstdint>

namespace larder::tests {

// LARDER_SEED, or `otherwise`. Prints which it is.
uint64_t SeedOr(uint64_t otherwise);

// The environment's number `name` (LARDER_ROUNDS, ...), or `otherwise`.
int64_t CountOr(const char* name, int64_t otherwise);

}  // namespace larder::tests

#endif  // LARDER_TESTS_SUPPORT_SEEDED_H_
