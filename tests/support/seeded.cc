#include "tests/support/seeded.h"

#include <cstdio>
#include <cstdlib>

#include "absl/strings/numbers.h"

namespace larder::tests {

uint64_t SeedOr(uint64_t otherwise) {
  uint64_t seed = otherwise;
  if (const char* text = std::getenv("LARDER_SEED"); text != nullptr) {
    if (!absl::SimpleAtoi(text, &seed)) seed = otherwise;
  }
  std::printf("LARDER_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

int64_t CountOr(const char* name, int64_t otherwise) {
  int64_t count = otherwise;
  if (const char* text = std::getenv(name); text != nullptr) {
    if (!absl::SimpleAtoi(text, &count)) count = otherwise;
  }
  return count;
}

}  // namespace larder::tests
