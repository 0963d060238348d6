// A counter that many threads add to without sharing a cache line.
#ifndef LARDER_CACHE_STRIPED_COUNTER_H_
#define LARDER_CACHE_STRIPED_COUNTER_H_

#include <atomic>
#include <cstdint>

namespace larder::cache {

// Thread-safe. value() sums the stripes, not at one instant.
class StripedCounter {
 public:
  void Add(int64_t n = 1) {
    static std::atomic<uint32_t> threads{0};
    thread_local const uint32_t stripe = threads.fetch_add(1) % kStripes;
    stripes_[stripe].value.fetch_add(n, std::memory_order_relaxed);
  }
  int64_t value() const {
    int64_t sum = 0;
    for (const Stripe& s : stripes_) {
      sum += s.value.load(std::memory_order_relaxed);
    }
    return sum;
  }

 private:
  static constexpr uint32_t kStripes = 16;
  struct alignas(64) Stripe {
    std::atomic<int64_t> value{0};
  };
  Stripe stripes_[kStripes];
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_STRIPED_COUNTER_H_
