// larder diff: what changed between two snapshots of an archive.
#ifndef LARDER_TOOLS_CLI_DIFF_COMMAND_H_
#define LARDER_TOOLS_CLI_DIFF_COMMAND_H_

#include <cstdint>
#include <string>

#include "tools/cli/console.h"

namespace larder::cli {

struct DiffFlags {
  std::string directory;  // The archive.
  std::string before;     // Their ids.
  std::string after;
  std::string source;    // Empty: the only blob cache.
  bool names = false;    // Tell also which blobs,
  int64_t limit = 0;     // at most so many; not 0: `names` is meant, too.
  std::string key_file;  // Of sealed snapshots; empty: none.
};

// Memory: the names that are told.
CommandResult RunDiff(const DiffFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_DIFF_COMMAND_H_
