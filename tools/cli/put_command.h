// larder put: stores one blob.
#ifndef LARDER_TOOLS_CLI_PUT_COMMAND_H_
#define LARDER_TOOLS_CLI_PUT_COMMAND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"

namespace larder::cli {

struct PutFlags {
  CacheFlags cache;
  std::string ns;
  std::string key;
  std::string file;    // Empty or "-": stdin.
  int64_t ttl_ms = 0;  // 0: never expires.
  std::vector<std::string> tags;
};

// Committed and synced when it succeeds. Memory: the blob.
CommandResult RunPut(const PutFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_PUT_COMMAND_H_
