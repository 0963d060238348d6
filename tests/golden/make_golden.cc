// Writes the golden set of a version that is about to be released:
//   tools/bazel run //tests/golden:make_golden -- VERSION
// One that is there stays as it is: see docs/formats/dump.md.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/golden/golden_set.h"

int main(int argc, char** argv) {
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  if (workspace == nullptr || argc != 2) {
    std::fprintf(stderr,
                 "usage: bazel run //tests/golden:make_golden -- VERSION\n");
    return 2;
  }
  const std::string root =
      absl::StrCat(workspace, "/", larder::tests::kGoldenRoot, "/", argv[1]);
  if (std::filesystem::exists(root)) {
    std::fprintf(stderr, "%s: is there already\n", root.c_str());
    return 1;
  }
  larder::tests::WriteGoldenSet(root);
  std::printf("%s\n", root.c_str());
  return 0;
}
