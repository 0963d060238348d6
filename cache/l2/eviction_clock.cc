#include "cache/l2/eviction_clock.h"

#include <algorithm>
#include <cmath>

namespace larder::cache::l2 {
namespace {

// Logarithms to the base of 2: what one request for 16 KiB is worth, in ranks;
// and the most that anything is, which is a little more than 63 requests for
// 200 bytes of the highest priority. Small, since records store ranks; and yet
// a million puts that move the clock by one each are a sixteenth of the first.
constexpr double kUnitWorth = 24;
constexpr double kUnitBytes = 14;
constexpr double kWorthMost = 43;
// Worths are rounded to so many steps an octave: each step is one place of the
// age tree where new records go, so a commit of a thousand puts of all sizes
// rewrites some dozens of its leaves rather than a thousand. On the traces this
// costs no hits; 1 an octave costs up to half a point.
constexpr double kStepsPerOctave = 2;
constexpr double kPriorityStepsPerOctave = 16;
constexpr int kPriorityDefault = 128;
// Where the clock stops, should it ever come there: no sum overflows, and what
// is not read any more is no longer overtaken.
constexpr uint64_t kClockMax = UINT64_MAX - (uint64_t{1} << 61);

uint64_t RanksOf(const Worth& worth) {
  const double requests = static_cast<double>(
      std::clamp<int64_t>(worth.requests, 1, EvictionClock::kRequestsMax));
  const double bytes =
      static_cast<double>(std::max<uint64_t>(worth.disk_bytes, 1));
  const double log =
      kUnitWorth + 0.75 * (std::log2(requests / bytes) + kUnitBytes) +
      (int{worth.priority} - kPriorityDefault) / kPriorityStepsPerOctave;
  const double step = std::round(log * kStepsPerOctave) / kStepsPerOctave;
  return static_cast<uint64_t>(std::exp2(std::clamp(step, 0.0, kWorthMost)));
}

}  // namespace

uint64_t EvictionClock::Rank(const Worth& worth) {
  return now_.fetch_add(1, std::memory_order_relaxed) + RanksOf(worth);
}

void EvictionClock::RaiseTo(uint64_t rank) {
  rank = std::min(rank, kClockMax);
  uint64_t now = now_.load(std::memory_order_relaxed);
  while (now < rank &&
         !now_.compare_exchange_weak(now, rank, std::memory_order_relaxed)) {
  }
}

}  // namespace larder::cache::l2
