// Sweeping what is due, beside readers.
#ifndef LARDER_BENCH_L2_SWEEP_H_
#define LARDER_BENCH_L2_SWEEP_H_

#include "bench/work.h"

namespace larder::bench {

absl::StatusOr<Rows> SweepDue(const Setting& setting);

}  // namespace larder::bench

#endif  // LARDER_BENCH_L2_SWEEP_H_
