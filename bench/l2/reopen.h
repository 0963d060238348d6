// Opening an L2 that was closed, and one whose process was killed.
#ifndef LARDER_BENCH_L2_REOPEN_H_
#define LARDER_BENCH_L2_REOPEN_H_

#include <string>

#include "bench/work.h"

namespace larder::bench {

absl::StatusOr<Rows> Reopen(const Setting& setting);

// The children that Reopen() starts: each opens the L2 in `dir`, puts,
// invalidates, and kills itself. Returns only when that failed, or when `child`
// is none of them: an exit code.
int RunKilledChild(const std::string& child, const std::string& dir);

}  // namespace larder::bench

#endif  // LARDER_BENCH_L2_REOPEN_H_
