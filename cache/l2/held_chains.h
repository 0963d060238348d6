// Chains whose bytes a Hit still shows.
#ifndef LARDER_CACHE_L2_HELD_CHAINS_H_
#define LARDER_CACHE_L2_HELD_CHAINS_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "cache/l2/file.h"
#include "cache/mutex.h"

namespace larder::cache::l2 {

// Counts holds by the chain's first unit. Shares the file: what is held stays
// readable even past the cache. Thread-safe.
class HeldChains {
 public:
  explicit HeldChains(std::shared_ptr<const File> file)
      : file_(std::move(file)) {}

  void Add(uint64_t first_unit) {
    Shard& s = ShardOf(first_unit);
    MutexLock lock(&s.mu);
    ++s.holds[first_unit];
  }
  void Remove(uint64_t first_unit) {
    Shard& s = ShardOf(first_unit);
    MutexLock lock(&s.mu);
    const auto it = s.holds.find(first_unit);
    if (--it->second == 0) s.holds.erase(it);
  }
  bool Holds(uint64_t first_unit) const {
    Shard& s = ShardOf(first_unit);
    MutexLock lock(&s.mu);
    return s.holds.contains(first_unit);
  }

 private:
  static constexpr uint64_t kShards = 64;
  struct alignas(64) Shard {
    Mutex mu;
    absl::flat_hash_map<uint64_t, int64_t> holds ABSL_GUARDED_BY(mu);
  };
  Shard& ShardOf(uint64_t unit) const {
    // Chains start at any unit; mix so that neighbours spread.
    return shards_[(unit * 0x9e3779b97f4a7c15u) >> 58];
  }
  const std::shared_ptr<const File> file_;
  mutable Shard shards_[kShards];
};

// One hold, from construction to destruction.
class ChainHold {
 public:
  ChainHold(std::shared_ptr<HeldChains> held, uint64_t first_unit)
      : held_(std::move(held)), first_unit_(first_unit) {
    held_->Add(first_unit_);
  }
  ~ChainHold() { held_->Remove(first_unit_); }
  ChainHold(const ChainHold&) = delete;
  ChainHold& operator=(const ChainHold&) = delete;

 private:
  const std::shared_ptr<HeldChains> held_;
  const uint64_t first_unit_;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_HELD_CHAINS_H_
