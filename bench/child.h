// Runs this program again, as a process of its own: what has to be killed, or
// to be measured in a fresh memory, is.
#ifndef LARDER_BENCH_CHILD_H_
#define LARDER_BENCH_CHILD_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace larder::bench {

// Returns: the status of waitpid(2), once the child has ended.
// Errors: when it cannot be started.
absl::StatusOr<int> RunAgain(std::vector<std::string> arguments);

}  // namespace larder::bench

#endif  // LARDER_BENCH_CHILD_H_
