// Reading whole blobs, and a part of one.
#ifndef LARDER_BENCH_L2_GETS_H_
#define LARDER_BENCH_L2_GETS_H_

#include "bench/work.h"

namespace larder::bench {

absl::StatusOr<Rows> Get16KiB(const Setting& setting);
absl::StatusOr<Rows> Get1KiB(const Setting& setting);
absl::StatusOr<Rows> Get5MiB(const Setting& setting);
absl::StatusOr<Rows> Get5MiBJson(const Setting& setting);
absl::StatusOr<Rows> GetPart(const Setting& setting);

}  // namespace larder::bench

#endif  // LARDER_BENCH_L2_GETS_H_
