// larder prune: removes snapshots that a policy does not keep.
#ifndef LARDER_TOOLS_CLI_PRUNE_COMMAND_H_
#define LARDER_TOOLS_CLI_PRUNE_COMMAND_H_

#include <string>

#include "backup/retention.h"
#include "tools/cli/console.h"

namespace larder::cli {

struct PruneFlags {
  std::string directory;  // The archive.
  backup::RetentionPolicy policy;
  bool confirm = false;
};

// A snapshot that stays though the policy does not ask for it is told with the
// reason, and is no failure.
CommandResult RunPrune(const PruneFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_PRUNE_COMMAND_H_
