#include "tools/demo/latency.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace larder::demo {

size_t LatencyHistogram::BucketOf(uint64_t nanos) {
  // Below kSubBuckets each value has a bucket of its own.
  if (nanos < kSubBuckets) return static_cast<size_t>(nanos);
  const int power = std::bit_width(nanos) - 1;  // At least 3.
  const auto sub = static_cast<size_t>((nanos >> (power - 3)) & 7);
  const size_t bucket = static_cast<size_t>(power - 2) * kSubBuckets + sub;
  return std::min(bucket, size_t{kSubBuckets} * kPowers - 1);
}

uint64_t LatencyHistogram::UpperEdge(size_t bucket) {
  if (bucket < kSubBuckets) return bucket;
  const size_t power = bucket / kSubBuckets + 2;
  const uint64_t sub = bucket % kSubBuckets;
  return ((kSubBuckets + sub + 1) << (power - 3)) - 1;
}

void LatencyHistogram::Add(int64_t nanos) {
  const auto value = static_cast<uint64_t>(std::max<int64_t>(0, nanos));
  counts_[BucketOf(value)].fetch_add(1, std::memory_order_relaxed);
}

int64_t LatencyHistogram::count() const {
  int64_t sum = 0;
  for (const auto& count : counts_) sum += count.load();
  return sum;
}

int64_t LatencyHistogram::Quantile(double share) const {
  const auto rank =
      static_cast<int64_t>(std::ceil(share * static_cast<double>(count())));
  int64_t sum = 0;
  for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    sum += counts_[bucket].load();
    if (sum >= rank && sum > 0) return static_cast<int64_t>(UpperEdge(bucket));
  }
  return 0;
}

}  // namespace larder::demo
