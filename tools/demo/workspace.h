// The directory that the demo works in.
#ifndef LARDER_TOOLS_DEMO_WORKSPACE_H_
#define LARDER_TOOLS_DEMO_WORKSPACE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace larder::demo {

// Creates `work`, or a temporary directory when it is empty.
// Errors: kAlreadyExists when `work` has entries.
absl::StatusOr<std::string> MakeWorkDirectory(const std::string& work);

// Errors: kResourceExhausted when the disk of `directory` has less than
// `bytes` free.
absl::Status CheckFreeSpace(const std::string& directory, int64_t bytes);

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_WORKSPACE_H_
