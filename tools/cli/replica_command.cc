#include "tools/cli/replica_command.h"

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "cache/l2/file.h"
#include "cache/status_macros.h"
#include "replication/archive_receiver.h"
#include "replication/dump_receiver.h"
#include "replication/grpc_server.h"
#include "replication/live_l2.h"
#include "replication/live_receiver.h"
#include "replication/replica_id.h"
#include "replication/replica_service.h"
#include "replication/resume_token.h"
#include "replication/term_store.h"
#include "tools/cli/cache_flags.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/key_flag.h"

namespace larder::cli {
namespace {

using replication::ArchiveReceiver;
using replication::GrpcReplicaServer;
using replication::ReplicaService;

// How often it looks for an interrupt, and, once in so many looks, for what
// has expired.
constexpr std::chrono::milliseconds kLook{50};
constexpr int kLooksPerCleaning = 1200;

// What serves; `service` borrows `live`.
struct Replica {
  std::unique_ptr<replication::LiveL2> live;  // Null: it keeps an archive.
  std::unique_ptr<ReplicaService> service;
};

absl::StatusOr<Replica> OpenReplica(const ReplicaFlags& flags) {
  Replica replica;
  std::unique_ptr<replication::DumpReceiver> receiver;
  std::string own;
  if (flags.archive.empty()) {
    LARDER_ASSIGN_OR_RETURN(backup::Archive::Keys keys,
                            ReadKeys(flags.cache.key_file));
    LARDER_ASSIGN_OR_RETURN(
        replica.live, replication::LiveL2::Open(
                          {.cache = ToolOptions(flags.cache, OpenMode::kLook),
                           .delta_limits = {},
                           .keys = std::move(keys)}));
    receiver = replication::MakeLiveReceiver(replica.live.get());
    own = replica.live->kept().OwnDirectory();
  } else {
    LARDER_ASSIGN_OR_RETURN(receiver, ArchiveReceiver::Open(flags.archive, {}));
    own = ArchiveReceiver::OwnDirectory(flags.archive);
  }
  cache::l2::FileSystem* const file_system = cache::l2::PosixFileSystem();
  LARDER_ASSIGN_OR_RETURN(std::unique_ptr<replication::TermStore> terms,
                          replication::TermStore::Open(file_system, own));
  LARDER_ASSIGN_OR_RETURN(replication::ResumeTokens tokens,
                          replication::ResumeTokens::Open(file_system, own));
  LARDER_ASSIGN_OR_RETURN(std::string id,
                          replication::OpenReplicaId(file_system, own));
  replica.service = std::make_unique<ReplicaService>(
      std::move(receiver), std::move(terms), std::move(tokens),
      ReplicaService::Options{.resume_ttl_ms = flags.resume_ttl_ms,
                              .replica_id = std::move(id)});
  return replica;
}

// What it has, for who starts it.
absl::StatusOr<std::string> Describe(const ReplicaFlags& flags,
                                     const Replica& replica) {
  if (replica.live == nullptr) return absl::StrCat("archive ", flags.archive);
  LARDER_ASSIGN_OR_RETURN(const auto applied, replica.live->Applied());
  if (!applied.has_value()) {
    return absl::StrCat("L2 ", flags.cache.l2, ", which has nothing yet");
  }
  return absl::StrCat("L2 ", flags.cache.l2, ", which has snapshot ",
                      applied->header.snapshot_id());
}

absl::Status Serve(const ReplicaFlags& flags, Console* console) {
  LARDER_ASSIGN_OR_RETURN(Credentials credentials,
                          ReadCredentials(flags.credentials));
  LARDER_RETURN_IF_ERROR(replication::CheckListen(
      flags.listen, !credentials.tls.certificate.empty(),
      !credentials.tokens.empty(), flags.credentials.insecure));
  LARDER_ASSIGN_OR_RETURN(const Replica replica, OpenReplica(flags));
  LARDER_ASSIGN_OR_RETURN(const std::string what, Describe(flags, replica));
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<GrpcReplicaServer> server,
      GrpcReplicaServer::Start({.listen = flags.listen,
                                .tls = std::move(credentials.tls),
                                .tokens = std::move(credentials.tokens),
                                .insecure = flags.credentials.insecure},
                               replica.service.get(), replica.live.get()));
  console->Warn(absl::StrCat("replica: listening on ",
                             server->endpoint().Text(), " for ", what));
  for (int look = 0; !Interrupted(); ++look) {
    if (look % kLooksPerCleaning == 0) {
      // What cannot be removed now is tried again.
      replica.service->RemoveExpired().IgnoreError();
    }
    std::this_thread::sleep_for(kLook);
  }
  return absl::OkStatus();
}

}  // namespace

CommandResult RunReplica(const ReplicaFlags& flags, Console* console) {
  InterruptScope interruptible;
  CommandResult result;
  result.status = Serve(flags, console);
  return result;
}

}  // namespace larder::cli
