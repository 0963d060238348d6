// The order in which a full L2 evicts: GreedyDual over the age tree (ADR 0007).
#ifndef LARDER_CACHE_L2_EVICTION_CLOCK_H_
#define LARDER_CACHE_L2_EVICTION_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "cache/l2/record.h"

namespace larder::cache::l2 {

// What a record is worth keeping for.
struct Worth {
  int64_t requests = 1;     // Known ones, the one that put it among them.
  uint64_t disk_bytes = 0;  // What it takes.
  uint8_t priority = 128;   // 16 steps weigh twice.
};

// Gives records their ranks, their places in the age tree. The evictor takes
// the least:
//
//   rank = clock + weight(priority) * (requests / disk_bytes)^(3/4)
//
// The clock follows the ranks that the evictor comes to, so what is not asked
// for any more is overtaken in the end by what is put later. Nothing moves at
// a hit: the evictor asks for a new rank when it comes to what was read.
//
// Thread-safe, lock-free.
class EvictionClock {
 public:
  // Requests that count. Source: on the traces 15 cost up to 1.4 points of
  // hits, 255 gain none. What was hot and is not read any more goes after at
  // most 63^(3/4) = 22 turnovers of what is asked for once.
  static constexpr int64_t kRequestsMax = 63;

  // The rank of a record as of now, above kRankMin. Of two that are worth the
  // same, the one that was ranked later has the greater.
  uint64_t Rank(const Worth& worth);

  // The evictor came to a record of this rank; or, at open, it is the least.
  void RaiseTo(uint64_t rank);

 private:
  // Each rank given out moves it by one, which is next to nothing in worth.
  std::atomic<uint64_t> now_{kRankMin};
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_EVICTION_CLOCK_H_
