// How often a full L2 still has what is asked for, beside FIFO and LRU.
#ifndef LARDER_BENCH_L2_EVICTION_H_
#define LARDER_BENCH_L2_EVICTION_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "bench/trace.h"
#include "bench/work.h"

namespace larder::bench {

// Replays the traces of `setting.traces`, each into an L2 of 1 % and of 10 % of
// its footprint.
// Errors: kNotFound when there is none of them.
absl::StatusOr<Rows> Eviction(const Setting& setting);

struct Replay {
  int64_t budget_percent = 10;     // Of the footprint.
  int64_t budget_bytes_min = 0;    // Sizes are multiplied to come to it.
  bool background_commits = true;  // False: the same result each time.
};

// One trace into one L2: a row of object hit ratios and one of byte hit ratios.
absl::StatusOr<Rows> EvictionOn(const Setting& setting, const Trace& trace,
                                const Replay& replay);

}  // namespace larder::bench

#endif  // LARDER_BENCH_L2_EVICTION_H_
