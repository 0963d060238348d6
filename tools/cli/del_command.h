// larder del: removes blobs by key, prefix or tag.
#ifndef LARDER_TOOLS_CLI_DEL_COMMAND_H_
#define LARDER_TOOLS_CLI_DEL_COMMAND_H_

#include <string>
#include <vector>

#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"

namespace larder::cli {

// At least one of the lists has an entry.
struct DelFlags {
  CacheFlags cache;
  std::string ns;
  std::vector<std::string> keys;
  std::vector<std::string> prefixes;
  std::vector<std::string> tags;  // Blobs that carry any of them.
};

// Durable when it succeeds. A key that is absent is an error (kExitAbsent),
// after the others were removed; prefixes and tags may match nothing.
CommandResult RunDel(const DelFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_DEL_COMMAND_H_
