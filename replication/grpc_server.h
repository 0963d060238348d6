// A replica on the network. No gRPC in this header.
#ifndef LARDER_REPLICATION_GRPC_SERVER_H_
#define LARDER_REPLICATION_GRPC_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "replication/blob_reader.h"
#include "replication/credentials.h"
#include "replication/endpoint.h"
#include "replication/replica_service.h"

namespace larder::replication {

// Thread-safe. Peers are, for ReplicaService: the name in a client's
// certificate, or else its bearer token, or else its IP address.
//
// Memory: gRPC's, within a quota of 64 MiB and 64 threads, and the service's;
// for each Get() a MiB.
class GrpcReplicaServer {
 public:
  struct Options {
    Endpoint listen = {};  // Port 0: any.
    TlsCredentials tls = {};
    std::vector<std::string> tokens = {};  // Empty: everybody may call.
    bool insecure = false;                 // See CheckListen().
  };

  // Borrows `service` and `reader`, which must outlive it. `reader` answers
  // Get(); null: nothing does.
  // Errors: kFailedPrecondition (CheckListen()), kInvalidArgument (certificate
  // or key), kUnavailable (the address is taken, or not ours).
  static absl::StatusOr<std::unique_ptr<GrpcReplicaServer>> Start(
      const Options& options, ReplicaService* service,
      const BlobReader* reader = nullptr);

  // Cuts all calls and waits until they have ended. Their transfers are kept.
  virtual ~GrpcReplicaServer() = default;

  // With the port that it has got.
  virtual const Endpoint& endpoint() const = 0;
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_GRPC_SERVER_H_
