// Lazy restores: how soon they serve.
#ifndef LARDER_BENCH_BACKUP_LAZY_H_
#define LARDER_BENCH_BACKUP_LAZY_H_

#include "absl/status/statusor.h"
#include "bench/setting.h"
#include "bench/work.h"

namespace larder::bench {

// Of 4 GiB, and of an eighth of it.
absl::StatusOr<Rows> LazyRestoreFirstHit(const Setting& setting);

}  // namespace larder::bench

#endif  // LARDER_BENCH_BACKUP_LAZY_H_
