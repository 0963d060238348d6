// What a dump takes of memory.
#ifndef LARDER_BENCH_BACKUP_MEMORY_H_
#define LARDER_BENCH_BACKUP_MEMORY_H_

#include <string>

#include "absl/status/statusor.h"
#include "bench/setting.h"
#include "bench/work.h"

namespace larder::bench {

// Of a dump to a directory, and of one to a replica, on both sides.
absl::StatusOr<Rows> MemoryOfDump(const Setting& setting);

// The children that MemoryOfDump() starts: dump the L2 in `dir`, the second one
// to a replica that it starts, and write into `dir`.memory by how many MiB
// their memory grew at most; then that of the replica. Return: the exit code.
int RunDumpChild(const std::string& dir);
int RunSendChild(const std::string& dir);

}  // namespace larder::bench

#endif  // LARDER_BENCH_BACKUP_MEMORY_H_
