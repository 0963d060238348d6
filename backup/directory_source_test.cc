#include "backup/directory_source.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/directory_sink.h"
#include "backup/fake_snapshot.h"
#include "backup/orchestrator.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;

std::string Read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void Write(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

class DirectorySourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) /
            ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
    fs::create_directories(root_ / "data");
  }
  void TearDown() override { fs::remove_all(root_); }

  BackupReport Backup(DirectorySource::Options options = {}) {
    BackupOrchestrator orchestrator({});
    orchestrator.AddSource(
        std::make_unique<DirectorySource>(root_ / "data", options));
    orchestrator.AddSink(
        DirectorySink::Create(root_ / "archive", {.pack_bytes = 100'000}));
    return orchestrator.Run({});
  }
  RestoreReport Restore() {
    RestoreOptions options;
    options.files_path = root_ / "out";
    return backup::Restore(*Archive::Open(root_ / "archive", nullptr), options);
  }
  std::map<std::string, std::string> Tree(const std::string& name) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(root_ / name)) {
      if (entry.is_regular_file() && !entry.is_symlink()) {
        files[fs::relative(entry.path(), root_ / name)] = Read(entry.path());
      }
    }
    return files;
  }

  fs::path root_;
};

TEST_F(DirectorySourceTest, GivesEveryFileBack) {
  for (int i = 0; i < 60; ++i) {
    Write(root_ / "data" / absl::StrCat("d", i % 5) / absl::StrCat("f", i),
          RandomBytes(static_cast<uint64_t>(i), static_cast<size_t>(i * 97)));
  }
  Write(root_ / "data/empty", "");
  Write(root_ / "data/a/b/c/d/deep", "deep");
  Write(root_ / "data/a.b", "sorts between a and a/b, bytewise");
  Write(root_ / "data/large", RandomBytes(7, 3'000'000));
  Write(root_ / "data/zeros", std::string(5'000'000, '\0'));
  Write(root_ / "data" / std::string(255, 'n'), "longest name");
  Write(root_ / "data/one-part", std::string(1 << 20, 'x'));
  Write(root_ / "data/new\nline", "odd name");
  fs::permissions(root_ / "data/empty", fs::perms(0640));
  fs::last_write_time(root_ / "data/empty",
                      fs::file_time_type::clock::now() - std::chrono::hours(9));

  const BackupReport backup = Backup();
  ASSERT_EQ(backup.outcome, Outcome::kOk) << backup.status;
  EXPECT_EQ(backup.sources[0].totals.files(), 68);
  const RestoreReport report = Restore();
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_EQ(report.files_restored, 68);
  EXPECT_EQ(Tree("out"), Tree("data"));
  EXPECT_EQ(fs::status(root_ / "out/empty").permissions(), fs::perms(0640));
  EXPECT_EQ(fs::last_write_time(root_ / "out/empty"),
            fs::last_write_time(root_ / "data/empty"));
  const auto verdict =
      VerifyArchive(*Archive::Open(root_ / "archive", nullptr), {});
  ASSERT_TRUE(verdict.ok());
  EXPECT_TRUE(verdict->status.ok()) << verdict->status;
  EXPECT_EQ(verdict->snapshots[0].files, 68);
}

TEST_F(DirectorySourceTest, LinksAndSpecialsAreLeftOut) {
  Write(root_ / "secret", "not below the directory");
  Write(root_ / "data/file", "x");
  fs::create_symlink(root_ / "secret", root_ / "data/link");
  fs::create_directory_symlink(root_, root_ / "data/loop");
  ASSERT_EQ(::mkfifo((root_ / "data/fifo").c_str(), 0600), 0);
  const BackupReport backup = Backup();
  ASSERT_EQ(backup.outcome, Outcome::kOk) << backup.status;
  EXPECT_EQ(backup.sources[0].totals.files(), 1);
  EXPECT_EQ(backup.sources[0].totals.specials_ignored(), 3);
  ASSERT_EQ(Restore().outcome, Outcome::kOk);
  EXPECT_EQ(Tree("out").size(), 1u);
}

TEST_F(DirectorySourceTest, AFileThatChangesIsReported) {
  Write(root_ / "data/a", "stable");
  Write(root_ / "data/large", RandomBytes(1, 2'500'000));
  Write(root_ / "data/small", "short");
  Write(root_ / "data/z", "stable too");
  DirectorySource::Options options;
  options.after_first_read_for_test = [&](const std::string& path) {
    if (path == "large" || path == "small") {
      std::ofstream(root_ / "data" / path, std::ios::app) << "more";
    }
  };
  const BackupReport backup = Backup(options);
  EXPECT_EQ(backup.outcome, Outcome::kPartial);
  const format::SourceTotals& totals = backup.sources[0].totals;
  EXPECT_EQ(totals.files(), 2);
  EXPECT_EQ(totals.problems_count(), 2);
  EXPECT_THAT(totals.problems(), Contains(HasSubstr("file large: changed")));
  EXPECT_THAT(totals.problems(), Contains(HasSubstr("file small: changed")));
  const auto verdict =
      VerifyArchive(*Archive::Open(root_ / "archive", nullptr), {});
  EXPECT_TRUE(verdict->status.ok()) << verdict->status;
  const RestoreReport report = Restore();
  EXPECT_EQ(report.outcome, Outcome::kPartial) << report.status;
  EXPECT_EQ(report.files_restored, 2);
  EXPECT_EQ(Tree("out").size(), 2u);
  EXPECT_EQ(report.lost.files, 1);  // What of `small` was sent? Nothing.
  EXPECT_THAT(report.warnings, Contains(HasSubstr("file small: changed")));
}

TEST_F(DirectorySourceTest, ADamagedChunkCostsItsFiles) {
  for (int i = 0; i < 30; ++i) {
    Write(root_ / "data" / absl::StrCat("f", 10 + i),
          RandomBytes(static_cast<uint64_t>(i), 7000));
  }
  DirectorySource::Options options;
  options.chunk_bytes = 10'000;
  ASSERT_EQ(Backup(options).outcome, Outcome::kOk);
  int64_t lost_in_all = 0;
  for (const auto& pack : fs::directory_iterator(root_ / "archive/packs")) {
    const std::string bytes = Read(pack.path());
    for (size_t at = 100; at < bytes.size(); at += 4999) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
      Write(pack.path(), damaged);
      const RestoreReport report = Restore();
      ASSERT_TRUE(report.status.ok()) << report.status;
      EXPECT_LE(report.lost.files, 2);
      EXPECT_EQ(report.files_restored + report.lost.files, 30);
      for (const Loss& loss : report.lost.listed) {
        EXPECT_EQ(loss.kind, Loss::Kind::kFile);
        EXPECT_FALSE(fs::exists(root_ / "out" / loss.name));
      }
      for (const auto& [name, content] : Tree("out")) {
        EXPECT_EQ(content, Read(root_ / "data" / name));
      }
      lost_in_all += report.lost.files;
      fs::remove_all(root_ / "out");
    }
    Write(pack.path(), bytes);
  }
  EXPECT_GT(lost_in_all, 20);
}

TEST_F(DirectorySourceTest, EveryChunkOfALargeFileMissingInTurn) {
  Write(root_ / "data/a", "first");
  Write(root_ / "data/large", RandomBytes(3, 95'000));
  Write(root_ / "data/z", "last");
  DirectorySource::Options options;
  options.chunk_bytes = 10'000;
  ASSERT_EQ(Backup(options).outcome, Outcome::kOk);
  for (const auto& pack : fs::directory_iterator(root_ / "archive/packs")) {
    const std::string bytes = Read(pack.path());
    for (size_t at = 60; at < bytes.size(); at += 3001) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ 1);
      Write(pack.path(), damaged);
      const RestoreReport report = Restore();
      ASSERT_TRUE(report.status.ok()) << report.status;
      EXPECT_EQ(report.files_restored + report.lost.files, 3) << at;
      EXPECT_EQ(Tree("out").size(), static_cast<size_t>(report.files_restored));
      fs::remove_all(root_ / "out");
    }
    Write(pack.path(), bytes);
  }
}

TEST_F(DirectorySourceTest, AMissingDirectoryFailsTheBackup) {
  fs::remove_all(root_ / "data");
  const BackupReport backup = Backup();
  EXPECT_EQ(backup.outcome, Outcome::kFailed);
  EXPECT_EQ(backup.status.code(), absl::StatusCode::kNotFound);
  Write(root_ / "data", "a file");
  EXPECT_EQ(Backup().status.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(DirectorySourceTest, AnEmptyDirectory) {
  ASSERT_EQ(Backup().outcome, Outcome::kOk);
  EXPECT_EQ(Restore().outcome, Outcome::kOk);
  EXPECT_TRUE(fs::is_directory(root_ / "out"));
}

TEST_F(DirectorySourceTest, AFileThatWasNotTakenMakesTheRestorePartial) {
  Write(root_ / "data/small", "short");
  DirectorySource::Options options;
  options.after_first_read_for_test = [&](const std::string& path) {
    std::ofstream(root_ / "data" / path, std::ios::app) << "more";
  };
  EXPECT_EQ(Backup(options).outcome, Outcome::kPartial);
  const RestoreReport report = Restore();
  EXPECT_EQ(report.outcome, Outcome::kPartial) << report.status;
  EXPECT_TRUE(report.lost.empty());
  EXPECT_THAT(report.warnings, Contains(HasSubstr("small")));
}

TEST_F(DirectorySourceTest, WhatIsPrivateStaysPrivate) {
  Write(root_ / "data/home/secret", "secret");
  fs::permissions(root_ / "data/home", fs::perms(0700));
  fs::permissions(root_ / "data/home/secret", fs::perms(0600));
  Write(root_ / "data/home/public", "public");
  fs::permissions(root_ / "data/home/public", fs::perms(0644));
  ASSERT_EQ(Backup().outcome, Outcome::kOk);
  const auto mode = [&](const fs::path& path) {
    return fs::status(root_ / path).permissions();
  };
  for (const char* directory : {"archive", "archive/packs"}) {
    EXPECT_EQ(mode(directory), fs::perms(0700)) << directory;
  }
  for (const char* directory : {"archive/packs", "archive/manifests"}) {
    for (const auto& file : fs::directory_iterator(root_ / directory)) {
      EXPECT_EQ(file.status().permissions(), fs::perms(0600)) << file.path();
    }
  }
  ASSERT_EQ(Restore().outcome, Outcome::kOk);
  // The dump knows no mode of a directory.
  EXPECT_EQ(mode("out/home"), fs::perms(0700));
  EXPECT_EQ(mode("out/home/secret"), fs::perms(0600));
  EXPECT_EQ(mode("out/home/public"), fs::perms(0644));
}

// The archive that the dump goes to is no part of it.
TEST_F(DirectorySourceTest, ExcludedDirectoriesAreLeftOut) {
  Write(root_ / "data/file", "x");
  Write(root_ / "data/below/l2/meta", "x");
  fs::create_directory_symlink(root_ / "data/below/l2", root_ / "other-name");
  DirectorySource::Options options;
  options.excluded = {root_ / "other-name", root_ / "absent"};
  BackupReport report = Backup(options);
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_EQ(report.sources[0].totals.files(), 1);
  EXPECT_EQ(report.sources[0].totals.directories_excluded(), 1);
  options.excluded = {root_ / "data"};
  report = Backup(options);
  EXPECT_EQ(report.outcome, Outcome::kFailed);
  EXPECT_EQ(report.status.code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace larder::backup
