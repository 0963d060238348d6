// Where an input that fails is left.
#ifndef LARDER_TESTS_SUPPORT_FAILURE_DIRECTORY_H_
#define LARDER_TESTS_SUPPORT_FAILURE_DIRECTORY_H_

#include <cstdlib>
#include <string>

namespace larder::tests {

// What Bazel keeps of a test; where the user stands in `bazel run`; else here.
inline std::string FailureDirectory() {
  for (const char* name :
       {"TEST_UNDECLARED_OUTPUTS_DIR", "BUILD_WORKING_DIRECTORY"}) {
    if (const char* path = std::getenv(name); path != nullptr) return path;
  }
  return ".";
}

}  // namespace larder::tests

#endif  // LARDER_TESTS_SUPPORT_FAILURE_DIRECTORY_H_
