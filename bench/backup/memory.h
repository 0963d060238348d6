// What a dump takes of memory.
#ifndef LARDER_BENCH_BACKUP_MEMORY_H_
#define LARDER_BENCH_BACKUP_MEMORY_H_

#include <string>

#include "absl/status/statusor.h"
#include "bench/setting.h"
#include "bench/work.h"

namespace larder::bench {

absl::StatusOr<Rows> MemoryOfDump(const Setting& setting);

// The child that MemoryOfDump() starts: dumps the L2 in `dir`, and writes into
// `dir`.memory by how much its memory grew at most. Returns: the exit code.
int RunDumpChild(const std::string& dir);

}  // namespace larder::bench

#endif  // LARDER_BENCH_BACKUP_MEMORY_H_
