// What those who use the cache notice of its backups.
#ifndef LARDER_BENCH_BACKUP_FOREGROUND_H_
#define LARDER_BENCH_BACKUP_FOREGROUND_H_

#include "absl/status/statusor.h"
#include "bench/setting.h"
#include "bench/work.h"

namespace larder::bench {

absl::StatusOr<Rows> Foreground(const Setting& setting);
absl::StatusOr<Rows> PinHold(const Setting& setting);

}  // namespace larder::bench

#endif  // LARDER_BENCH_BACKUP_FOREGROUND_H_
