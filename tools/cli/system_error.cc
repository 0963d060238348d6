#include "tools/cli/system_error.h"

namespace larder::cli {

absl::Status SystemError(int error_number, absl::string_view what) {
  absl::Status status = absl::ErrnoToStatus(error_number, what);
  if (!absl::IsPermissionDenied(status)) return status;
  return absl::FailedPreconditionError(status.message());
}

}  // namespace larder::cli
