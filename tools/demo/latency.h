// How long many short calls took.
#ifndef LARDER_TOOLS_DEMO_LATENCY_H_
#define LARDER_TOOLS_DEMO_LATENCY_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace larder::demo {

// Counts in buckets that are an eighth of a power of two wide: quantiles are
// exact to 12.5 %. Thread-safe; a call costs one relaxed increment.
class LatencyHistogram {
 public:
  void Add(int64_t nanos);

  int64_t count() const;
  // The upper edge of the bucket that holds the quantile, in nanoseconds;
  // 0 when there is nothing. Requires: 0 < share <= 1.
  int64_t Quantile(double share) const;

 private:
  static constexpr int kSubBuckets = 8;  // Of each power of two.
  static constexpr int kPowers = 40;     // Up to about 18 minutes.

  static size_t BucketOf(uint64_t nanos);
  static uint64_t UpperEdge(size_t bucket);

  std::array<std::atomic<int64_t>, size_t{kSubBuckets}* kPowers> counts_ = {};
};

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_LATENCY_H_
