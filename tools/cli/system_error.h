// What a system call said.
#ifndef LARDER_TOOLS_CLI_SYSTEM_ERROR_H_
#define LARDER_TOOLS_CLI_SYSTEM_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace larder::cli {

// As absl::ErrnoToStatus(), but never kPermissionDenied: a file that may not be
// read or written is kFailedPrecondition, since the former has an exit code of
// its own, for a primary that has been replaced.
absl::Status SystemError(int error_number, absl::string_view what);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_SYSTEM_ERROR_H_
