// Tombstones: what covers many records at the cost of one.
#ifndef LARDER_BENCH_L2_INVALIDATIONS_H_
#define LARDER_BENCH_L2_INVALIDATIONS_H_

#include "bench/work.h"

namespace larder::bench {

absl::StatusOr<Rows> FlushNamespaces(const Setting& setting);
absl::StatusOr<Rows> Invalidate(const Setting& setting);

}  // namespace larder::bench

#endif  // LARDER_BENCH_L2_INVALIDATIONS_H_
