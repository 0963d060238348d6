// larder import: the files below a path become blobs.
#ifndef LARDER_TOOLS_CLI_IMPORT_COMMAND_H_
#define LARDER_TOOLS_CLI_IMPORT_COMMAND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"

namespace larder::cli {

struct ImportFlags {
  CacheFlags cache;
  std::string ns;
  std::string path;  // A directory, or a single file.
  bool follow_links = false;
  int64_t ttl_ms = 0;  // 0: never expires.
  std::vector<std::string> tags;
};

// Key of a blob: the file's path relative to `path`, with '/'. Special
// files, and links that are not followed, are counted as skipped; a file that
// cannot be stored is a failure and does not stop the rest. Ctrl-C stops
// between two files, and what was imported is committed. Memory: the largest
// file.
CommandResult RunImport(const ImportFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_IMPORT_COMMAND_H_
