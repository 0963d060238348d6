// larder list: the snapshots in an archive.
#ifndef LARDER_TOOLS_CLI_LIST_COMMAND_H_
#define LARDER_TOOLS_CLI_LIST_COMMAND_H_

#include <string>

#include "tools/cli/console.h"

namespace larder::cli {

struct ListFlags {
  std::string directory;  // The archive.
};

// A snapshot that cannot be read, or lacks packs, is a failure
// (kExitPartial).
CommandResult RunList(const ListFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_LIST_COMMAND_H_
