// larder restore: a snapshot becomes a new L2, and files.
#ifndef LARDER_TOOLS_CLI_RESTORE_COMMAND_H_
#define LARDER_TOOLS_CLI_RESTORE_COMMAND_H_

#include <cstdint>
#include <limits>
#include <string>

#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"

namespace larder::cli {

// `cache.l2` or `files_out`, or both, are set.
struct RestoreFlags {
  CacheFlags cache;       // Its directory: absent or empty.
  std::string directory;  // The archive.
  // Empty: the newest complete one of those no younger than
  // `not_after_unix_ms`.
  std::string snapshot;
  int64_t not_after_unix_ms = std::numeric_limits<int64_t>::max();
  std::string files_out;  // Absent or empty.
  bool dry_run = false;
};

// What damage cost is a failure for each blob and file (kExitPartial); the
// rest is restored. Otherwise it is all or nothing, also on Ctrl-C.
CommandResult RunRestore(const RestoreFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_RESTORE_COMMAND_H_
