// Runs this program again, with other arguments, and waits for its end.
#ifndef LARDER_TOOLS_DEMO_SUBPROCESS_H_
#define LARDER_TOOLS_DEMO_SUBPROCESS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace larder::demo {

struct SubprocessEnd {
  std::string output;  // Of its stdout.
  int exit_code = -1;  // -1: killed.
  int signal = 0;      // That killed it, or 0.
};

// Errors: when it cannot be started.
absl::StatusOr<SubprocessEnd> RunSelf(
    const std::vector<std::string>& arguments);

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_SUBPROCESS_H_
