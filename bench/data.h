// Keys and values of the benchmarks: the same for every store, from fixed
// seeds.
#ifndef LARDER_BENCH_DATA_H_
#define LARDER_BENCH_DATA_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace larder::bench {

inline constexpr int64_t kKiB = 1024;
inline constexpr int64_t kMiB = 1024 * kKiB;

// 16 bytes, as in ../shared/environment.md's tables of peers.
std::string KeyOf(int64_t i);
// A key that no KeyOf() gives.
std::string AbsentKeyOf(int64_t i);

// 0 .. count - 1 in random order, the same for equal seeds.
std::vector<int64_t> Shuffled(int64_t count, uint64_t seed);

// Values that do not compress: windows into a pool of random bytes, a
// different one for each key. Thread-safe.
class RandomValues {
 public:
  explicit RandomValues(int64_t bytes);  // Of each value.

  // Lives as long as this object.
  absl::string_view Of(int64_t i) const;

 private:
  const size_t bytes_;
  std::string pool_;
};

// A JSON array of records, `bytes` long, of the kind that an API returns: zstd
// takes it to about a fifth.
std::string JsonValue(int64_t i, int64_t bytes);

// Uses all bytes: the sum of their 64-bit words. Equal for equal sequences of
// values.
class Sum {
 public:
  void Add(absl::string_view bytes);
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0;
};

}  // namespace larder::bench

#endif  // LARDER_BENCH_DATA_H_
