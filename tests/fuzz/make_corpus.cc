// Writes the seeds of all fuzz targets anew:
//   tools/bazel run //tests/fuzz:make_corpus
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/fuzz/corpus_directory.h"
#include "tests/fuzz/seeds.h"

namespace {

int Main() {
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  if (workspace == nullptr) {
    std::fprintf(stderr, "start it with `bazel run`\n");
    return 2;
  }
  const std::string root =
      absl::StrCat(workspace, "/", larder::tests::kCorpusRoot);
  std::filesystem::remove_all(root);
  int files = 0;
  for (const larder::tests::Seed& seed : larder::tests::AllSeeds()) {
    const std::string directory = absl::StrCat(root, "/", seed.target);
    std::filesystem::create_directories(directory);
    std::ofstream file(absl::StrCat(directory, "/", seed.name),
                       std::ios::binary);
    file << seed.bytes;
    file.close();
    if (!file.good()) {
      std::fprintf(stderr, "%s/%s: cannot be written\n", directory.c_str(),
                   seed.name.c_str());
      return 1;
    }
    ++files;
  }
  std::printf("%d seeds in %s\n", files, root.c_str());
  return 0;
}

}  // namespace

int main() { return Main(); }
