// Hybrid logical clock: one value per mutation, in the order of the mutations.
#ifndef LARDER_CACHE_HLC_H_
#define LARDER_CACHE_HLC_H_

#include <atomic>
#include <compare>
#include <cstdint>

#include "cache/clock.h"

namespace larder::cache {

// 48 bits of Unix milliseconds, then a 16-bit counter. Zero: before everything.
struct Hlc {
  uint64_t value = 0;

  static constexpr Hlc FromUnixMillis(int64_t unix_millis) {
    return Hlc{static_cast<uint64_t>(unix_millis) << 16};
  }
  constexpr int64_t unix_millis() const {
    return static_cast<int64_t>(value >> 16);
  }
  friend constexpr auto operator<=>(Hlc, Hlc) = default;
};

// Hands out strictly increasing values, near the wall clock.
//
// Thread-safe. When the wall clock steps back, or more than 65,536 values are
// asked for within a millisecond, values run ahead of the wall clock and stay
// increasing. Borrows `clock`.
class HlcClock {
 public:
  explicit HlcClock(const Clock* clock) : clock_(clock) {}

  // Returns: a value greater than every one returned or observed before.
  Hlc Next() {
    const uint64_t wall = Hlc::FromUnixMillis(clock_->NowUnixMillis()).value;
    uint64_t last = last_.load(std::memory_order_relaxed);
    uint64_t next;
    do {
      next = wall > last ? wall : last + 1;
    } while (
        !last_.compare_exchange_weak(last, next, std::memory_order_acq_rel));
    return Hlc{next};
  }

  // Makes every later Next() greater than `seen` (recovery, restore, a peer).
  void Observe(Hlc seen) {
    uint64_t last = last_.load(std::memory_order_relaxed);
    while (last < seen.value &&
           !last_.compare_exchange_weak(last, seen.value,
                                        std::memory_order_acq_rel)) {
    }
  }

  Hlc Last() const { return Hlc{last_.load(std::memory_order_acquire)}; }

 private:
  const Clock* const clock_;
  std::atomic<uint64_t> last_{0};
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_HLC_H_
