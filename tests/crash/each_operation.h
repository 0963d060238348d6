// Runs the script once for each of its I/O operations, so that something can go
// wrong at that one.
#ifndef LARDER_TESTS_CRASH_EACH_OPERATION_H_
#define LARDER_TESTS_CRASH_EACH_OPERATION_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "tests/crash/script.h"

namespace larder::tests {

// Which operations: from `first` on, each `stride`-th.
struct OperationPoints {
  uint64_t first = 0;
  uint64_t stride = 1;
};

// Calls `run` for each of `which` until one fails. LARDER_FIRST takes the place
// of `which.first`, and the variable `count_name` bounds how many. Returns: how
// many passed.
int64_t ForEachOperation(const Script::Options& options, OperationPoints which,
                         const char* count_name,
                         absl::FunctionRef<void(uint64_t operation)> run);

}  // namespace larder::tests

#endif  // LARDER_TESTS_CRASH_EACH_OPERATION_H_
