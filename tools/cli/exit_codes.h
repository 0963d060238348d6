// What the programs exit with: stable, for scripts.
#ifndef LARDER_TOOLS_CLI_EXIT_CODES_H_
#define LARDER_TOOLS_CLI_EXIT_CODES_H_

#include "absl/status/status.h"

namespace larder::cli {

enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,
  kExitUsage = 2,          // The command line is wrong; nothing was done.
  kExitPartial = 3,        // Done, but for the items that were reported.
  kExitAbsent = 10,        // No such L2, archive, snapshot or key.
  kExitLocked = 11,        // Held by another process, or not to be reached.
  kExitIntegrity = 12,     // Stored bytes are not what was written.
  kExitFenced = 13,        // A replica has seen a newer primary: stop this one.
  kExitInterrupted = 130,  // Ctrl-C or SIGTERM; 128 + SIGINT as shells count.
};

// kInvalidArgument, kNotFound, kUnavailable, kDataLoss, kPermissionDenied and
// kCancelled have codes of their own; any other error is kExitFailed.
ExitCode ExitCodeOf(const absl::Status& status);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_EXIT_CODES_H_
