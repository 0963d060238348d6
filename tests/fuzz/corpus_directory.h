// Where a fuzz target finds its seeds.
#ifndef LARDER_TESTS_FUZZ_CORPUS_DIRECTORY_H_
#define LARDER_TESTS_FUZZ_CORPUS_DIRECTORY_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace larder::tests {

// From the root of the workspace, where tests and `bazel run` start.
inline constexpr absl::string_view kCorpusRoot = "tests/fuzz/corpus";

// Of the target whose program is `program`, that is argv[0].
inline std::string CorpusDirectory(absl::string_view program) {
  const size_t slash = program.rfind('/');
  if (slash != absl::string_view::npos) program.remove_prefix(slash + 1);
  return absl::StrCat(kCorpusRoot, "/", program);
}

}  // namespace larder::tests

#endif  // LARDER_TESTS_FUZZ_CORPUS_DIRECTORY_H_
