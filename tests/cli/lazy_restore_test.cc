// larder restore --lazy, and an L2 that it was interrupted on.

#include "backup/lazy_restore.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/program.h"

namespace larder::tests {
namespace {

using testing::HasSubstr;

class LazyRestoreProgram : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = FreshDirectory();
    for (int i = 0; i < kBlobs; ++i) {
      WriteFile(At(absl::StrCat("tree/file", i)), Bytes(i));
    }
    ASSERT_EQ(Larder({"import", "--l2", At("l2"), "-n", "files", At("tree")})
                  .exit_code,
              0);
    ASSERT_EQ(Larder({"backup", "--l2", At("l2"), "--include-blob-cache",
                      "--to", Dir("a"), "--to", Dir("b")})
                  .exit_code,
              0);
  }
  std::string At(const std::string& name) const {
    return directory_ + "/" + name;
  }
  std::string Dir(const std::string& name) const { return "dir:" + At(name); }
  static std::string Bytes(int i) {
    return RandomBytes(5000, static_cast<unsigned>(i) + 1);
  }
  void ExpectGets(const std::string& l2, int i) {
    const ProgramEnd end =
        Larder({"get", "--l2", At(l2), "-n", "files", absl::StrCat("file", i)});
    EXPECT_EQ(end.exit_code, 0) << end.err;
    EXPECT_TRUE(end.out == Bytes(i)) << i;
  }
  // Somebody began, and was killed at once.
  void Begin(const std::string& l2) {
    backup::LazyRestoreOptions options;
    options.archives = {At("a")};
    options.cache.l2_path = At(l2);
    const auto lazy = backup::LazyRestore::Open(options);
    ASSERT_TRUE(lazy.ok()) << lazy.status();
  }

  static constexpr int kBlobs = 100;
  std::string directory_;
};

TEST_F(LazyRestoreProgram, PublishesAndFills) {
  const ProgramEnd end =
      Larder({"restore", "--lazy", "--from", Dir("a"), "--l2", At("new")});
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_THAT(end.out, HasSubstr("is published after"));
  EXPECT_THAT(end.out, HasSubstr("restored   100 blobs"));
  for (const int i : {0, 50, 99}) ExpectGets("new", i);
  EXPECT_EQ(Larder({"verify", "--l2", At("new")}).exit_code, 0);
  // It is an L2 as any other now.
  EXPECT_NE(Larder({"restore", "--lazy", "--from", Dir("a"), "--l2", At("new")})
                .exit_code,
            0);
}

TEST_F(LazyRestoreProgram, GoesOnWithWhatWasBegun) {
  Begin("new");
  EXPECT_EQ(Larder({"del", "--l2", At("new"), "-n", "files", "none"}).exit_code,
            10);
  ExpectGets("new", 7);
  EXPECT_EQ(
      Larder({"del", "--l2", At("new"), "-n", "files", "file8"}).exit_code, 0);
  EXPECT_EQ(Larder({"put", "--l2", At("new"), "-n", "files", "file9"}, "newer")
                .exit_code,
            0);
  EXPECT_EQ(
      Larder({"get", "--l2", At("new"), "-n", "files", "file8"}).exit_code, 10);
  const ProgramEnd backup = Larder(
      {"backup", "--l2", At("new"), "--to", Dir("c"), "--include-blob-cache"});
  EXPECT_NE(backup.exit_code, 0);
  EXPECT_THAT(backup.err, HasSubstr("not before all is hydrated"));
  const ProgramEnd end = Larder({"restore", "--lazy", "--l2", At("new")});
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_THAT(end.out, HasSubstr("goes on after"));
  EXPECT_EQ(
      Larder({"get", "--l2", At("new"), "-n", "files", "file8"}).exit_code, 10);
  EXPECT_EQ(Larder({"get", "--l2", At("new"), "-n", "files", "file9"}).out,
            "newer");
  for (const int i : {0, 7, 10, 99}) ExpectGets("new", i);
}

TEST_F(LazyRestoreProgram, WhatHasNotComeYetIsNotPassedOver) {
  Begin("new");
  ExpectGets("new", 3);
  const std::vector<std::string> of_new = {"--l2", At("new")};
  const auto run = [&](std::vector<std::string> args) {
    args.insert(args.end(), of_new.begin(), of_new.end());
    return Larder(args);
  };
  const ProgramEnd refused =
      run({"export", "-n", "files", At("out"), "--json"});
  EXPECT_EQ(refused.exit_code, 11) << refused.out;
  EXPECT_THAT(refused.err, HasSubstr("restored lazily"));
  EXPECT_THAT(refused.err,
              HasSubstr("larder restore --lazy --l2 " + At("new")));
  EXPECT_FALSE(std::filesystem::exists(At("out")));
  for (const std::vector<std::string>& look :
       {std::vector<std::string>{"ls", "-n", "files", "--json"},
        {"stats", "--json"}}) {
    const ProgramEnd end = run(look);
    EXPECT_EQ(end.exit_code, 0) << end.err;
    EXPECT_THAT(end.err, HasSubstr("restored lazily"));
    EXPECT_THAT(end.out, HasSubstr("\"hydrating\":true"));
  }

  ASSERT_EQ(Larder({"restore", "--lazy", "--l2", At("new")}).exit_code, 0);
  const ProgramEnd whole = run({"export", "-n", "files", At("out"), "--json"});
  EXPECT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_EQ(LastJson(whole.out).files(), kBlobs);
  const ProgramEnd stats = run({"stats", "--json"});
  EXPECT_EQ(stats.err, "");
  EXPECT_THAT(stats.out, HasSubstr("\"hydrating\":false"));
}

TEST_F(LazyRestoreProgram, AskedForAnArchiveThatIsGone) {
  Begin("new");
  std::filesystem::rename(At("a"), At("moved"));
  const ProgramEnd get =
      Larder({"get", "--l2", At("new"), "-n", "files", "file1"});
  EXPECT_EQ(get.exit_code, 10);
  EXPECT_THAT(get.err, HasSubstr("restored lazily from snapshot"));
  // Another one will do.
  EXPECT_EQ(Larder({"restore", "--lazy", "--l2", At("new"), "--from", Dir("b")})
                .exit_code,
            0);
  ExpectGets("new", 1);
}

// Two snapshots, of which the older one is being restored, and a prune that
// would keep the newer one only.
TEST_F(LazyRestoreProgram, PruneKeepsWhatIsBeingRestored) {
  Begin("new");
  // A full one needs nothing of the first.
  ASSERT_EQ(Larder({"backup", "--l2", At("l2"), "--include-blob-cache",
                    "--full", "--to", Dir("a")})
                .exit_code,
            0);
  const std::vector<std::string> prune = {"prune",       "--from", Dir("a"),
                                          "--keep-last", "1",      "--confirm"};
  const ProgramEnd kept = Larder(prune);
  EXPECT_EQ(kept.exit_code, 0) << kept.err;
  EXPECT_THAT(kept.out, HasSubstr("held for " + At("new")));
  EXPECT_THAT(kept.out, HasSubstr("removed 0 snapshots"));
  // Each command that opens it takes the lease again.
  ExpectGets("new", 3);
  EXPECT_THAT(Larder(prune).out, HasSubstr("held for " + At("new") + " on "));
  const ProgramEnd end = Larder({"restore", "--lazy", "--l2", At("new")});
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_THAT(Larder(prune).out, HasSubstr("removed 1 snapshot"));
  for (const int i : {0, 50, 99}) ExpectGets("new", i);
}

TEST_F(LazyRestoreProgram, GivenUpWhenTheSnapshotIsGone) {
  Begin("new");
  ExpectGets("new", 3);
  std::filesystem::remove_all(At("a"));
  for (const auto& args :
       {std::vector<std::string>{"restore", "--lazy", "--l2", At("new")},
        {"restore", "--lazy", "--from", Dir("a"), "--l2", At("new")},
        {"get", "--l2", At("new"), "-n", "files", "file1"}}) {
    const ProgramEnd refused = Larder(args);
    EXPECT_EQ(refused.exit_code, 10) << refused.err;
    EXPECT_THAT(refused.err, HasSubstr("--give-up"));
    EXPECT_THAT(refused.err, HasSubstr("--from"));
  }
  const std::vector<std::string> backup = {
      "backup", "--l2", At("new"), "--include-blob-cache", "--to", Dir("c")};
  const ProgramEnd refused = Larder(backup);
  EXPECT_EQ(refused.exit_code, 11) << refused.err;
  EXPECT_THAT(refused.err, HasSubstr("source cache: "));
  EXPECT_THAT(refused.err, testing::Not(HasSubstr("every sink failed")));
  EXPECT_THAT(refused.err, HasSubstr("--give-up"));

  const ProgramEnd end =
      Larder({"restore", "--lazy", "--l2", At("new"), "--give-up"});
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_THAT(end.out, HasSubstr("gave up    up to 99 of 100 blobs"));
  ExpectGets("new", 3);
  const ProgramEnd missing =
      Larder({"get", "--l2", At("new"), "-n", "files", "file1"});
  EXPECT_EQ(missing.exit_code, 10);
  EXPECT_THAT(missing.err, testing::Not(HasSubstr("--give-up")));
  EXPECT_EQ(Larder(backup).exit_code, 0);
  EXPECT_EQ(Larder({"verify", "--l2", At("new")}).exit_code, 0);
  // There is nothing more to give up.
  EXPECT_EQ(
      Larder({"restore", "--lazy", "--l2", At("new"), "--give-up"}).exit_code,
      1);
}

TEST_F(LazyRestoreProgram, DamageInOneArchiveOfTwo) {
  std::string pack;
  for (const auto& entry : std::filesystem::directory_iterator(At("a/packs"))) {
    pack = entry.path().string();
  }
  FlipByte(pack, std::filesystem::file_size(pack) / 2);
  const ProgramEnd alone =
      Larder({"restore", "--lazy", "--from", Dir("a"), "--l2", At("alone")});
  EXPECT_EQ(alone.exit_code, 3);
  EXPECT_THAT(alone.err, HasSubstr("file"));
  const ProgramEnd both = Larder({"restore", "--lazy", "--from", Dir("a"),
                                  "--also-from", Dir("b"), "--l2", At("both")});
  EXPECT_EQ(both.exit_code, 0) << both.err;
  EXPECT_THAT(both.out, HasSubstr("restored   100 blobs"));
}

TEST_F(LazyRestoreProgram, WhatItIsNotFor) {
  EXPECT_EQ(
      Larder({"restore", "--lazy", "--from", Dir("a"), "--files", At("out")})
          .exit_code,
      2);
  EXPECT_EQ(Larder({"restore", "--also-from", Dir("b"), "--from", Dir("a"),
                    "--l2", At("new")})
                .exit_code,
            2);
  EXPECT_EQ(Larder({"restore", "--l2", At("new")}).exit_code, 2);
  EXPECT_EQ(Larder({"restore", "--give-up", "--l2", At("new")}).exit_code, 2);
  for (const char* archive : {"--from", "--also-from"}) {
    EXPECT_EQ(Larder({"restore", "--lazy", "--give-up", archive, Dir("a"),
                      "--l2", At("new")})
                  .exit_code,
              2)
        << archive;
  }
  EXPECT_NE(Larder({"restore", "--lazy", "--l2", At("new")}).exit_code, 0);
}

}  // namespace
}  // namespace larder::tests
