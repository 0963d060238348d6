#include "tests/support/content.h"

#include <algorithm>
#include <cstring>
#include <random>

namespace larder::tests {
namespace {

constexpr uint64_t kIncompressible = uint64_t{1} << 63;

// Shares of sizes in percent, up to 8 bytes, in a leaf, in a page, in one
// frame; the rest has several.
size_t SizeOf(std::mt19937_64& random, size_t bytes_max) {
  const uint64_t kind = random() % 100;
  const size_t most = kind < 4    ? 8
                      : kind < 40 ? 400
                      : kind < 75 ? 6'000
                      : kind < 96 ? 60'000
                                  : 700'000;
  return std::min(bytes_max, static_cast<size_t>(random() % (most + 1)));
}

}  // namespace

std::string Incompressible(size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string out(bytes, '\0');
  for (size_t at = 0; at < bytes; at += 8) {
    const uint64_t word = random();
    std::memcpy(out.data() + at, &word, std::min<size_t>(8, bytes - at));
  }
  return out;
}

uint64_t IncompressibleContent(uint32_t bytes, uint32_t salt) {
  return kIncompressible | uint64_t{bytes} << 32 | salt;
}

std::string ContentOf(uint64_t id, size_t bytes_max) {
  if (id == 0) return "";
  if (id >= kIncompressible) {
    return Incompressible((id ^ kIncompressible) >> 32, id);
  }
  std::mt19937_64 random(id * 0x9e3779b97f4a7c15u);
  const size_t bytes = SizeOf(random, bytes_max);
  std::string out;
  if (random() % 2 == 0) {
    out = Incompressible(bytes, random());
  } else {
    out.assign(bytes, static_cast<char>('a' + random() % 26));
    for (size_t at = 100; at < bytes; at += 97) {
      out[at] = static_cast<char>(random());
    }
  }
  if (out.size() >= sizeof(id)) std::memcpy(out.data(), &id, sizeof(id));
  return out;
}

}  // namespace larder::tests
