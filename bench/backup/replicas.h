// Backups to replicas over loopback.
#ifndef LARDER_BENCH_BACKUP_REPLICAS_H_
#define LARDER_BENCH_BACKUP_REPLICAS_H_

#include "absl/status/statusor.h"
#include "bench/setting.h"
#include "bench/work.h"

namespace larder::bench {

// The primary's CPU time with three replicas beside that with one.
absl::StatusOr<Rows> ReplicaCpu(const Setting& setting);
// What is sent when the connection is cut a hundred times, beside the dump.
absl::StatusOr<Rows> CutTransfer(const Setting& setting);

}  // namespace larder::bench

#endif  // LARDER_BENCH_BACKUP_REPLICAS_H_
