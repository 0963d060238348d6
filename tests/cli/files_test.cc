// Real directories and a blob of 1 GiB, in and out again. Long.

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/program.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;

std::string Shell(const std::string& script) {
  const ProgramEnd end = Program({"/bin/sh", "-c", script}).Wait();
  EXPECT_EQ(end.exit_code, 0) << script << "\n" << end.err;
  return end.out;
}

// What an import takes: regular files, and the directories that hold any.
void CopyRegularFiles(const std::string& from, const std::string& to) {
  fs::create_directories(to);
  Shell(absl::StrCat("cp -r --no-dereference ", from, "/. ", to, " && find ",
                     to, " ! -type f ! -type d -delete", " && find ", to,
                     " -type d -empty -delete"));
}

TEST(Files, DirectoriesOfTheSystemComeBack) {
  const std::string directory = FreshDirectory();
  const std::string l2 = directory + "/l2";
  const std::string archives[] = {"dir:" + directory + "/r1",
                                  "dir:" + directory + "/r2"};
  int namespaces = 0;
  for (const std::string path : {"/usr/include", "/usr/share/doc"}) {
    if (!fs::is_directory(path)) continue;
    const std::string tree = absl::StrCat(directory, "/tree", namespaces);
    CopyRegularFiles(path, tree);
    ASSERT_EQ(Larder({"import", "--l2", l2, "-n",
                      absl::StrCat("tree", namespaces), tree})
                  .exit_code,
              0);
    ++namespaces;
  }
  ASSERT_GT(namespaces, 0);
  ASSERT_EQ(Larder({"backup", "--l2", l2, "--include-blob-cache", "--to",
                    archives[0], "--to", archives[1]})
                .exit_code,
            0);
  const std::string restored = directory + "/restored";
  ASSERT_EQ(
      Larder({"restore", "--from", archives[1], "--l2", restored}).exit_code,
      0);
  for (int i = 0; i < namespaces; ++i) {
    const std::string out = absl::StrCat(directory, "/out", i);
    ASSERT_EQ(
        Larder({"export", "--l2", restored, "-n", absl::StrCat("tree", i), out})
            .exit_code,
        0);
    EXPECT_THAT(
        Shell(absl::StrCat("diff -r ", directory, "/tree", i, " ", out)),
        IsEmpty());
  }
  fs::remove_all(directory);
}

TEST(Files, ABlobOfOneGibibyteComesBack) {
  const std::string directory = FreshDirectory();
  const std::string l2 = directory + "/l2";
  const std::string archive = "dir:" + directory + "/archive";
  const std::string restored = directory + "/restored";
  Shell(absl::StrCat("head -c 1073741824 /dev/urandom >", directory, "/in"));
  ASSERT_EQ(Larder({"put", "--l2", l2, "-n", "n", "large", directory + "/in"})
                .exit_code,
            0);
  ASSERT_EQ(
      Larder({"backup", "--l2", l2, "--include-blob-cache", "--to", archive})
          .exit_code,
      0);
  ASSERT_EQ(Larder({"restore", "--from", archive, "--l2", restored}).exit_code,
            0);
  ASSERT_EQ(Larder({"get", "--l2", restored, "-n", "n", "large", "--out",
                    directory + "/out"})
                .exit_code,
            0);
  Shell(absl::StrCat("cmp ", directory, "/in ", directory, "/out"));
  fs::remove_all(directory);
}

}  // namespace
}  // namespace larder::tests
