// larder stats: what an L2 holds.
#ifndef LARDER_TOOLS_CLI_STATS_COMMAND_H_
#define LARDER_TOOLS_CLI_STATS_COMMAND_H_

#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"

namespace larder::cli {

struct StatsFlags {
  CacheFlags cache;
};

CommandResult RunStats(const StatsFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_STATS_COMMAND_H_
