// larder restore --lazy: the L2 serves at once, and fills then.
#ifndef LARDER_TOOLS_CLI_LAZY_RESTORE_COMMAND_H_
#define LARDER_TOOLS_CLI_LAZY_RESTORE_COMMAND_H_

#include "absl/status/status.h"
#include "tools/cli/console.h"
#include "tools/cli/restore_flags.h"

namespace larder::cli {

// Publishes the L2, or goes on with one that is hydrating, says so, and fills
// it. On Ctrl-C (kCancelled) it stays as it is: it serves by 'larder get', and
// the same command goes on. Each blob that is lost is a failure.
// With --give-up it only makes the L2 one as any other, without the archive and
// what is not there yet.
absl::Status RestoreLazily(const RestoreFlags& flags, Console* console,
                           CommandResult* result);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_LAZY_RESTORE_COMMAND_H_
