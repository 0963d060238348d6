// Ends one slice of a sweep by whichever of its limits comes first.
#ifndef LARDER_CACHE_L2_SLICE_CLOCK_H_
#define LARDER_CACHE_L2_SLICE_CLOCK_H_

#include <cstdint>
#include <utility>

#include "cache/clock.h"
#include "cache/sweep_slice.h"

namespace larder::cache::l2 {

// For one thread. The clock is borrowed.
class SliceClock {
 public:
  SliceClock(const Clock* clock, SliceLimit limit)
      : clock_(clock),
        entries_left_(limit.entries_max),
        end_nanos_(clock->NowSteadyNanos() + limit.nanos_max) {}

  // Whether one more entry may be looked at. Time does not count against the
  // first: where coming to it takes longer than a slice may, on a slow disk or
  // a busy machine, no slice would ever get anywhere.
  bool Next() {
    if (entries_left_-- <= 0) return false;
    return std::exchange(is_first_, false) || !IsTimeUp();
  }

  bool IsTimeUp() const { return clock_->NowSteadyNanos() >= end_nanos_; }

 private:
  const Clock* const clock_;
  int64_t entries_left_;
  const int64_t end_nanos_;
  bool is_first_ = true;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_SLICE_CLOCK_H_
