// write(2) until everything is written.
#ifndef LARDER_TOOLS_CLI_WRITE_ALL_H_
#define LARDER_TOOLS_CLI_WRITE_ALL_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace larder::cli {

// Errors: what errno says, as "cannot write".
absl::Status WriteAll(int fd, absl::string_view bytes);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_WRITE_ALL_H_
