// How much the next background sweep may do: a pure rule.
#ifndef LARDER_SWEEPER_SWEEP_PACING_H_
#define LARDER_SWEEPER_SWEEP_PACING_H_

#include <cstdint>

#include "sweeper/sweep_limit.h"

namespace larder::sweeper {

struct PacingOptions {
  // The foreground's p99 past which sweeps give way. 0: they never do.
  int64_t p99_micros_max = 0;
  // Debt (L2 records due) past which sweeps give way no further: dead records
  // then cost the foreground more than sweeping them.
  int64_t debt_high = 1'000'000;
  // Bounds of the scale, as powers of two: 1/16 to 64.
  int32_t scale_log2_min = -4;
  int32_t scale_log2_max = 6;
};

// What the last sweep and the foreground showed.
struct PacingInput {
  int32_t scale_log2 = 0;  // Of the last sweep.
  int64_t p99_micros = 0;  // Of the foreground, lately. 0: not known.
  int64_t debt = 0;        // What the sweep left.
  bool truncated = false;  // By its limit.
};

// The scale of the next sweep, applied to the configured limit. Halves while
// the foreground suffers, doubles while work is left, and returns to 1 when
// none is:
//
//                    p99 fine    p99 over its limit
//   no work left     toward 1    half
//   work left        double      half
//   debt_high        double      same
int32_t NextScaleLog2(const PacingOptions& options, const PacingInput& input);

// `limit` times 2^scale_log2: entries and millis at least 1 where they were,
// and saturating.
SweepLimit ScaledLimit(const SweepLimit& limit, int32_t scale_log2);

}  // namespace larder::sweeper

#endif  // LARDER_SWEEPER_SWEEP_PACING_H_
