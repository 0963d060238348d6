#include "tools/cli/location.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cache/status_macros.h"

namespace larder::cli {

absl::StatusOr<std::string> ParseDirectoryLocation(absl::string_view text) {
  absl::string_view path = text;
  if (absl::ConsumePrefix(&path, "dir:") && !path.empty()) {
    return std::string(path);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is not a place for archives: write dir:PATH"));
}

absl::StatusOr<replication::Endpoint> ParseReplicaLocation(
    absl::string_view text) {
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "grpc://")) {
    return replication::ParseEndpoint(rest);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is not a replica: write grpc://HOST:PORT"));
}

absl::StatusOr<BackupPlace> ParseBackupPlace(absl::string_view text) {
  BackupPlace place;
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "grpc://")) {
    LARDER_ASSIGN_OR_RETURN(place.replica, replication::ParseEndpoint(rest));
    return place;
  }
  if (absl::ConsumePrefix(&rest, "dir:") && !rest.empty()) {
    place.directory = std::string(rest);
    return place;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", text,
                   "' is not a place for archives: write dir:PATH or "
                   "grpc://HOST:PORT"));
}

}  // namespace larder::cli
