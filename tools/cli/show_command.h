// larder show: one snapshot of an archive.
#ifndef LARDER_TOOLS_CLI_SHOW_COMMAND_H_
#define LARDER_TOOLS_CLI_SHOW_COMMAND_H_

#include <string>

#include "tools/cli/console.h"

namespace larder::cli {

struct ShowFlags {
  std::string directory;  // The archive.
  std::string snapshot;   // Its id.
};

// A snapshot that lacks packs, or something that it builds on, is a failure
// (kExitPartial); what its manifest says is shown.
CommandResult RunShow(const ShowFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_SHOW_COMMAND_H_
