// larder replica: takes dumps over the network, and keeps them in an archive,
// or applies them to an L2 and serves reads from it.
#ifndef LARDER_TOOLS_CLI_REPLICA_COMMAND_H_
#define LARDER_TOOLS_CLI_REPLICA_COMMAND_H_

#include <cstdint>
#include <string>

#include "replication/endpoint.h"
#include "tools/cli/cache_flags.h"
#include "tools/cli/console.h"
#include "tools/cli/replica_flags.h"

namespace larder::cli {

struct ReplicaFlags {
  replication::Endpoint listen;
  // One of these two is given.
  std::string archive;
  CacheFlags cache;
  CredentialFlags credentials;
  int64_t resume_ttl_ms = 3'600'000;
};

// Runs until Ctrl-C or SIGTERM, which is no failure. Says on stderr where it
// listens, once it does.
CommandResult RunReplica(const ReplicaFlags& flags, Console* console);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_REPLICA_COMMAND_H_
