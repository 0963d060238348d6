// Where archives are: "dir:PATH".
#ifndef LARDER_TOOLS_CLI_LOCATION_H_
#define LARDER_TOOLS_CLI_LOCATION_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace larder::cli {

// Returns: the path of "dir:PATH".
// Errors: kInvalidArgument saying what is known.
absl::StatusOr<std::string> ParseDirectoryLocation(absl::string_view text);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_LOCATION_H_
