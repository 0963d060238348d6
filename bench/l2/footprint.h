// What L2 takes: of memory, and of disk.
#ifndef LARDER_BENCH_L2_FOOTPRINT_H_
#define LARDER_BENCH_L2_FOOTPRINT_H_

#include <string>

#include "bench/work.h"

namespace larder::bench {

absl::StatusOr<Rows> MemoryPerRecord(const Setting& setting);
absl::StatusOr<Rows> DiskAfterChurn(const Setting& setting);

// The child that MemoryPerRecord() starts: opens the L2 in `dir`, reads some,
// and writes into `dir`.memory what that took. Returns: the exit code.
int RunMemoryChild(const std::string& dir);

}  // namespace larder::bench

#endif  // LARDER_BENCH_L2_FOOTPRINT_H_
