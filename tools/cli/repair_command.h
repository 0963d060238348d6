// larder verify --repair: makes a damaged L2 usable, and says what that cost.
#ifndef LARDER_TOOLS_CLI_REPAIR_COMMAND_H_
#define LARDER_TOOLS_CLI_REPAIR_COMMAND_H_

#include "absl/status/status.h"
#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"

namespace larder::cli {

// What was dropped is among the failures of `result`: done in part. Its facts
// are those of verify, of the L2 as it is now, and "repair".
// Errors: as cache::RepairL2(); kDataLoss also when it is still not sound.
absl::Status RepairCache(const CacheFlags& flags, Console* console,
                         CommandResult* result);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_REPAIR_COMMAND_H_
