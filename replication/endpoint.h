// Where a replica is: "host:port".
#ifndef LARDER_REPLICATION_ENDPOINT_H_
#define LARDER_REPLICATION_ENDPOINT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace larder::replication {

struct Endpoint {
  std::string host;  // A name, an IPv4 address, or "[IPv6 address]".
  uint16_t port = 0;

  std::string Text() const;
  // Whether nobody but this machine reaches it.
  bool IsLoopback() const;
};

// Errors: kInvalidArgument.
absl::StatusOr<Endpoint> ParseEndpoint(absl::string_view text);

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_ENDPOINT_H_
