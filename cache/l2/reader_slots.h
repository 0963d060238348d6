// Which committed epochs running readers may be looking at.
#ifndef LARDER_CACHE_L2_READER_SLOTS_H_
#define LARDER_CACHE_L2_READER_SLOTS_H_

#include <atomic>
#include <cstdint>
#include <limits>
#include <thread>

namespace larder::cache::l2 {

// A reader takes a slot with the epoch it starts from, loads the root
// afterwards, and gives the slot back when it no longer looks at pages. What
// commit E freed may be reused once OldestActive() >= E.
//
// Why that suffices: a reader whose slot was not yet visible when the committer
// looked loads its root after that (both sides are sequentially consistent),
// and so finds root E or a later one.
//
// Thread-safe. Taking and giving back are one atomic write each; with more
// than kSlots readers at once the rest spin.
class ReaderSlots {
 public:
  class Guard {
   public:
    explicit Guard(std::atomic<uint64_t>* slot) : slot_(slot) {}
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() { slot_->store(0, std::memory_order_release); }

   private:
    std::atomic<uint64_t>* const slot_;
  };

  // `epoch` > 0.
  [[nodiscard]] Guard Enter(uint64_t epoch) {
    static std::atomic<uint32_t> threads{0};
    thread_local uint32_t hint = threads.fetch_add(1);
    for (uint32_t i = hint;; ++i) {
      std::atomic<uint64_t>& slot = slots_[i % kSlots].epoch;
      uint64_t empty = 0;
      if (slot.load(std::memory_order_relaxed) == 0 &&
          slot.compare_exchange_strong(empty, epoch,
                                       std::memory_order_seq_cst)) {
        hint = i % kSlots;
        return Guard(&slot);
      }
      if ((i - hint) % kSlots == kSlots - 1) std::this_thread::yield();
    }
  }

  // The smallest epoch in a slot, or UINT64_MAX.
  uint64_t OldestActive() const {
    uint64_t oldest = std::numeric_limits<uint64_t>::max();
    for (const Slot& s : slots_) {
      const uint64_t epoch = s.epoch.load(std::memory_order_seq_cst);
      if (epoch != 0 && epoch < oldest) oldest = epoch;
    }
    return oldest;
  }

 private:
  static constexpr uint32_t kSlots = 256;
  struct alignas(64) Slot {
    std::atomic<uint64_t> epoch{0};
  };
  Slot slots_[kSlots];
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_READER_SLOTS_H_
