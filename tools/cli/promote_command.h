// larder promote: makes the L2 of a live replica a primary's.
#ifndef LARDER_TOOLS_CLI_PROMOTE_COMMAND_H_
#define LARDER_TOOLS_CLI_PROMOTE_COMMAND_H_

#include <cstdint>

#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"

namespace larder::cli {

struct PromoteFlags {
  CacheFlags cache;
  int64_t term = 0;  // 0: one more than the replica has seen.
};

// Says what was promoted, and what to do about the old primary.
CommandResult RunPromote(const PromoteFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_PROMOTE_COMMAND_H_
