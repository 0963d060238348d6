// Damage, hostile names, and Ctrl-C.

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/program.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Trouble : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = FreshDirectory();
    l2_ = directory_ + "/l2";
  }
  std::string At(const std::string& name) const {
    return directory_ + "/" + name;
  }
  void Put(const std::string& key, const std::string& value) {
    ASSERT_EQ(
        Larder({"put", "--l2", l2_, "-n", "n", "--", key}, value).exit_code, 0);
  }

  std::string directory_;
  std::string l2_;
};

// 13 is for a primary that was replaced, and for nothing else. There nobody may
// make a directory, not even root.
TEST_F(Trouble, APlaceThatMayNotBeWrittenIsAFailureAsOthers) {
  Put("key", "value");
  const ProgramEnd end =
      Larder({"export", "--l2", l2_, "-n", "n", "/sys/larder"});
  EXPECT_EQ(end.exit_code, 1) << end.err;
  EXPECT_THAT(end.err, HasSubstr("/sys/larder"));
}

TEST_F(Trouble, ADamagedBlobIsNeverServed) {
  const std::string value = RandomBytes(100'000, 5);
  Put("damaged", value);
  Put("sound", "sound");
  const std::string blobs = l2_ + "/blobs";
  const size_t offset = ReadFile(blobs).find(value.substr(0, 32));
  ASSERT_NE(offset, std::string::npos);
  FlipByte(blobs, offset + 50'000);
  const ProgramEnd get = Larder({"get", "--l2", l2_, "-n", "n", "damaged"});
  EXPECT_EQ(get.exit_code, 12);
  EXPECT_EQ(get.out, "");
  EXPECT_EQ(Larder({"get", "--l2", l2_, "-n", "n", "sound"}).out, "sound");
  const ProgramEnd verify = Larder({"verify", "--l2", l2_, "--json"});
  EXPECT_EQ(verify.exit_code, 12);
  const Report report = LastJson(verify.out);
  EXPECT_TRUE(report.has_clean() && !report.clean());
  EXPECT_THAT(verify.err, HasSubstr("blobs"));
  const ProgramEnd out = Larder({"export", "--l2", l2_, "-n", "n", At("out")});
  EXPECT_EQ(out.exit_code, 3);
  EXPECT_THAT(out.err, HasSubstr("damaged"));
  EXPECT_EQ(ReadFile(At("out/sound")), "sound");
  EXPECT_FALSE(fs::exists(At("out/damaged")));
}

// Files of the L2 must not get the numbers of what is closed.
TEST_F(Trouble, ClosedStandardDescriptorsDoNoHarm) {
  Put("k", RandomBytes(100'000, 5));
  const std::string command =
      absl::StrCat("exec \"$0\" get --l2 ", l2_, " -n n ");
  for (const std::string arguments :
       {"k <&- >&-", "k >&-", "absent <&- >&- 2>&-"}) {
    Program get({"/bin/sh", "-c", command + arguments, LarderPath()});
    EXPECT_GT(get.Wait().exit_code, 0) << arguments;
    EXPECT_EQ(Larder({"verify", "--l2", l2_}).exit_code, 0) << arguments;
  }
}

TEST_F(Trouble, AFailedGetLeavesTheFileAsItWas) {
  const std::string value = RandomBytes(20'000'000, 5);
  Put("large", value);
  const std::string out = At("out");
  WriteFile(out, "precious");
  FlipByte(l2_ + "/blobs",
           ReadFile(l2_ + "/blobs").find(value.substr(19'000'000, 32)));
  EXPECT_EQ(
      Larder({"get", "--l2", l2_, "-n", "n", "large", "--out", out}).exit_code,
      12);
  EXPECT_EQ(ReadFile(out), "precious");
  Put("small", "bytes");
  const std::string link = At("link");
  fs::create_symlink("out", link);
  EXPECT_EQ(
      Larder({"get", "--l2", l2_, "-n", "n", "small", "--out", link}).exit_code,
      0);
  EXPECT_EQ(ReadFile(out), "bytes");
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(Larder({"get", "--l2", l2_, "-n", "n", "small", "--out",
                    At("no/such/out")})
                .exit_code,
            1);
  ASSERT_EQ(mkfifo(At("pipe").c_str(), 0600), 0);
  Program reader({"/bin/cat", At("pipe")});
  EXPECT_EQ(
      Larder({"get", "--l2", l2_, "-n", "n", "small", "--out", At("pipe")})
          .exit_code,
      0);
  EXPECT_EQ(reader.Wait().out, "bytes");
  EXPECT_TRUE(fs::is_fifo(At("pipe")));
}

// Each process knows anew what is live; each must get on nonetheless.
TEST_F(Trouble, BoundedSweepsOfOrphansEnd) {
  for (int i = 0; i < 30; ++i) Put(absl::StrCat("k", i), "small");
  cache::BlobCacheOptions options;
  options.l2_path = l2_;
  options.background_commits = false;
  const auto put = [](cache::BlobCache* cache, const char* name, unsigned i) {
    ASSERT_TRUE(
        cache->Put("n", absl::StrCat(name, i), RandomBytes(50'000, i), {})
            .ok());
  };
  {
    // Holes, so that orphans do not lie side by side.
    auto cache = cache::BlobCache::Open(options);
    ASSERT_TRUE(cache.ok()) << cache.status();
    for (unsigned i = 0; i < 20; ++i) put(cache->get(), "kept", i);
    for (unsigned i = 0; i < 20; i += 2) {
      ASSERT_TRUE((*cache)->InvalidateKey("n", absl::StrCat("kept", i)).ok());
    }
  }
  {
    auto cache = cache::BlobCache::Open(options);
    ASSERT_TRUE(cache.ok()) << cache.status();
    for (unsigned i = 0; i < 10; ++i) put(cache->get(), "orphan", i);
    // Killed before the commit.
    fs::copy(l2_, At("killed"), fs::copy_options::recursive);
  }
  int runs = 0;
  for (Report report; runs < 20; ++runs) {
    const ProgramEnd end = Larder({"sweep", "--l2", At("killed"), "--orphans",
                                   "--limit-entries", "7", "--json"});
    ASSERT_EQ(end.exit_code, 0) << end.err;
    if (!LastJson(end.out).orphans().truncated_due_to_limit()) break;
  }
  EXPECT_GT(runs, 0);
  EXPECT_LT(runs, 5);
  EXPECT_EQ(LastJson(Larder({"verify", "--l2", At("killed"), "--json"}).out)
                .orphaned_bytes(),
            0);
}

TEST_F(Trouble, ADamagedArchiveLosesItsOwnBlobs) {
  for (int i = 0; i < 20; ++i) {
    Put(absl::StrCat("k", i), RandomBytes(200'000, static_cast<unsigned>(i)));
  }
  const std::string archive = "dir:" + At("archive");
  ASSERT_EQ(
      Larder({"backup", "--l2", l2_, "--include-blob-cache", "--to", archive})
          .exit_code,
      0);
  for (const auto& pack : fs::directory_iterator(At("archive/packs"))) {
    FlipByte(pack.path(), fs::file_size(pack.path()) / 2);
  }
  const ProgramEnd verify = Larder({"verify", "--from", archive});
  EXPECT_EQ(verify.exit_code, 12);
  EXPECT_THAT(verify.err, HasSubstr(".pack"));
  const ProgramEnd restore =
      Larder({"restore", "--from", archive, "--l2", At("new"), "--json"});
  EXPECT_EQ(restore.exit_code, 3) << restore.err;
  const auto object = LastJson(restore.out);
  const int64_t lost = object.failed();
  EXPECT_GE(lost, 1);
  EXPECT_GE(object.blobs(), 1);
  EXPECT_EQ(Larder({"verify", "--l2", At("new")}).exit_code, 0);
}

TEST_F(Trouble, WhatABackupCouldNotTakeIsToldAtRestore) {
  const std::string value = RandomBytes(100'000, 7);
  Put("damaged", value);
  Put("sound", "sound");
  const size_t offset = ReadFile(l2_ + "/blobs").find(value.substr(0, 32));
  ASSERT_NE(offset, std::string::npos);
  FlipByte(l2_ + "/blobs", offset + 50);
  const std::string archive = "dir:" + At("archive");
  std::string deep = At("tree");
  for (int i = 0; i < 130; ++i) deep += "/d";
  WriteFile(deep + "/too-deep", "x");
  WriteFile(At("tree/fine"), "fine");
  ASSERT_EQ(symlink("fine", At("tree/link").c_str()), 0);
  const ProgramEnd backup =
      Larder({"backup", "--l2", l2_, "--include-blob-cache", "--to", archive,
              "--files", At("tree")});
  EXPECT_EQ(backup.exit_code, 3) << backup.err;
  EXPECT_THAT(backup.out, HasSubstr("1 links and special files"));
  const ProgramEnd cache =
      Larder({"restore", "--from", archive, "--l2", At("new"), "--json"});
  EXPECT_EQ(cache.exit_code, 3) << cache.err;
  EXPECT_THAT(cache.err, HasSubstr("damaged"));
  EXPECT_GE(LastJson(cache.out).failed(), 1);
  EXPECT_EQ(LastJson(cache.out).blobs(), 1);
  const ProgramEnd files =
      Larder({"restore", "--from", archive, "--files", At("files"), "--json"});
  EXPECT_EQ(files.exit_code, 3) << files.err;
  EXPECT_GE(LastJson(files.out).failed(), 1);
  EXPECT_EQ(LastJson(files.out).files(), 1);
}

TEST_F(Trouble, ABackupDoesNotSwallowItself) {
  Put("k", "v");
  WriteFile(At("file"), "x");
  const std::string archive = "dir:" + At("archive");
  for (int i = 0; i < 2; ++i) {
    const ProgramEnd end = Larder({"backup", "--l2", l2_, "--to", archive,
                                   "--files", directory_, "--json"});
    EXPECT_EQ(end.exit_code, 0) << end.err;
    EXPECT_THAT(end.out, HasSubstr("\"directories_excluded\":2"));
    EXPECT_THAT(end.out, HasSubstr("\"files\":1,"));
  }
}

TEST_F(Trouble, ABackupGoesOnlyToArchives) {
  Put("k", "v");
  const ProgramEnd twice =
      Larder({"backup", "--l2", l2_, "--to", "dir:" + At("a"), "--to",
              "dir:" + At("b/../a/")});
  EXPECT_NE(twice.exit_code, 0);
  EXPECT_THAT(twice.err, HasSubstr("given twice"));
  EXPECT_FALSE(fs::exists(At("a")));
  const ProgramEnd itself =
      Larder({"backup", "--l2", l2_, "--to", "dir:" + l2_});
  EXPECT_NE(itself.exit_code, 0);
  EXPECT_THAT(itself.err, HasSubstr("neither empty nor an archive"));
  EXPECT_EQ(Larder({"get", "--l2", l2_, "-n", "n", "k"}).out, "v");
}

TEST_F(Trouble, FlushesOfARestoredL2ReachOlderSnapshotsToo) {
  Put("k", "v");
  const std::string archive = "dir:" + At("archive");
  const auto backup = [&](const std::string& l2) {
    const ProgramEnd end = Larder({"backup", "--l2", l2, "--include-blob-cache",
                                   "--to", archive, "--json"});
    EXPECT_EQ(end.exit_code, 0) << end.err;
    return LastJson(end.out).snapshot();
  };
  const auto restore = [&](const std::string& id, const std::string& l2) {
    const ProgramEnd end =
        Larder({"restore", "--from", archive, "--snapshot", id, "--l2", l2});
    EXPECT_EQ(end.exit_code, 0) << end.err;
    return end;
  };
  const auto get = [&](const std::string& l2) {
    return Larder({"get", "--l2", l2, "-n", "n", "k"}).exit_code;
  };
  const std::string first = backup(l2_);
  EXPECT_EQ(restore(first, At("b")).err, "");
  EXPECT_EQ(restore(backup(At("b")), At("c")).err, "");
  EXPECT_EQ(get(At("c")), 0);
  ASSERT_EQ(Larder({"flush-namespace", "--l2", At("c"), "n"}).exit_code, 0);
  backup(At("c"));
  EXPECT_EQ(restore(first, At("d")).err, "");
  EXPECT_EQ(get(At("d")), 10);
  // Another L2 in the same archive has no say, and that is told.
  ASSERT_EQ(
      Larder({"put", "--l2", At("foreign"), "-n", "n", "k"}, "w").exit_code, 0);
  const std::string foreign = backup(At("foreign"));
  const ProgramEnd end = restore(first, At("e"));
  EXPECT_THAT(end.err, HasSubstr("another lineage"));
  EXPECT_THAT(end.err, HasSubstr(foreign));
}

TEST_F(Trouble, HostileKeysStayInside) {
  for (const std::string key :
       {"../escaped", "/tmp/larder-escaped", "a/../../escaped", "a//b", "."}) {
    Put(key, "hostile");
  }
  Put(std::string(300, 'x'), "too long for a file");
  // An argument cannot hold it, the cache can.
  cache::BlobCacheOptions options;
  options.l2_path = l2_;
  {
    auto cache = cache::BlobCache::Open(options);
    ASSERT_TRUE(cache.ok()) << cache.status();
    ASSERT_TRUE((*cache)->Put("n", std::string("a\0b", 3), "x", {}).ok());
  }
  Put("good/one", "good");
  const ProgramEnd end =
      Larder({"export", "--l2", l2_, "-n", "n", At("out"), "--json"});
  EXPECT_EQ(end.exit_code, 3);
  const auto object = LastJson(end.out);
  EXPECT_EQ(object.failed(), 7);
  EXPECT_EQ(object.files(), 1);
  EXPECT_EQ(ReadFile(At("out/good/one")), "good");
  EXPECT_FALSE(fs::exists(At("escaped")));
  EXPECT_FALSE(fs::exists("/tmp/larder-escaped"));
}

TEST_F(Trouble, KeysThatAreTooLongAreReported) {
  const std::string component(250, 'd');
  std::string path = At("tree");
  for (int i = 0; i < 5; ++i) absl::StrAppend(&path, "/", component);
  WriteFile(path + "/file", "x");
  WriteFile(At("tree/fine"), "fine");
  ASSERT_EQ(symlink("fine", At("tree/link").c_str()), 0);
  const ProgramEnd end =
      Larder({"import", "--l2", l2_, "-n", "n", At("tree"), "--json"});
  EXPECT_EQ(end.exit_code, 3) << end.err;
  EXPECT_THAT(end.err, HasSubstr("1024"));
  const auto object = LastJson(end.out);
  EXPECT_EQ(object.files(), 1);
  EXPECT_EQ(object.skipped(), 1);
  EXPECT_EQ(object.failed(), 1);
  const ProgramEnd key =
      Larder({"put", "--l2", l2_, "-n", "n", std::string(100'000, 'k')}, "v");
  EXPECT_EQ(key.exit_code, 2);
  EXPECT_THAT(key.err, HasSubstr("1024"));
}

TEST_F(Trouble, AnL2BelowTheImportedPathIsLeftOut) {
  WriteFile(At("tree/file"), "x");
  const std::string inside = At("tree/l2");
  for (int i = 0; i < 2; ++i) {
    const ProgramEnd end =
        Larder({"import", "--l2", inside, "-n", "n", At("tree"), "--json"});
    EXPECT_EQ(end.exit_code, 0) << end.err;
    EXPECT_EQ(LastJson(end.out).files(), 1);
  }
}

TEST_F(Trouble, ExportLeavesOtherFilesAlone) {
  Put("k", "new");
  WriteFile(At("out/k"), "old");
  WriteFile(At("out/other"), "other");
  EXPECT_EQ(Larder({"export", "--l2", l2_, "-n", "n", At("out")}).exit_code, 1);
  EXPECT_EQ(ReadFile(At("out/k")), "old");
  EXPECT_EQ(Larder({"export", "--l2", l2_, "-n", "n", "--overwrite", At("out")})
                .exit_code,
            0);
  EXPECT_EQ(ReadFile(At("out/k")), "new");
  EXPECT_EQ(ReadFile(At("out/other")), "other");
}

TEST_F(Trouble, AFullStdoutIsAnError) {
  Put("k", std::string(100'000, 'v'));
  const ProgramEnd end = Program({"/bin/sh", "-c",
                                  absl::StrCat("tools/larder get --l2 ", l2_,
                                               " -n n k >/dev/full")})
                             .Wait();
  EXPECT_EQ(end.exit_code, 1);
  EXPECT_EQ(
      Program({"/bin/sh", "-c",
               absl::StrCat("tools/larder stats --l2 ", l2_, " >/dev/full")})
          .Wait()
          .exit_code,
      1);
}

// Starts `arguments`, interrupts it once `file` is there, and returns its end.
ProgramEnd InterruptOnce(const std::vector<std::string>& arguments,
                         const std::string& file) {
  Program program(arguments);
  while (!fs::exists(file) && !program.Ended()) std::this_thread::yield();
  program.Signal(SIGINT);
  return program.Wait();
}

TEST_F(Trouble, CtrlCKeepsWhatAnImportHasDone) {
  for (int i = 0; i < 5'000; ++i) {
    WriteFile(absl::StrCat(At("tree"), "/", i),
              RandomBytes(2'000, static_cast<unsigned>(i)));
  }
  // The import may be done before the signal comes, on a busy machine.
  ProgramEnd end;
  for (int attempt = 0; attempt < 10 && end.exit_code != 130; ++attempt) {
    fs::remove_all(l2_);
    end = InterruptOnce({"tools/larder", "import", "--l2", l2_, "-n", "n",
                         At("tree"), "--json"},
                        l2_ + "/blobs");
  }
  ASSERT_EQ(end.exit_code, 130) << end.err;
  EXPECT_THAT(end.err, HasSubstr("committed"));
  const int64_t files = LastJson(end.out).files();
  EXPECT_LT(files, 5'000);
  const auto stats = LastJson(Larder({"stats", "--l2", l2_, "--json"}).out);
  EXPECT_EQ(stats.records(), files);
  EXPECT_EQ(Larder({"verify", "--l2", l2_}).exit_code, 0);
}

TEST_F(Trouble, CtrlCDuringABackupListsNothing) {
  WriteFile(At("tree/large"), RandomBytes(60'000'000, 9));
  ASSERT_EQ(Larder({"import", "--l2", l2_, "-n", "n", At("tree")}).exit_code,
            0);
  const std::string archive = At("archive");
  ProgramEnd end;
  for (int attempt = 0; attempt < 10 && end.exit_code != 130; ++attempt) {
    fs::remove_all(archive);
    end = InterruptOnce({"tools/larder", "backup", "--l2", l2_,
                         "--include-blob-cache", "--to", "dir:" + archive},
                        archive + "/packs");
  }
  ASSERT_EQ(end.exit_code, 130) << end.err;
  const auto list =
      LastJson(Larder({"list", "--from", "dir:" + archive, "--json"}).out);
  EXPECT_EQ(list.command(), "list");
  EXPECT_EQ(list.snapshots_size(), 0);
}

}  // namespace
}  // namespace larder::tests
