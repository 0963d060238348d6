#include "tests/fuzz/seeds.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/fuzz/corpus_directory.h"

namespace larder::tests {
namespace {

// By path below the corpus.
std::map<std::string, std::string> Committed() {
  const std::string root(kCorpusRoot);
  std::map<std::string, std::string> files;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(root)) {
    if (entry.is_directory()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    files[entry.path().lexically_relative(root)] =
        std::string(std::istreambuf_iterator<char>(file), {});
  }
  return files;
}

TEST(SeedsTest, TheCorpusIsWhatTheGeneratorWrites) {
  std::map<std::string, std::string> made;
  for (const Seed& seed : AllSeeds()) {
    const std::string path = absl::StrCat(seed.target, "/", seed.name);
    EXPECT_TRUE(made.emplace(path, seed.bytes).second) << path << ": twice";
    EXPECT_LE(seed.bytes.size(), kSeedBytesMax) << path;
  }
  const std::map<std::string, std::string> committed = Committed();
  for (const auto& [path, bytes] : made) {
    ASSERT_TRUE(committed.contains(path)) << path;
    EXPECT_TRUE(committed.at(path) == bytes)
        << path << ": run //tests/fuzz:make_corpus";
  }
  EXPECT_EQ(committed.size(), made.size());
}

}  // namespace
}  // namespace larder::tests
