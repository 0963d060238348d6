// Reads a whole input into memory, within a limit.
#ifndef LARDER_TOOLS_CLI_READ_INPUT_H_
#define LARDER_TOOLS_CLI_READ_INPUT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace larder::cli {

// Replaces `*bytes` with everything that `fd` holds from its place on;
// `bytes_hint` is what to expect (0: unknown).
// Memory: the capacity of `*bytes`, at most `bytes_max` and 1 MiB.
// Errors: kResourceExhausted past `bytes_max`; kCancelled on Ctrl-C; what
// read(2) says.
absl::Status ReadInput(int fd, int64_t bytes_hint, int64_t bytes_max,
                       std::string* bytes);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_READ_INPUT_H_
