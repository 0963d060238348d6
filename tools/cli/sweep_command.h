// larder sweep: gives the space of what is no longer valid back.
#ifndef LARDER_TOOLS_CLI_SWEEP_COMMAND_H_
#define LARDER_TOOLS_CLI_SWEEP_COMMAND_H_

#include <cstdint>

#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"

namespace larder::cli {

struct SweepFlags {
  CacheFlags cache;
  int64_t limit_entries = 0;  // 0: no limit.
  int64_t limit_millis = 0;   // 0: no limit; else whichever comes first.
  bool orphans = false;       // Also chains that no record holds.
};

CommandResult RunSweep(const SweepFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_SWEEP_COMMAND_H_
