// A client's way to a replica over the network. No gRPC in this header.
#ifndef LARDER_REPLICATION_GRPC_CONNECTOR_H_
#define LARDER_REPLICATION_GRPC_CONNECTOR_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "replication/connection.h"
#include "replication/credentials.h"
#include "replication/endpoint.h"

namespace larder::replication {

// A new connection for each call.
class GrpcConnector {
 public:
  struct Options {
    Endpoint replica = {};
    // Without a CA, certificate or key: no TLS.
    TlsCredentials tls = {};
    std::string token = "";  // Empty: none is shown.
    bool insecure = false;   // See CheckConnect().
    // A transfer that takes longer is cut, and resumed: so nothing that hangs
    // hangs for ever.
    int64_t transfer_ms_max = 300'000;
    int64_t call_ms_max = 5'000;  // Of all other calls.
  };

  // Errors: kFailedPrecondition (CheckConnect()).
  static absl::StatusOr<std::unique_ptr<ReplicaConnector>> Create(
      const Options& options);
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_GRPC_CONNECTOR_H_
