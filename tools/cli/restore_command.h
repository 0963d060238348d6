// larder restore: a snapshot becomes a new L2, and files.
#ifndef LARDER_TOOLS_CLI_RESTORE_COMMAND_H_
#define LARDER_TOOLS_CLI_RESTORE_COMMAND_H_

#include "tools/cli/console.h"
#include "tools/cli/restore_flags.h"

namespace larder::cli {

// What damage cost is a failure for each blob and file (kExitPartial); the
// rest is restored. Otherwise it is all or nothing, also on Ctrl-C; but with
// `lazy` see RestoreLazily().
CommandResult RunRestore(const RestoreFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_RESTORE_COMMAND_H_
