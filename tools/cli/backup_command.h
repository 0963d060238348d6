// larder backup: a consistent snapshot into one or more archives.
#ifndef LARDER_TOOLS_CLI_BACKUP_COMMAND_H_
#define LARDER_TOOLS_CLI_BACKUP_COMMAND_H_

#include <string>
#include <vector>

#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"

namespace larder::cli {

struct BackupFlags {
  CacheFlags cache;
  std::vector<std::string> directories;  // One archive each.
  bool include_blob_cache = false;
  // BackupRequest's.
  bool full = false;
  std::string base_id;
  std::string files;  // A directory that is backed up too; empty: none.
};

// An archive, file or blob that failed while the rest worked is a failure
// (kExitPartial). Ctrl-C lists nothing anywhere.
CommandResult RunBackup(const BackupFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_BACKUP_COMMAND_H_
