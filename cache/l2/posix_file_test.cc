#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/l2/file.h"
#include "gtest/gtest.h"

namespace larder::cache::l2 {
namespace {

class PosixFileTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* base = std::getenv("TEST_TMPDIR");
    std::string pattern =
        absl::StrCat(base == nullptr ? "/tmp" : base, "/posix_file.XXXXXX");
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(absl::string_view name) const {
    return absl::StrCat(directory_, "/", name);
  }
  std::unique_ptr<File> Create(absl::string_view name, uint64_t size_bytes,
                               uint64_t size_bytes_max = 1 << 20) {
    auto file = files_->Open(Path(name), {true, size_bytes_max});
    EXPECT_TRUE(file.ok()) << file.status();
    EXPECT_TRUE((*file)->Resize(size_bytes).ok());
    return *std::move(file);
  }
  static std::string Read(const File& file, uint64_t offset, size_t length) {
    std::string out(length, '?');
    const absl::Status status = file.ReadAt(offset, absl::MakeSpan(out));
    EXPECT_TRUE(status.ok()) << status;
    return out;
  }

  FileSystem* const files_ = PosixFileSystem();
  std::string directory_;
};

TEST_F(PosixFileTest, ReadsWhatWasWritten) {
  auto file = Create("f", 10'000);
  EXPECT_EQ(Read(*file, 9'998, 2), std::string(2, '\0'));
  ASSERT_TRUE(file->WriteAt(4'095, "hello").ok());
  EXPECT_EQ(Read(*file, 4'094, 7), std::string("\0hello\0", 7));
  EXPECT_TRUE(file->Sync().ok());
  EXPECT_EQ(file->path(), Path("f"));

  file.reset();
  auto reopened = files_->Open(Path("f"), {}).value();
  EXPECT_EQ(reopened->Size(), 10'000u);
  EXPECT_EQ(Read(*reopened, 4'095, 5), "hello");
}

TEST_F(PosixFileTest, RangesBeyondTheEndAreErrors) {
  auto file = Create("f", 100);
  std::string out(10, ' ');
  const absl::Status read = file->ReadAt(91, absl::MakeSpan(out));
  EXPECT_EQ(read.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(read.message(),
            Path("f") + ": read 10 bytes at offset 91: ends beyond 100");
  EXPECT_TRUE(file->ReadAt(90, absl::MakeSpan(out)).ok());
  EXPECT_EQ(file->WriteAt(100, "x").code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(file->WriteAt(UINT64_MAX, "xy").code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(file->View(50, 51).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(file->View(UINT64_MAX, 2).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_TRUE(file->ReadAt(100, {}).ok());
}

TEST_F(PosixFileTest, ViewShowsLaterWritesAndGrowth) {
  auto file = Create("f", 100);
  const char* view = file->View(10, 5).value();
  ASSERT_TRUE(file->WriteAt(10, "abcde").ok());
  EXPECT_EQ(absl::string_view(view, 5), "abcde");
  ASSERT_TRUE(file->Resize(1 << 20).ok());
  ASSERT_TRUE(file->WriteAt((1 << 20) - 3, "end").ok());
  EXPECT_EQ(absl::string_view(file->View((1 << 20) - 3, 3).value(), 3), "end");
  EXPECT_EQ(file->View(10, 5).value(), view);
}

TEST_F(PosixFileTest, TruncatedFileIsAnErrorAndNoFault) {
  Create("f", 20'000).reset();
  std::filesystem::resize_file(Path("f"), 5'000);
  auto file = files_->Open(Path("f"), {false, 1 << 20}).value();
  EXPECT_EQ(file->Size(), 5'000u);
  EXPECT_EQ(file->View(8'192, 1).status().code(),
            absl::StatusCode::kOutOfRange);
  // Shortened behind an open file's back: reads say so.
  std::filesystem::resize_file(Path("f"), 1'000);
  std::string out(100, ' ');
  EXPECT_EQ(file->ReadAt(950, absl::MakeSpan(out)).code(),
            absl::StatusCode::kOutOfRange);
}

TEST_F(PosixFileTest, ShrinkingThenGrowingGivesZeros) {
  auto file = Create("f", 100);
  ASSERT_TRUE(file->WriteAt(50, "secret").ok());
  ASSERT_TRUE(file->Resize(50).ok());
  EXPECT_EQ(file->View(50, 1).status().code(), absl::StatusCode::kOutOfRange);
  ASSERT_TRUE(file->Resize(100).ok());
  EXPECT_EQ(Read(*file, 50, 6), std::string(6, '\0'));
}

TEST_F(PosixFileTest, FileMayNotGrowBeyondItsMaximum) {
  auto file = Create("f", 100, 4'096);
  const absl::Status status = file->Resize(4'097);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), Path("f") + ": resize to 4097: exceeds 4096");
  EXPECT_EQ(file->Size(), 100u);
  ASSERT_TRUE(file->Resize(4'096).ok());
  // One that is already larger stays readable.
  file = files_->Open(Path("f"), {false, 100}).value();
  EXPECT_TRUE(file->View(4'000, 96).ok());
}

TEST_F(PosixFileTest, WithoutAMaximumThereIsNoView) {
  auto file = Create("f", 100, 0);
  EXPECT_TRUE(file->Resize(1 << 21).ok());
  EXPECT_EQ(file->View(0, 1).status().code(), absl::StatusCode::kOutOfRange);
}

// The limit makes pwrite() write a part first and fail then.
TEST_F(PosixFileTest, FullDiskIsResourceExhausted) {
  auto file = Create("f", 1 << 20);
  struct rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit tight = before;
  tight.rlim_cur = 10'000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const absl::Status status = file->WriteAt(8'192, std::string(4'096, 'x'));
  const absl::Status resized = file->Resize((1 << 20) - 1);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(),
            Path("f") + ": write 4096 bytes at offset 8192: File too large");
  EXPECT_EQ(Read(*file, 9'999, 2), std::string("x\0", 2));
  EXPECT_TRUE(resized.ok()) << "shrinking needs no space";
}

TEST_F(PosixFileTest, OpenErrors) {
  EXPECT_EQ(files_->Open(Path("none"), {}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(files_->Open(Path("none"), {}).status().message(),
            Path("none") + ": open: No such file or directory");
  EXPECT_EQ(files_->Open(directory_, {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0644), 0);
  EXPECT_EQ(files_->Open(Path("fifo"), {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(files_->Open("/dev/full", {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(PosixFileTest, DescriptorsDoNotLeakIntoChildren) {
  auto file = Create("f", 10);
  auto lock = files_->Lock(Path("lock")).value();
  int checked = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    const std::filesystem::path target =
        std::filesystem::read_symlink(entry.path(), error);
    if (error || target.string().rfind(directory_, 0) != 0) continue;
    const int fd = std::stoi(entry.path().filename().string());
    EXPECT_TRUE(::fcntl(fd, F_GETFD) & FD_CLOEXEC) << target;
    ++checked;
  }
  EXPECT_EQ(checked, 2);
}

TEST_F(PosixFileTest, LockExcludesThisProcessToo) {
  auto lock = files_->Lock(Path("lock")).value();
  const absl::Status second = files_->Lock(Path("lock")).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable);
  // Closing another descriptor of the file must not drop the lock.
  files_->Open(Path("lock"), {}).value().reset();
  EXPECT_FALSE(files_->Lock(Path("lock")).ok());
  lock.reset();
  EXPECT_TRUE(files_->Lock(Path("lock")).ok());
}

TEST_F(PosixFileTest, LockExcludesOtherProcesses) {
  auto lock = files_->Lock(Path("lock")).value();
  const std::string path = Path("lock");
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(files_->Lock(path).status().code() == absl::StatusCode::kUnavailable
                ? 0
                : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(PosixFileTest, Directories) {
  EXPECT_TRUE(files_->CreateDirectories(Path("a/b/c")).ok());
  EXPECT_TRUE(files_->CreateDirectories(Path("a/b/c")).ok());
  EXPECT_TRUE(files_->SyncDirectory(Path("a/b")).ok());
  EXPECT_EQ(files_->SyncDirectory(Path("none")).code(),
            absl::StatusCode::kNotFound);
  for (const char* name : {"z", "m", ".hidden", "k"}) {
    Create(absl::StrCat("a/b/c/", name), 1);
  }
  EXPECT_EQ(files_->List(Path("a/b/c")).value(),
            (std::vector<std::string>{".hidden", "k", "m", "z"}));
  EXPECT_EQ(files_->List(Path("none")).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(files_->List(Path("a/b/c/z")).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(files_->CreateDirectories(Path("a/b/c/z/d")).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(PosixFileTest, RemoveAndRename) {
  auto old_file = Create("old", 3);
  ASSERT_TRUE(old_file->WriteAt(0, "old").ok());
  auto new_file = Create("new", 3);
  ASSERT_TRUE(new_file->WriteAt(0, "new").ok());
  EXPECT_TRUE(files_->Rename(Path("new"), Path("old")).ok());
  EXPECT_FALSE(files_->Exists(Path("new")));
  EXPECT_EQ(Read(*files_->Open(Path("old"), {}).value(), 0, 3), "new");
  EXPECT_EQ(Read(*old_file, 0, 3), "old");
  EXPECT_EQ(files_->Rename(Path("new"), Path("x")).code(),
            absl::StatusCode::kNotFound);

  EXPECT_TRUE(files_->Exists(Path("old")));
  EXPECT_TRUE(files_->Remove(Path("old")).ok());
  EXPECT_FALSE(files_->Exists(Path("old")));
  EXPECT_EQ(files_->Remove(Path("old")).code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(files_->CreateDirectories(Path("d/e")).ok());
  EXPECT_EQ(files_->Remove(Path("d")).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(files_->Remove(Path("d/e")).ok());
  EXPECT_TRUE(files_->Remove(Path("d")).ok());
}

TEST_F(PosixFileTest, ReadOnly) {
  ASSERT_TRUE(Create("f", 3)->WriteAt(0, "abc").ok());
  auto file = files_->Open(Path("f"), {.read_only = true});
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(Read(**file, 0, 3), "abc");
  EXPECT_FALSE((*file)->WriteAt(0, "x").ok());
  EXPECT_FALSE((*file)->Resize(1).ok());
  EXPECT_EQ((*file)->Size(), 3u);
  // No permission to write is needed: nobody may write to a program that runs,
  // not even root (ETXTBSY).
  EXPECT_FALSE(files_->Open("/proc/self/exe", {}).ok());
  EXPECT_TRUE(files_->Open("/proc/self/exe", {.read_only = true}).ok());
}

TEST_F(PosixFileTest, WhatIsPrivateOnlyItsOwnerMayUse) {
  const auto mode = [&](absl::string_view name) {
    struct stat stat;
    EXPECT_EQ(::stat(Path(name).c_str(), &stat), 0);
    return stat.st_mode & 0777;
  };
  ASSERT_TRUE(files_->CreateDirectories(Path("public")).ok());
  ASSERT_TRUE(files_->CreatePrivateDirectories(Path("public/a/b/")).ok());
  ASSERT_TRUE(files_->CreatePrivateDirectories(Path("public/a/b")).ok());
  EXPECT_NE(mode("public"), 0700u);
  EXPECT_EQ(mode("public/a"), 0700u);
  EXPECT_EQ(mode("public/a/b"), 0700u);
  ASSERT_TRUE(
      files_->Open(Path("f"), {.create = true, .owner_only = true}).ok());
  EXPECT_EQ(mode("f"), 0600u);
  ASSERT_EQ(::symlink(Path("g").c_str(), Path("link").c_str()), 0);
  EXPECT_FALSE(
      files_->Open(Path("link"), {.create = true, .owner_only = true}).ok());
  EXPECT_FALSE(files_->Exists(Path("g")));
  EXPECT_FALSE(files_->CreatePrivateDirectories(Path("f")).ok());
  EXPECT_FALSE(files_->CreatePrivateDirectories(Path("f/g")).ok());
}

TEST_F(PosixFileTest, RemoveTreeFollowsNoLink) {
  Create("outside", 1);
  ASSERT_TRUE(files_->CreateDirectories(Path("elsewhere")).ok());
  Create("elsewhere/kept", 1);
  ASSERT_TRUE(files_->CreateDirectories(Path("tree/a/b/c")).ok());
  Create("tree/a/file", 1);
  Create("tree/a/b/file", 1);
  ASSERT_EQ(::symlink(Path("elsewhere").c_str(), Path("tree/a/l").c_str()), 0);
  ASSERT_EQ(::symlink(Path("outside").c_str(), Path("tree/l").c_str()), 0);
  ASSERT_EQ(::symlink(Path("elsewhere").c_str(), Path("link").c_str()), 0);
  EXPECT_TRUE(files_->RemoveTree(Path("tree")).ok());
  EXPECT_FALSE(files_->Exists(Path("tree")));
  EXPECT_TRUE(files_->RemoveTree(Path("link")).ok());
  EXPECT_TRUE(files_->RemoveTree(Path("outside")).ok());
  EXPECT_EQ(files_->List(Path("")).value(),
            (std::vector<std::string>{"elsewhere"}));
  EXPECT_TRUE(files_->Exists(Path("elsewhere/kept")));
  EXPECT_EQ(files_->RemoveTree(Path("none")).code(),
            absl::StatusCode::kNotFound);
}

// Who holds a lock may remove its file; two never hold what has one name.
TEST_F(PosixFileTest, ALockWhoseFileIsRemovedKeepsOthersOut) {
  std::atomic<int> holders{0};
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 2'000; ++n) {
        const auto lock = files_->Lock(Path("lock"));
        if (!lock.ok()) continue;
        EXPECT_EQ(holders.fetch_add(1), 0);
        ++taken;
        holders.fetch_sub(1);
        EXPECT_TRUE(files_->Remove(Path("lock")).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(taken.load(), 0);
}

}  // namespace
}  // namespace larder::cache::l2
