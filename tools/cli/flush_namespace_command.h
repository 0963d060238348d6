// larder flush-namespace: makes everything in a namespace invalid, at once.
#ifndef LARDER_TOOLS_CLI_FLUSH_NAMESPACE_COMMAND_H_
#define LARDER_TOOLS_CLI_FLUSH_NAMESPACE_COMMAND_H_

#include <string>

#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"

namespace larder::cli {

struct FlushNamespaceFlags {
  CacheFlags cache;
  std::string ns;
};

// Durable when it succeeds.
CommandResult RunFlushNamespace(const FlushNamespaceFlags& flags,
                                Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_FLUSH_NAMESPACE_COMMAND_H_
