// The flags of both ends of replication, and what they make.
#ifndef LARDER_TOOLS_CLI_REPLICA_FLAGS_H_
#define LARDER_TOOLS_CLI_REPLICA_FLAGS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backup/sink.h"
#include "replication/claimed_replicas.h"
#include "replication/credentials.h"
#include "replication/endpoint.h"

namespace larder::cli {

// Files; empty: none.
struct CredentialFlags {
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_ca;
  std::string token_file;
  bool insecure = false;
};

struct Credentials {
  replication::TlsCredentials tls;
  std::vector<std::string> tokens;
};

absl::StatusOr<Credentials> ReadCredentials(const CredentialFlags& flags);

// A sink that gives dumps of the L2 `lineage`, in `term`, to `replica`.
// Ctrl-C ends its waits. Shows the first of the tokens. `claimed` is shared by
// all of a backup.
absl::StatusOr<std::unique_ptr<backup::SnapshotSink>> MakeReplicaSink(
    const replication::Endpoint& replica, const Credentials& credentials,
    bool insecure, const std::string& lineage, uint64_t term,
    std::shared_ptr<replication::ClaimedReplicas> claimed);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_REPLICA_FLAGS_H_
