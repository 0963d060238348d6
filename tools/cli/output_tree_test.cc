#include "tools/cli/output_tree.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace larder::cli {
namespace {

namespace fs = std::filesystem;

class OutputTreeTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = absl::StrCat(
        testing::TempDir(), "/",
        testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  std::string Path(const std::string& name) const { return root_ + "/" + name; }
  static absl::Status Write(OutputTree* tree, absl::string_view name,
                            absl::string_view bytes) {
    if (absl::Status begun = tree->Begin(); !begun.ok()) return begun;
    if (absl::Status added = tree->Append(bytes); !added.ok()) return added;
    return tree->Finish(name);
  }
  static std::string Read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::string root_;
};

TEST_F(OutputTreeTest, WritesBelowItsRoot) {
  OutputTree tree = *OutputTree::Open(Path("new/out"), false);
  EXPECT_TRUE(Write(&tree, "a/b/c", "deep").ok());
  EXPECT_TRUE(Write(&tree, "a/d", "").ok());
  EXPECT_TRUE(Write(&tree, "a/b/c", "again").ok());
  EXPECT_EQ(Read(Path("new/out/a/b/c")), "again");
  EXPECT_TRUE(fs::is_empty(Path("new/out/a/d")));
}

TEST_F(OutputTreeTest, RefusesNamesThatLeave) {
  const std::string with_nul("a\0b", 3);
  for (const std::string& name :
       {std::string(), std::string("/etc/passwd"), std::string("../x"),
        std::string("a/../../x"), std::string("a/.."), std::string("."),
        std::string("./a"), std::string("a//b"), std::string("a/"), with_nul,
        std::string(256, 'n')}) {
    EXPECT_EQ(CheckRelativeName(name).code(),
              absl::StatusCode::kInvalidArgument)
        << name;
  }
  EXPECT_TRUE(CheckRelativeName("..a/b../...").ok());
  EXPECT_TRUE(CheckRelativeName(std::string(255, 'n')).ok());
}

TEST_F(OutputTreeTest, FollowsNoLink) {
  fs::create_directories(Path("outside"));
  fs::create_directories(Path("out"));
  fs::create_directory_symlink(Path("outside"), Path("out/link"));
  fs::create_symlink(Path("outside/file"), Path("out/file"));
  OutputTree tree = *OutputTree::Open(Path("out"), true);
  EXPECT_FALSE(Write(&tree, "link/x", "x").ok());
  EXPECT_TRUE(Write(&tree, "file", "x").ok());
  EXPECT_TRUE(fs::is_empty(Path("outside")));
  EXPECT_FALSE(fs::is_symlink(Path("out/file")));
}

TEST_F(OutputTreeTest, RefusesWhatIsNotEmptyOrNotADirectory) {
  EXPECT_TRUE(OutputTree::Open(root_, false).ok());
  std::ofstream(Path("file")) << "x";
  EXPECT_EQ(OutputTree::Open(root_, false).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(OutputTree::Open(root_, true).ok());
  EXPECT_FALSE(OutputTree::Open(Path("file"), true).ok());
  EXPECT_FALSE(OutputTree::Open(Path("file/below"), true).ok());
}

TEST_F(OutputTreeTest, AFileAndADirectoryOfOneNameDoNotMix) {
  OutputTree tree = *OutputTree::Open(Path("out"), false);
  EXPECT_TRUE(Write(&tree, "a", "file").ok());
  EXPECT_FALSE(Write(&tree, "a/b", "below").ok());
  EXPECT_TRUE(Write(&tree, "d/e", "below").ok());
  EXPECT_FALSE(Write(&tree, "d", "file").ok());
  EXPECT_EQ(Read(Path("out/a")), "file");
  EXPECT_EQ(Read(Path("out/d/e")), "below");
}

TEST_F(OutputTreeTest, LeavesNothingUnfinished) {
  {
    OutputTree tree = *OutputTree::Open(Path("out"), false);
    ASSERT_TRUE(tree.Begin().ok());
    ASSERT_TRUE(tree.Append("half").ok());
    tree.Abandon();
    ASSERT_TRUE(tree.Begin().ok());
    ASSERT_TRUE(tree.Append("half").ok());
    OutputTree moved = std::move(tree);
  }
  EXPECT_TRUE(fs::is_empty(Path("out")));
}

}  // namespace
}  // namespace larder::cli
