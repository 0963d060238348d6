// Runs something in a process of its own, so that it may fail, abort or hang.
#ifndef LARDER_TESTS_SUPPORT_FORKED_H_
#define LARDER_TESTS_SUPPORT_FORKED_H_

#include <string>

#include "absl/functional/function_ref.h"

namespace larder::tests {

// How it ended. A plain value.
struct ForkedRun {
  bool passed = false;  // It returned true and exited as it should.
  std::string end;      // In words.
  std::string output;   // Stdout and stderr, the first kOutputBytesMax of it.

  static constexpr size_t kOutputBytesMax = 256 << 10;
};

// Runs `body` in a copy of this process; what it changes is lost. Kills it once
// it has written nothing for `silence_ms_max` (below 0: never). This process
// must have one thread only. Failures that `body` reports through GoogleTest
// are printed to `output` and not counted here: it must return whether it
// passed.
ForkedRun RunForked(absl::FunctionRef<bool()> body, int silence_ms_max);

}  // namespace larder::tests

#endif  // LARDER_TESTS_SUPPORT_FORKED_H_
