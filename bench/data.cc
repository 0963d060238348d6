#include "bench/data.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace larder::bench {
namespace {

// Offsets of values in the pool; prime, so that few values share a window.
constexpr uint64_t kStride = 7919;
constexpr uint64_t kPoolOffsets = 16 * kMiB;

constexpr const char* kWords[] = {
    "warehouse", "invoice", "pending",  "shipped", "returned", "blue",
    "green",     "large",   "medium",   "small",   "Berlin",   "Lyon",
    "Porto",     "express", "standard", "fragile", "gift",     "priority",
};

}  // namespace

std::string KeyOf(int64_t i) {
  // Spread over the key space, as hashes and paths are; the index makes it
  // unique.
  const auto mixed = static_cast<uint32_t>(
      (static_cast<uint64_t>(i) * 0x9E3779B97F4A7C15u) >> 32);
  return absl::StrFormat("%08x%08x", mixed, i);
}

std::string AbsentKeyOf(int64_t i) {
  std::string key = KeyOf(i);
  key[8] = 'x';
  return key;
}

std::vector<int64_t> Shuffled(int64_t count, uint64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(seed);
  std::shuffle(order.begin(), order.end(), random);
  return order;
}

RandomValues::RandomValues(int64_t bytes)
    : bytes_(static_cast<size_t>(bytes)), pool_(bytes_ + kPoolOffsets, '\0') {
  std::mt19937_64 random(1);
  for (size_t i = 0; i + 8 <= pool_.size(); i += 8) {
    const uint64_t word = random();
    std::memcpy(&pool_[i], &word, sizeof word);
  }
}

absl::string_view RandomValues::Of(int64_t i) const {
  const uint64_t offset = static_cast<uint64_t>(i) * kStride % kPoolOffsets;
  return absl::string_view(pool_).substr(offset, bytes_);
}

std::string JsonValue(int64_t i, int64_t bytes) {
  std::mt19937_64 random(static_cast<uint64_t>(i) + 1);
  const auto word = [&random] { return kWords[random() % std::size(kWords)]; };
  const auto size = static_cast<size_t>(bytes);
  std::string out = "[";
  out.reserve(size + 512);
  while (out.size() < size) {
    const uint64_t id = random();
    absl::StrAppendFormat(
        &out,
        R"({"id":"%016x","order":%d,"status":"%s","city":"%s","price":%d.%02d,)"
        R"("tags":["%s","%s"],"url":"https://shop.example/%s/%d","stock":%d},)",
        id, id % 10'000'000, word(), word(), id % 900, id % 97, word(), word(),
        word(), (id >> 20) % 100'000, (id >> 40) % 50);
    out.push_back('\n');
  }
  out.resize(size);
  return out;
}

void Sum::Add(absl::string_view bytes) {
  // Four sums, so that additions do not wait for each other.
  uint64_t sums[4] = {};
  const char* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 32; left -= 32, at += 32) {
    uint64_t words[4];
    std::memcpy(words, at, sizeof words);
    for (int k = 0; k < 4; ++k) sums[k] += words[k];
  }
  for (; left > 0; --left, ++at) sums[0] += static_cast<unsigned char>(*at);
  // Not commutative in the values, so that an exchange of two is seen.
  value_ = value_ * 31 + sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace larder::bench
