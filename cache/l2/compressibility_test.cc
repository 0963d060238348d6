#include "cache/l2/compressibility.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace larder::cache::l2 {
namespace {

std::string Random(size_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string s(n, '\0');
  for (char& c : s) c = static_cast<char>(random());
  return s;
}

// The share that zstd saves.
double Saving(const std::string& bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const size_t n = ZSTD_compress(out.data(), out.size(), bytes.data(),
                                 bytes.size(), /*compressionLevel=*/1);
  return 1.0 - static_cast<double>(n) / static_cast<double>(bytes.size());
}

TEST(CompressibilityTest, RandomBytesAreIncompressible) {
  int wrong = 0;
  for (const size_t n : {512, 513, 1024, 4000, 16'384}) {
    for (uint64_t seed = 0; seed < 200; ++seed) {
      wrong += IsIncompressible(Random(n, seed)) ? 0 : 1;
    }
  }
  // Four standard deviations; a miss costs a try of zstd.
  EXPECT_LE(wrong, 5);
}

TEST(CompressibilityTest, TooLittleIsNotJudged) {
  EXPECT_FALSE(IsIncompressible(""));
  EXPECT_FALSE(IsIncompressible(Random(511, 1)));
}

TEST(CompressibilityTest, WhatIsCompressedAlreadyIsIncompressible) {
  std::string text;
  std::mt19937_64 random(1);
  for (int i = 0; i < 100'000; ++i)
    absl::StrAppend(&text, random() % 5000, ",");
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(
      ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 9));
  EXPECT_TRUE(IsIncompressible(packed.substr(1000, 100'000)));
}

// Whatever zstd takes to 95 % or less, of kinds that are met, must be tried.
TEST(CompressibilityTest, WhatCompressesIsTried) {
  std::mt19937_64 random(7);
  for (const size_t n : {1024, 2000, 16'384, 200'000}) {
    std::vector<std::pair<std::string, std::string>> kinds;
    std::string text, integers, sparse, few;
    while (text.size() < n) {
      absl::StrAppend(&text, "{\"id\":", random() % 100'000,
                      ",\"name\":\"item ", random() % 50, "\"},\n");
    }
    while (integers.size() < n) {
      const uint32_t value = static_cast<uint32_t>(random() % 1'000'000);
      integers.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
    for (size_t i = 0; i < n; ++i) {
      sparse.push_back(random() % 4 == 0 ? '\0' : static_cast<char>(random()));
      few.push_back(static_cast<char>(random() % 60));
    }
    kinds = {{"zeros", std::string(n, '\0')},
             {"text", text.substr(0, n)},
             {"integers", integers.substr(0, n)},
             {"sparse", sparse},
             {"few values", few},
             {"base64", absl::Base64Escape(Random(n, 3)).substr(0, n)},
             {"hex", absl::BytesToHexString(Random(n, 4)).substr(0, n)}};
    for (const auto& [kind, bytes] : kinds) {
      ASSERT_GE(Saving(bytes), 0.05) << kind << " of " << n;
      EXPECT_FALSE(IsIncompressible(bytes)) << kind << " of " << n;
    }
  }
}

// Random bytes, some of them again: at any distance, in any place.
// Returns: how many of 300 were found to repeat themselves.
int RepeatsFound(size_t length) {
  std::mt19937_64 random(length);
  int found = 0;
  for (uint64_t round = 0; round < 300; ++round) {
    const size_t n = 4 * length + random() % 60'000;
    std::string bytes = Random(n, round);
    const size_t from = random() % (n - 2 * length);
    const size_t to = from + length + random() % (n - from - 2 * length + 1);
    std::memcpy(&bytes[to], &bytes[from], length);
    found += IsIncompressible(bytes) ? 0 : 1;
  }
  return found;
}

TEST(CompressibilityTest, LongRepeatsAreFoundWhereverTheyLie) {
  // Long enough for one place that was noted, for two, for eight.
  EXPECT_GE(RepeatsFound(2048 + 64 + 8), 240);
  EXPECT_GE(RepeatsFound(2 * 2048 + 64 + 8), 285);
  EXPECT_EQ(RepeatsFound(8 * 2048), 300);
}

TEST(CompressibilityTest, RepeatsInFewBytesAreFound) {
  std::mt19937_64 random(11);
  int found = 0;
  for (uint64_t round = 0; round < 300; ++round) {
    const size_t n = 512 + random() % 3585;
    std::string bytes = Random(n, round);
    std::memcpy(&bytes[n / 2], &bytes[0], n / 2);
    found += IsIncompressible(bytes) ? 0 : 1;
  }
  EXPECT_EQ(found, 300);
}

}  // namespace
}  // namespace larder::cache::l2
