// Chains whose bytes a Hit still shows.
#ifndef LARDER_CACHE_L2_HELD_CHAINS_H_
#define LARDER_CACHE_L2_HELD_CHAINS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "cache/l2/file.h"
#include "cache/mutex.h"

namespace larder::cache::l2 {

// Holds, by the chain's first unit. Shares the file: what is held stays
// readable even past the cache. Thread-safe.
//
// A thread has slots of its own, where a hold is one atomic write; what it
// holds beyond them is counted in a map.
class HeldChains {
 public:
  using Slot = std::atomic<uint64_t>;

  explicit HeldChains(std::shared_ptr<const File> file)
      : file_(std::move(file)), stripes_(new Stripe[kStripes]) {}

  // To be called while something else keeps the chain from reuse.
  // Returns: what Remove() wants, on any thread.
  Slot* Add(uint64_t first_unit) {
    static std::atomic<uint32_t> threads{0};
    thread_local const uint32_t stripe = threads.fetch_add(1) % kStripes;
    for (Slot& slot : stripes_[stripe].slots) {
      uint64_t empty = 0;
      if (slot.load(std::memory_order_relaxed) == 0 &&
          slot.compare_exchange_strong(empty, first_unit + 1)) {
        return &slot;
      }
    }
    MutexLock lock(&mu_);
    ++more_[first_unit];
    return nullptr;
  }
  void Remove(Slot* slot, uint64_t first_unit) {
    if (slot != nullptr) {
      slot->store(0, std::memory_order_release);
      return;
    }
    MutexLock lock(&mu_);
    const auto it = more_.find(first_unit);
    if (--it->second == 0) more_.erase(it);
  }

  // The first units of all that is held throughout the call, and of some that
  // is held for a part of it.
  absl::flat_hash_set<uint64_t> Held() const {
    absl::flat_hash_set<uint64_t> held;
    for (uint32_t i = 0; i < kStripes; ++i) {
      for (const Slot& slot : stripes_[i].slots) {
        const uint64_t unit = slot.load();
        if (unit != 0) held.insert(unit - 1);
      }
    }
    MutexLock lock(&mu_);
    for (const auto& [unit, holds] : more_) held.insert(unit);
    return held;
  }

 private:
  // Source: 16 KiB; a commit looks at all of it, in a microsecond or two.
  static constexpr uint32_t kStripes = 256;
  // Source: a cache line. Servers hold a blob a thread, or a few.
  struct alignas(64) Stripe {
    Slot slots[8] = {};  // 0: empty; else the first unit, and 1.
  };
  const std::shared_ptr<const File> file_;
  const std::unique_ptr<Stripe[]> stripes_;
  mutable Mutex mu_;
  absl::flat_hash_map<uint64_t, int64_t> more_ ABSL_GUARDED_BY(mu_);
};

// One hold, from construction to destruction.
class ChainHold {
 public:
  ChainHold(std::shared_ptr<HeldChains> held, uint64_t first_unit)
      : held_(std::move(held)),
        first_unit_(first_unit),
        slot_(held_->Add(first_unit_)) {}
  ~ChainHold() { held_->Remove(slot_, first_unit_); }
  ChainHold(const ChainHold&) = delete;
  ChainHold& operator=(const ChainHold&) = delete;

 private:
  const std::shared_ptr<HeldChains> held_;
  const uint64_t first_unit_;
  HeldChains::Slot* const slot_;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_HELD_CHAINS_H_
