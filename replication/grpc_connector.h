// A client's way to a replica over the network. No gRPC in this header.
#ifndef LARDER_REPLICATION_GRPC_CONNECTOR_H_
#define LARDER_REPLICATION_GRPC_CONNECTOR_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "replication/connection.h"
#include "replication/credentials.h"
#include "replication/endpoint.h"
#include "replication/replication.pb.h"

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

  // Gets a blob from a live replica: gives `take` its pieces in order, at least
  // one, until that fails. Within transfer_ms_max.
  // Errors: as Create(), those of the Get call (replication.proto), kDataLoss
  // (GetReplyCheck), and those of `take`: then the pieces that came mean
  // nothing.
  static absl::Status Get(
      const Options& options, absl::string_view ns, absl::string_view key,
      absl::FunctionRef<absl::Status(const GetReply& piece)> take);
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_GRPC_CONNECTOR_H_
