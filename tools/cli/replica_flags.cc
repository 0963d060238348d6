#include "tools/cli/replica_flags.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"
#include "replication/connection.h"
#include "replication/grpc_connector.h"
#include "replication/replica_sink.h"
#include "tools/cli/interrupt.h"

namespace larder::cli {

absl::StatusOr<Credentials> ReadCredentials(const CredentialFlags& flags) {
  Credentials credentials;
  const std::pair<const std::string&, std::string*> files[] = {
      {flags.tls_certificate, &credentials.tls.certificate},
      {flags.tls_key, &credentials.tls.key},
      {flags.tls_ca, &credentials.tls.ca}};
  for (const auto& [path, pem] : files) {
    if (path.empty()) continue;
    LARDER_ASSIGN_OR_RETURN(*pem, replication::ReadPemFile(path));
  }
  if (!flags.token_file.empty()) {
    LARDER_ASSIGN_OR_RETURN(credentials.tokens,
                            replication::ReadTokenFile(flags.token_file));
  }
  return credentials;
}

absl::StatusOr<std::unique_ptr<backup::SnapshotSink>> MakeReplicaSink(
    const replication::Endpoint& replica, const Credentials& credentials,
    bool insecure, const std::string& lineage, uint64_t term,
    std::shared_ptr<replication::ClaimedReplicas> claimed) {
  LARDER_ASSIGN_OR_RETURN(
      std::unique_ptr<replication::ReplicaConnector> connector,
      replication::GrpcConnector::Create(
          {.replica = replica,
           .tls = credentials.tls,
           .token = credentials.tokens.empty() ? "" : credentials.tokens[0],
           .insecure = insecure}));
  return replication::ReplicaSink::Create(
      std::move(connector), {.name = absl::StrCat("grpc://", replica.Text()),
                             .lineage = lineage,
                             .term = term,
                             .claimed = std::move(claimed),
                             .cancellation = InterruptFlag()});
}

}  // namespace larder::cli
