// Looking for keys that are not there.
#ifndef LARDER_BENCH_L2_ABSENT_H_
#define LARDER_BENCH_L2_ABSENT_H_

#include "bench/work.h"

namespace larder::bench {

absl::StatusOr<Rows> AbsentKey(const Setting& setting);

}  // namespace larder::bench

#endif  // LARDER_BENCH_L2_ABSENT_H_
