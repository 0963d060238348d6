// What libFuzzer's main is told in addition to its arguments, which win: bounds
// on time and memory, where to leave an input that fails, and, when no file or
// directory is named, the seeds.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/fuzz/corpus_directory.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/failure_directory.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

std::vector<std::string> Defaults() {
  return {
      absl::StrCat("-max_total_time=", CountOr("LARDER_FUZZ_SECONDS", 10)),
      absl::StrCat("-seed=",
                   CountOr("LARDER_SEED", 0)),  // 0: another each run.
      absl::StrCat("-max_len=", kInputBytesMax),
      absl::StrCat("-artifact_prefix=", FailureDirectory(), "/"),
      "-rss_limit_mb=1024",
      "-timeout=20",  // Of one input, in seconds.
      "-use_value_profile=1",
  };
}

// libFuzzer adds what it finds to the first directory: not to the seeds.
std::vector<std::string> Directories(const std::string& program) {
  std::vector<std::string> directories;
  if (const char* path = std::getenv("TEST_TMPDIR"); path != nullptr) {
    directories.push_back(absl::StrCat(path, "/found"));
    std::filesystem::create_directories(directories.back());
  }
  directories.push_back(CorpusDirectory(program));
  return directories;
}

std::vector<std::string> Arguments(int argc, char** argv) {
  std::vector<std::string> arguments = Defaults();
  bool names_any = false;
  for (int i = 1; i < argc; ++i) {
    arguments.emplace_back(argv[i]);
    names_any |= argv[i][0] != '-';
  }
  arguments.insert(arguments.begin(), argv[0]);
  if (!names_any) {
    for (const std::string& path : Directories(argv[0])) {
      arguments.push_back(path);
    }
  }
  return arguments;
}

}  // namespace
}  // namespace larder::tests

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  // Used until the process ends, and destroyed by nobody.
  static auto& arguments =
      *new std::vector<std::string>(larder::tests::Arguments(*argc, *argv));
  static auto& pointers = *new std::vector<char*>;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  *argc = static_cast<int>(pointers.size());
  pointers.push_back(nullptr);
  *argv = pointers.data();
  return 0;
}
