#include "bench/backup/replica_child.h"

#include <iostream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/l2/file.h"
#include "cache/status_macros.h"
#include "replication/archive_receiver.h"
#include "replication/connection.h"
#include "replication/grpc_connector.h"
#include "replication/grpc_server.h"
#include "replication/replica_service.h"
#include "replication/replica_sink.h"
#include "replication/resume_token.h"
#include "replication/term_store.h"

namespace larder::bench {

absl::StatusOr<std::unique_ptr<ServingChild>> StartReplica(
    const std::string& dir) {
  return ServingChild::Start({"--child=replica", "--dir", dir});
}

absl::StatusOr<std::unique_ptr<backup::SnapshotSink>> SinkTo(
    const replication::Endpoint& replica) {
  LARDER_ASSIGN_OR_RETURN(
      std::unique_ptr<replication::ReplicaConnector> connector,
      replication::GrpcConnector::Create({.replica = replica}));
  return replication::ReplicaSink::Create(
      std::move(connector),
      {.name = absl::StrCat("grpc://", replica.Text()), .lineage = "bench"});
}

int RunReplicaChild(const std::string& dir) {
  const auto serve = [&]() -> absl::Status {
    LARDER_ASSIGN_OR_RETURN(auto receiver, replication::ArchiveReceiver::Open(
                                               dir, {.sync = false}));
    const std::string own = replication::ArchiveReceiver::OwnDirectory(dir);
    cache::l2::FileSystem* const files = cache::l2::PosixFileSystem();
    LARDER_ASSIGN_OR_RETURN(auto terms,
                            replication::TermStore::Open(files, own));
    LARDER_ASSIGN_OR_RETURN(auto tokens,
                            replication::ResumeTokens::Open(files, own));
    replication::ReplicaService service(std::move(receiver), std::move(terms),
                                        std::move(tokens), {});
    LARDER_ASSIGN_OR_RETURN(
        const auto server,
        replication::GrpcReplicaServer::Start(
            {.listen = {.host = "127.0.0.1", .port = 0}}, &service));
    ServeUntilDone(server->endpoint().Text());
    return absl::OkStatus();
  };
  const absl::Status status = serve();
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}

}  // namespace larder::bench
