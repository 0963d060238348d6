// larder ls: the keys of a namespace.
#ifndef LARDER_TOOLS_CLI_LS_COMMAND_H_
#define LARDER_TOOLS_CLI_LS_COMMAND_H_

#include <cstdint>
#include <string>

#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"

namespace larder::cli {

struct LsFlags {
  CacheFlags cache;
  std::string ns;
  std::string prefix;  // Empty: all keys.
  std::string after;   // Only keys behind it: the last one of the page before.
  int64_t limit = 0;   // 0: all.
};

// Lists valid blobs in the order of their keys. Memory with --json: the
// listing; else none that grows with it.
CommandResult RunLs(const LsFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_LS_COMMAND_H_
