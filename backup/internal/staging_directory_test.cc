#include "backup/internal/staging_directory.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "cache/l2/file.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup_internal {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kId[] = "20260101T000000Z-00000001";

// On the machine's own file system: it has symbolic links.
class StagingDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) /
            ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  void Write(const fs::path& path) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << "x";
  }
  auto Create(const std::string& id = kId) {
    return StagingDirectory::Create(root_ / "new", id,
                                    cache::l2::PosixFileSystem());
  }
  absl::StatusCode CheckCode(const fs::path& target) {
    return CheckTarget(target, cache::l2::PosixFileSystem()).code();
  }

  fs::path root_;
};

TEST_F(StagingDirectoryTest, PublishesByRenameAndCleansUp) {
  {
    auto staging = Create();
    ASSERT_TRUE(staging.ok()) << staging.status();
    struct stat stat;
    ASSERT_EQ(::stat((*staging)->path().c_str(), &stat), 0);
    EXPECT_EQ(stat.st_mode & 0777, 0700u);
    Write((*staging)->path() + "/file");
    ASSERT_TRUE((*staging)->Publish().ok());
  }
  EXPECT_TRUE(fs::exists(root_ / "new/file"));
  EXPECT_THAT(*cache::l2::PosixFileSystem()->List(root_), ElementsAre("new"));
}

// Somebody's own directories, whatever they are called.
TEST_F(StagingDirectoryTest, RemovesOnlyWhatItMarked) {
  Write(root_ / "new.restoring-mine/precious");
  Write(root_ / "new.restoring-theirs/precious");
  Write(root_ / "new.restoring-theirs.mark");
  ASSERT_TRUE(Create().ok());
  EXPECT_TRUE(fs::exists(root_ / "new.restoring-mine/precious"));
  EXPECT_TRUE(fs::exists(root_ / "new.restoring-theirs/precious"));
  Write(root_ / "new.restoring-here/precious");
  const auto in_the_way = Create("here");
  EXPECT_EQ(in_the_way.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(in_the_way.status().message()),
              HasSubstr("new.restoring-here"));
  EXPECT_TRUE(fs::exists(root_ / "new.restoring-here/precious"));
}

TEST_F(StagingDirectoryTest, FollowsNoLinkOutOfALeftover) {
  Write(root_ / "elsewhere/precious");
  const fs::path kept = root_.string() + ".kept";
  fs::remove_all(kept);
  {
    auto staging = Create("killed");
    ASSERT_TRUE(staging.ok());
    Write((*staging)->path() + "/a/b");
    fs::create_directory_symlink(root_ / "elsewhere",
                                 (*staging)->path() + "/a/link");
    // As a kill would: the mark and the directory stay.
    fs::copy(root_, kept,
             fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  }
  fs::rename(kept / "new.restoring-killed", root_ / "new.restoring-killed");
  fs::rename(kept / "new.restoring-killed.mark",
             root_ / "new.restoring-killed.mark");
  ASSERT_TRUE(Create().ok());
  EXPECT_FALSE(fs::exists(root_ / "new.restoring-killed"));
  EXPECT_FALSE(fs::exists(root_ / "new.restoring-killed.mark"));
  EXPECT_TRUE(fs::exists(root_ / "elsewhere/precious"));

  fs::remove_all(kept);

  // The leftover itself became a link.
  {
    auto staging = Create("killed");
    ASSERT_TRUE(staging.ok());
    fs::remove_all((*staging)->path());
    fs::create_directory_symlink(root_ / "elsewhere", (*staging)->path());
  }
  EXPECT_TRUE(fs::exists(root_ / "elsewhere/precious"));
  EXPECT_FALSE(fs::is_symlink(root_ / "new.restoring-killed"));
}

TEST_F(StagingDirectoryTest, RefusesWhatNoRenameCanReplace) {
  const auto refused = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(CheckCode("."), refused);
  EXPECT_EQ(CheckCode(".."), refused);
  EXPECT_EQ(CheckCode("a/../.."), refused);
  EXPECT_EQ(CheckCode("/"), refused);
  EXPECT_EQ(CheckCode("/proc"), refused);  // A mount point.
  fs::create_directory(root_ / "empty");
  fs::create_directory_symlink(root_ / "empty", root_ / "link");
  fs::create_directory_symlink(root_ / "nothing", root_ / "dangling");
  EXPECT_EQ(CheckCode(root_ / "link"), refused);
  EXPECT_EQ(CheckCode(root_ / "link/"), refused);
  EXPECT_EQ(CheckCode(root_ / "dangling"), refused);
  EXPECT_EQ(CheckCode(root_ / "empty"), absl::StatusCode::kOk);
  EXPECT_EQ(CheckCode(root_ / "absent"), absl::StatusCode::kOk);
}

TEST_F(StagingDirectoryTest, Nested) {
  fs::create_directory(root_ / "real");
  fs::create_directory_symlink(root_ / "real", root_ / "link");
  EXPECT_TRUE(Nested(root_ / "a", root_ / "a"));
  EXPECT_TRUE(Nested(root_ / "a", root_ / "b/../a/"));
  EXPECT_TRUE(Nested(root_ / "a/b", root_ / "a"));
  EXPECT_TRUE(Nested(root_ / "a", root_ / "a/b"));
  EXPECT_TRUE(Nested(root_ / "link/x", root_ / "real/x"));
  EXPECT_FALSE(Nested(root_ / "a", root_ / "ab"));
  EXPECT_FALSE(Nested(root_ / "a", ""));
}

TEST(StagingDirectoryOnADiskTest, LeftoversGoAlsoAfterAPowerCut) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    cache::l2::SimulatedDisk disk;
    auto staging = StagingDirectory::Create("/new", kId, &disk);
    ASSERT_TRUE(staging.ok()) << staging.status();
    ASSERT_TRUE(disk.CreateDirectories((*staging)->path() + "/a").ok());
    // Dead processes clean nothing up.
    disk.SetHook([](const auto&) { return absl::InternalError("dead"); });
    disk.PowerCut(seed);
    staging->reset();
    disk.SetHook(nullptr);
    auto again = StagingDirectory::Create("/new", "another", &disk);
    ASSERT_TRUE(again.ok()) << again.status();
    again->reset();
    EXPECT_THAT(*disk.List("/"), ElementsAre());
  }
}

// Also when the process died in the middle of making the mark, or of removing
// what it marks: nothing stands in the way of the same restore.
TEST(StagingDirectoryOnADiskTest, DeathAtEveryOperationLeavesNothingInTheWay) {
  using Operation = cache::l2::SimulatedDisk::Operation;
  uint64_t survived = 0;
  for (uint64_t n = 0; survived < 2; ++n) {
    SCOPED_TRACE(n);
    const uint64_t operation = n / 8, seed = n % 8;
    cache::l2::SimulatedDisk disk;
    bool dead = false;
    disk.SetHook([&](const Operation& now) {
      if (now.index < operation) return absl::OkStatus();
      if (!dead) seed == 0 ? disk.KillProcess() : disk.PowerCut(seed);
      dead = true;
      return absl::InternalError("dead");
    });
    {
      auto staging = StagingDirectory::Create("/new", kId, &disk);
      EXPECT_TRUE(staging.ok() || dead) << staging.status();
      if (staging.ok()) {
        disk.CreateDirectories((*staging)->path() + "/a").IgnoreError();
      }
    }
    disk.SetHook(nullptr);
    survived += dead ? 0 : 1;
    auto again = StagingDirectory::Create("/new", kId, &disk);
    ASSERT_TRUE(again.ok()) << again.status();
    again->reset();
    EXPECT_THAT(*disk.List("/"), ElementsAre());
  }
}

}  // namespace
}  // namespace larder::backup_internal
