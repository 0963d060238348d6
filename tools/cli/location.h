// Where archives are: "dir:PATH", or "grpc://HOST:PORT" for a replica's.
#ifndef LARDER_TOOLS_CLI_LOCATION_H_
#define LARDER_TOOLS_CLI_LOCATION_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "replication/endpoint.h"

namespace larder::cli {

// Returns: the path of "dir:PATH".
// Errors: kInvalidArgument saying what is known.
absl::StatusOr<std::string> ParseDirectoryLocation(absl::string_view text);

// Returns: where "grpc://HOST:PORT" is. Errors: the same.
absl::StatusOr<replication::Endpoint> ParseReplicaLocation(
    absl::string_view text);

// Where a backup goes.
struct BackupPlace {
  std::string directory;                         // Empty: a replica.
  std::optional<replication::Endpoint> replica;  // Of "grpc://HOST:PORT".
};

// Errors: as above.
absl::StatusOr<BackupPlace> ParseBackupPlace(absl::string_view text);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_LOCATION_H_
