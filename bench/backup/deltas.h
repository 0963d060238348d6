// Deltas: their cost follows the change.
#ifndef LARDER_BENCH_BACKUP_DELTAS_H_
#define LARDER_BENCH_BACKUP_DELTAS_H_

#include "absl/status/statusor.h"
#include "bench/setting.h"
#include "bench/work.h"

namespace larder::bench {

absl::StatusOr<Rows> DeltaOfChanges(const Setting& setting);
absl::StatusOr<Rows> SeveralBases(const Setting& setting);
absl::StatusOr<Rows> IdleDelta(const Setting& setting);

}  // namespace larder::bench

#endif  // LARDER_BENCH_BACKUP_DELTAS_H_
