// larder get: the bytes of one blob.
#ifndef LARDER_TOOLS_CLI_GET_COMMAND_H_
#define LARDER_TOOLS_CLI_GET_COMMAND_H_

#include <optional>
#include <string>

#include "replication/endpoint.h"
#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"
#include "tools/cli/replica_flags.h"

namespace larder::cli {

struct GetFlags {
  // One of these two is given.
  CacheFlags cache;
  std::optional<replication::Endpoint> replica;  // A live one.
  CredentialFlags credentials;                   // For that.
  std::string ns;
  std::string key;
  std::string out;  // Empty: stdout; but with --json, nowhere.
};

// Exits kExitAbsent for a missing key, kExitIntegrity for a damaged blob: then
// stdout may hold a part of it, and `out` is not there. Memory: a few MiB.
CommandResult RunGet(const GetFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_GET_COMMAND_H_
