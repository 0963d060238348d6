// What is said of an L2 that is being restored lazily.
#ifndef LARDER_TOOLS_CLI_HYDRATING_L2_H_
#define LARDER_TOOLS_CLI_HYDRATING_L2_H_

#include <string>

#include "absl/status/status.h"

namespace larder::cli {

// To whoever would prune its snapshot, maybe on another host: the L2's full
// path, and where that is.
std::string HolderOf(const std::string& l2);

// kUnavailable, and how to go on, while the L2 is hydrating: it lacks what has
// not come yet. Requires: it is open, so that nobody ends that meanwhile.
absl::Status CheckWhole(const std::string& l2);

// `error`; while the L2 is hydrating, also how to go on, or to end that without
// the archive.
absl::Status WithWaysOn(const std::string& l2, const absl::Status& error);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_HYDRATING_L2_H_
