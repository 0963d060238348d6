#include "bench/simulated_cache.h"

#include <cstddef>
#include <iterator>

namespace larder::bench {

SimulatedCache::SimulatedCache(Policy policy, int64_t bytes_max, int64_t keys)
    : policy_(policy),
      bytes_max_(bytes_max),
      entries_(static_cast<size_t>(keys)) {}

bool SimulatedCache::Get(int64_t key) {
  const Entry& entry = entries_[static_cast<size_t>(key)];
  if (entry.bytes == 0) return false;
  if (policy_ == Policy::kLru) {
    order_.splice(order_.end(), order_, entry.place);
  }
  return true;
}

void SimulatedCache::Put(int64_t key, int64_t bytes) {
  if (bytes > bytes_max_) return;
  while (bytes_ + bytes > bytes_max_) {
    Entry& oldest = entries_[static_cast<size_t>(order_.front())];
    bytes_ -= oldest.bytes;
    oldest.bytes = 0;
    order_.pop_front();
  }
  order_.push_back(key);
  entries_[static_cast<size_t>(key)] = {bytes, std::prev(order_.end())};
  bytes_ += bytes;
}

void HitCounter::Count(const Request& request, bool hit) {
  ++requests_;
  bytes_ += request.bytes;
  if (!hit) return;
  ++hits_;
  hit_bytes_ += request.bytes;
}

HitRatio HitCounter::ratio() const {
  return {static_cast<double>(hits_) / static_cast<double>(requests_),
          static_cast<double>(hit_bytes_) / static_cast<double>(bytes_)};
}

HitRatio SimulatedHitRatio(SimulatedCache::Policy policy, const Trace& trace,
                           int64_t bytes_max, int64_t overhead_bytes) {
  SimulatedCache cache(policy, bytes_max, trace.keys);
  HitCounter counter;
  for (const Request& request : trace.requests) {
    const bool hit = cache.Get(request.key);
    counter.Count(request, hit);
    if (!hit) cache.Put(request.key, request.bytes + overhead_bytes);
  }
  return counter.ratio();
}

}  // namespace larder::bench
