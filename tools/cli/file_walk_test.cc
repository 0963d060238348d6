#include "tools/cli/file_walk.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

class Recorder : public FileVisitor {
 public:
  bool OnFile(absl::string_view path, int directory_fd, const char* name,
              int64_t size_bytes) override {
    EXPECT_TRUE(OpenRegular(directory_fd, name, links).ok()) << path;
    files.push_back(absl::StrCat(path, ":", size_bytes));
    return files.size() < files_max;
  }
  void OnSkipped(absl::string_view path) override {
    skipped.emplace_back(path);
  }
  void OnError(absl::string_view path, const absl::Status&) override {
    errors.emplace_back(path);
  }

  Links links = Links::kSkip;
  size_t files_max = 1000;
  std::vector<std::string> files;
  std::vector<std::string> skipped;
  std::vector<std::string> errors;
};

class FileWalkTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = absl::StrCat(
        testing::TempDir(), "/",
        testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
    fs::create_directories(root_ + "/b/c");
    std::ofstream(root_ + "/b/c/deep") << "12345";
    std::ofstream(root_ + "/b/empty");
    std::ofstream(root_ + "/z") << "1";
    std::ofstream(root_ + "/a\xFF\n") << "12";
  }
  Recorder Walk(const std::string& root, const FileWalkOptions& options = {}) {
    Recorder recorder;
    recorder.links = options.links;
    EXPECT_TRUE(WalkFiles(root, options, &recorder).ok());
    return recorder;
  }

  std::string root_;
};

TEST_F(FileWalkTest, VisitsInOrder) {
  const Recorder seen = Walk(root_);
  EXPECT_THAT(seen.files,
              ElementsAre("a\xFF\n:2", "b/c/deep:5", "b/empty:0", "z:1"));
  EXPECT_THAT(seen.skipped, IsEmpty());
  EXPECT_THAT(seen.errors, IsEmpty());
}

TEST_F(FileWalkTest, FollowsNoLinkButTheRoot) {
  fs::create_directory_symlink(root_, root_ + "/b/loop");
  fs::create_symlink("z", root_ + "/link");
  fs::create_symlink("nowhere", root_ + "/dangling");
  ASSERT_EQ(mkfifo((root_ + "/pipe").c_str(), 0600), 0);
  fs::remove(root_ + "_link");
  fs::create_directory_symlink(root_, root_ + "_link");
  const Recorder seen = Walk(root_ + "_link");
  EXPECT_EQ(seen.files.size(), 4u);
  EXPECT_THAT(seen.skipped, ElementsAre("b/loop", "dangling", "link", "pipe"));
}

TEST_F(FileWalkTest, FollowsLinksWhenTold) {
  fs::create_directory_symlink(root_, root_ + "/b/loop");
  fs::create_directory_symlink("b/c", root_ + "/directory");
  fs::create_symlink("z", root_ + "/link");
  fs::create_symlink("nowhere", root_ + "/dangling");
  fs::create_symlink("self", root_ + "/self");
  FileWalkOptions options;
  options.links = Links::kFollow;
  const Recorder seen = Walk(root_, options);
  EXPECT_THAT(seen.files, ElementsAre("a\xFF\n:2", "b/c/deep:5", "b/empty:0",
                                      "directory/deep:5", "link:1", "z:1"));
  EXPECT_THAT(seen.skipped, ElementsAre("b/loop", "dangling", "self"));
  EXPECT_THAT(seen.errors, IsEmpty());
}

TEST_F(FileWalkTest, TakesASingleFile) {
  EXPECT_THAT(Walk(root_ + "/b/c/deep").files, ElementsAre("deep:5"));
}

TEST_F(FileWalkTest, LeavesADirectoryOut) {
  FileWalkOptions options;
  options.skipped_directory = *IdentityOf(root_ + "/b");
  EXPECT_THAT(Walk(root_, options).files, ElementsAre("a\xFF\n:2", "z:1"));
}

TEST_F(FileWalkTest, StopsWhenTold) {
  Recorder recorder;
  recorder.files_max = 2;
  ASSERT_TRUE(WalkFiles(root_, {}, &recorder).ok());
  EXPECT_EQ(recorder.files.size(), 2u);
}

TEST_F(FileWalkTest, DoesNotEnterWhereNamesAreTooLong) {
  FileWalkOptions options;
  options.path_bytes_max = 2;
  const Recorder seen = Walk(root_, options);
  EXPECT_THAT(seen.files, ElementsAre("a\xFF\n:2", "b/empty:0", "z:1"));
  EXPECT_THAT(seen.errors, ElementsAre("b/c"));
}

TEST_F(FileWalkTest, NamesTheRootThatIsNotThere) {
  Recorder recorder;
  const absl::Status status = WalkFiles(root_ + "/no", {}, &recorder);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr(root_ + "/no"));
  ASSERT_EQ(mkfifo((root_ + "/pipe").c_str(), 0600), 0);
  EXPECT_EQ(WalkFiles(root_ + "/pipe", {}, &recorder).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(FileWalkTest, OpensRegularFilesOnly) {
  fs::create_symlink("z", root_ + "/link");
  ASSERT_EQ(mkfifo((root_ + "/pipe").c_str(), 0600), 0);
  const UniqueFd directory(open(root_.c_str(), O_RDONLY | O_DIRECTORY));
  EXPECT_TRUE(OpenRegular(directory.get(), "z", Links::kSkip).ok());
  EXPECT_FALSE(OpenRegular(directory.get(), "link", Links::kSkip).ok());
  EXPECT_FALSE(OpenRegular(directory.get(), "pipe", Links::kSkip).ok());
  EXPECT_FALSE(OpenRegular(directory.get(), "b", Links::kSkip).ok());
}

}  // namespace
}  // namespace larder::cli
