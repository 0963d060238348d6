// Textbook caches that hold no bytes: what a hit ratio is compared with.
#ifndef LARDER_BENCH_SIMULATED_CACHE_H_
#define LARDER_BENCH_SIMULATED_CACHE_H_

#include <cstdint>
#include <list>
#include <vector>

#include "bench/trace.h"

namespace larder::bench {

// Exact FIFO or LRU within a bound of bytes. Single-owner.
class SimulatedCache {
 public:
  enum class Policy { kFifo, kLru };

  // Holds keys 0 .. `keys` - 1.
  SimulatedCache(Policy policy, int64_t bytes_max, int64_t keys);

  // Returns: whether `key` is there. To LRU it is the newest then.
  bool Get(int64_t key);
  // Adds an absent key, for which others go, the oldest first. One that is
  // larger than the cache is not added.
  void Put(int64_t key, int64_t bytes);

  int64_t bytes() const { return bytes_; }

 private:
  struct Entry {
    int64_t bytes = 0;  // 0: absent.
    std::list<int64_t>::iterator place;
  };

  const Policy policy_;
  const int64_t bytes_max_;
  int64_t bytes_ = 0;
  std::list<int64_t> order_;  // The oldest first.
  std::vector<Entry> entries_;
};

// A plain value: shares of all requests, and of the bytes that they ask for.
struct HitRatio {
  double objects = 0;
  double bytes = 0;
};

// Counts them. Single-owner.
class HitCounter {
 public:
  void Count(const Request& request, bool hit);
  HitRatio ratio() const;

 private:
  int64_t requests_ = 0;
  int64_t hits_ = 0;
  int64_t bytes_ = 0;
  int64_t hit_bytes_ = 0;
};

// Replays `trace`: each miss is put. An object takes its bytes and
// `overhead_bytes` of `bytes_max`.
HitRatio SimulatedHitRatio(SimulatedCache::Policy policy, const Trace& trace,
                           int64_t bytes_max, int64_t overhead_bytes);

}  // namespace larder::bench

#endif  // LARDER_BENCH_SIMULATED_CACHE_H_
