// Full dumps: how fast, and how much CPU time.
#ifndef LARDER_BENCH_BACKUP_DUMPS_H_
#define LARDER_BENCH_BACKUP_DUMPS_H_

#include "absl/status/statusor.h"
#include "bench/setting.h"
#include "bench/work.h"

namespace larder::bench {

absl::StatusOr<Rows> FullDump(const Setting& setting);
absl::StatusOr<Rows> CompressibleDump(const Setting& setting);

}  // namespace larder::bench

#endif  // LARDER_BENCH_BACKUP_DUMPS_H_
