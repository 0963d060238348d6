// Writing blobs, at two levels of durability.
#ifndef LARDER_BENCH_L2_PUTS_H_
#define LARDER_BENCH_L2_PUTS_H_

#include "bench/work.h"

namespace larder::bench {

absl::StatusOr<Rows> Put16KiB(const Setting& setting);
absl::StatusOr<Rows> PutEveryPut(const Setting& setting);

}  // namespace larder::bench

#endif  // LARDER_BENCH_L2_PUTS_H_
