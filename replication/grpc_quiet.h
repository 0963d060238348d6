// gRPC's own log, which goes to stderr, where a program's errors are.
#ifndef LARDER_REPLICATION_GRPC_QUIET_H_
#define LARDER_REPLICATION_GRPC_QUIET_H_

#include <grpc/support/log.h>

#include <cstdlib>

namespace larder::replication {

// Silences it, unless GRPC_VERBOSITY asks for it: what matters of it comes back
// as a status.
inline void QuietGrpc() {
  if (std::getenv("GRPC_VERBOSITY") == nullptr) {
    gpr_set_log_function([](gpr_log_func_args*) {});
  }
}

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_GRPC_QUIET_H_
