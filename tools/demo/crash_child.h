// The process that the demo starts in order to kill it.
#ifndef LARDER_TOOLS_DEMO_CRASH_CHILD_H_
#define LARDER_TOOLS_DEMO_CRASH_CHILD_H_

#include <cstdint>
#include <string>

#include "tools/cli/console.h"

namespace larder::demo {

// The hidden subcommand that runs it.
inline constexpr char kCrashChildCommand[] = "crash-between-chain-and-commit";

struct CrashChildFlags {
  std::string l2;
  std::string ns;
  int64_t blobs = 0;
};

// Opens the L2 so that it will not commit by itself, puts `blobs` blobs of
// random bytes, prints how many bytes their chains take, and kills the process
// with SIGKILL: the chains are written and no commit holds them.
// Returns only when something went wrong before.
cli::CommandResult RunCrashChild(const CrashChildFlags& flags,
                                 cli::Console* console);

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_CRASH_CHILD_H_
