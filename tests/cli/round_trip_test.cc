// Files in, through cache, archives and a restore, and files out again.

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/program.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

// A tree with everything that a file name may hold.
void MakeTree(const std::string& root) {
  WriteFile(root + "/plain.txt", "plain\n");
  WriteFile(root + "/empty", "");
  WriteFile(root + "/zeros", std::string(300'000, '\0'));
  WriteFile(root + "/random", RandomBytes(3'000'000, 1));
  WriteFile(root + "/deep/er/and/deeper", "deep");
  WriteFile(root + "/-n", "a flag?");
  WriteFile(root + "/with space\nand line\tbreak", "odd");
  WriteFile(root + "/not\xFFutf8/\x80", "bytes");
  WriteFile(root + "/\"quoted\\", "quotes");
  WriteFile(root + "/.hidden/..almost", "dots");
  WriteFile(absl::StrCat(root, "/", std::string(255, 'n')), "long");
  for (int i = 0; i < 500; ++i) {
    WriteFile(absl::StrCat(root, "/many/", i % 7, "/", i),
              std::string(static_cast<size_t>(i * 37), 'x'));
  }
}

std::string Diff(const std::string& a, const std::string& b) {
  const ProgramEnd end = Program({"diff", "-r", a, b}).Wait();
  EXPECT_EQ(end.exit_code, 0);
  return end.out + end.err;
}

class RoundTrip : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = FreshDirectory();
    l2_ = directory_ + "/l2";
  }
  std::string At(const std::string& name) const {
    return directory_ + "/" + name;
  }
  std::string ArchiveAt(const std::string& name) const {
    return "dir:" + At(name);
  }

  std::string directory_;
  std::string l2_;
};

TEST_F(RoundTrip, FilesComeBackFromEitherReplica) {
  MakeTree(At("tree"));
  ASSERT_EQ(Larder({"import", "--l2", l2_, "-n", "t", At("tree")}).exit_code,
            0);
  const ProgramEnd backup = Larder(
      {"backup", "--l2", l2_, "--include-blob-cache", "--to", ArchiveAt("r1"),
       "--to", ArchiveAt("r2"), "--files", At("tree"), "--json"});
  ASSERT_EQ(backup.exit_code, 0) << backup.err;
  const std::string snapshot = LastJson(backup.out).snapshot();
  for (const std::string replica : {"r1", "r2"}) {
    SCOPED_TRACE(replica);
    EXPECT_EQ(Larder({"verify", "--from", ArchiveAt(replica)}).exit_code, 0);
    EXPECT_THAT(Larder({"list", "--from", ArchiveAt(replica)}).out,
                HasSubstr(snapshot));
    const ProgramEnd restore = Larder({"restore", "--from", ArchiveAt(replica),
                                       "--l2", At(replica + "-l2"), "--files",
                                       At(replica + "-files"), "--json"});
    ASSERT_EQ(restore.exit_code, 0) << restore.err;
    EXPECT_TRUE(LastJson(restore.out).digest_equal());
    EXPECT_EQ(Larder({"verify", "--l2", At(replica + "-l2")}).exit_code, 0);
    ASSERT_EQ(Larder({"export", "--l2", At(replica + "-l2"), "-n", "t",
                      At(replica + "-out")})
                  .exit_code,
              0);
    EXPECT_THAT(Diff(At("tree"), At(replica + "-out")), IsEmpty());
    EXPECT_THAT(Diff(At("tree"), At(replica + "-files")), IsEmpty());
  }
}

TEST_F(RoundTrip, TheSmallProgramsTakeTheSameOptions) {
  ASSERT_EQ(Larder({"put", "--l2", l2_, "-n", "n", "k"}, "value").exit_code, 0);
  const ProgramEnd backup =
      Program({"tools/backup", "--l2", l2_, "--include-blob-cache", "--to",
               ArchiveAt("r"), "--json"})
          .Wait();
  ASSERT_EQ(backup.exit_code, 0) << backup.err;
  EXPECT_EQ(LastJson(backup.out).command(), "backup");
  EXPECT_EQ(Program({"tools/backup", "--l2"}).Wait().exit_code, 2);
  EXPECT_EQ(
      Program({"tools/restore", "--from", ArchiveAt("r"), "--l2", At("new")})
          .Wait()
          .exit_code,
      0);
  EXPECT_EQ(Larder({"get", "--l2", At("new"), "-n", "n", "k"}).out, "value");
}

TEST_F(RoundTrip, TheExampleOfTheReadmeRuns) {
  const ProgramEnd end = Program({"tools/example_server", At("server")}).Wait();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_THAT(end.out, HasSubstr("<h1>sardines</h1>"));
  const ProgramEnd restore =
      Larder({"restore", "--from", ArchiveAt("server/archive"), "--l2",
              At("new"), "--files", At("files")});
  EXPECT_EQ(restore.exit_code, 0) << restore.err;
  EXPECT_EQ(ReadFile(At("files/orders.txt")), "one tin of sardines\n");
}

TEST_F(RoundTrip, WithoutTheFlagBlobsStayOut) {
  ASSERT_EQ(Larder({"put", "--l2", l2_, "-n", "n", "k"}, "value").exit_code, 0);
  ASSERT_EQ(Larder({"flush-namespace", "--l2", l2_, "n"}).exit_code, 0);
  const ProgramEnd backup =
      Larder({"backup", "--l2", l2_, "--to", ArchiveAt("r")});
  ASSERT_EQ(backup.exit_code, 0) << backup.err;
  EXPECT_THAT(backup.out, HasSubstr("--include-blob-cache"));
}

TEST_F(RoundTrip, ADryRunWritesNothing) {
  ASSERT_EQ(Larder({"put", "--l2", l2_, "-n", "n", "k"}, "value").exit_code, 0);
  ASSERT_EQ(Larder({"backup", "--l2", l2_, "--include-blob-cache", "--to",
                    ArchiveAt("r")})
                .exit_code,
            0);
  const ProgramEnd end = Larder({"restore", "--from", ArchiveAt("r"), "--l2",
                                 At("new"), "--dry-run", "--json"});
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_EQ(LastJson(end.out).planned_blobs(), 1);
  EXPECT_FALSE(fs::exists(At("new")));
}

TEST_F(RoundTrip, ARestoreNeverTouchesWhatIsThere) {
  ASSERT_EQ(Larder({"put", "--l2", l2_, "-n", "n", "k"}, "value").exit_code, 0);
  ASSERT_EQ(Larder({"backup", "--l2", l2_, "--include-blob-cache", "--to",
                    ArchiveAt("r")})
                .exit_code,
            0);
  const ProgramEnd end =
      Larder({"restore", "--from", ArchiveAt("r"), "--l2", l2_});
  EXPECT_EQ(end.exit_code, 1);
  EXPECT_THAT(end.err, HasSubstr(l2_));
  EXPECT_EQ(Larder({"get", "--l2", l2_, "-n", "n", "k"}).out, "value");
}

TEST_F(RoundTrip, OneReplicaThatFailsIsPartial) {
  ASSERT_EQ(Larder({"put", "--l2", l2_, "-n", "n", "k"}, "value").exit_code, 0);
  WriteFile(At("file"), "in the way");
  const ProgramEnd end =
      Larder({"backup", "--l2", l2_, "--include-blob-cache", "--to",
              ArchiveAt("good"), "--to", ArchiveAt("file"), "--json"});
  EXPECT_EQ(end.exit_code, 3) << end.err;
  EXPECT_EQ(LastJson(end.out).failed(), 1);
  EXPECT_EQ(Larder({"verify", "--from", ArchiveAt("good")}).exit_code, 0);
}

TEST_F(RoundTrip, EmptyAndLargeBlobs) {
  const std::string large = RandomBytes(40'000'000, 3);
  WriteFile(At("large"), large);
  ASSERT_EQ(Larder({"put", "--l2", l2_, "-n", "n", "empty"}, "").exit_code, 0);
  ASSERT_EQ(
      Larder({"put", "--l2", l2_, "-n", "n", "large", At("large")}).exit_code,
      0);
  const ProgramEnd empty = Larder({"get", "--l2", l2_, "-n", "n", "empty"});
  EXPECT_EQ(empty.exit_code, 0);
  EXPECT_EQ(empty.out, "");
  EXPECT_TRUE(Larder({"get", "--l2", l2_, "-n", "n", "large"}).out == large);
  EXPECT_EQ(Larder({"get", "--l2", l2_, "-n", "n", "large", "--out", At("out"),
                    "--json"})
                .exit_code,
            0);
  EXPECT_TRUE(ReadFile(At("out")) == large);
}

TEST_F(RoundTrip, ListsKeysInPages) {
  for (const std::string key : {"a", "b", "ba", "bb", "b\xFF", "c"}) {
    ASSERT_EQ(Larder({"put", "--l2", l2_, "-n", "n", key}, key).exit_code, 0);
  }
  const auto names = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"ls", "--l2", l2_,
                                          "-n", "n",    "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    std::string keys;
    const auto object = LastJson(Larder(arguments).out);
    for (const auto& entry : object.entries()) {
      absl::StrAppend(&keys, entry.key(), " ");
    }
    return keys;
  };
  EXPECT_EQ(names({}), "a b ba bb b\xEF\xBF\xBD c ");
  EXPECT_EQ(names({"--prefix", "b"}), "b ba bb b\xEF\xBF\xBD ");
  EXPECT_EQ(names({"--prefix", "b", "--limit", "2"}), "b ba ");
  EXPECT_EQ(names({"--prefix", "b", "--after", "ba", "--limit", "1"}), "bb ");
  EXPECT_EQ(names({"--prefix", "zz"}), "");
}

TEST_F(RoundTrip, DeletesByKeyPrefixAndTag) {
  for (const std::string key : {"a1", "a2", "b1", "b2"}) {
    ASSERT_EQ(
        Larder({"put", "--l2", l2_, "-n", "n", "--tag", "t" + key, key}, key)
            .exit_code,
        0);
  }
  EXPECT_EQ(Larder({"del", "--l2", l2_, "-n", "n", "b1"}).exit_code, 0);
  EXPECT_EQ(Larder({"del", "--l2", l2_, "-n", "n", "--prefix", "a1"}).exit_code,
            0);
  EXPECT_EQ(Larder({"del", "--l2", l2_, "-n", "n", "--tag", "ta2"}).exit_code,
            0);
  const auto object = LastJson(Larder({"sweep", "--l2", l2_, "--json"}).out);
  EXPECT_EQ(object.entries_evicted(), 2);
  const auto left =
      LastJson(Larder({"ls", "--l2", l2_, "-n", "n", "--json"}).out);
  EXPECT_EQ(left.blobs(), 1);
}

TEST_F(RoundTrip, AFlushedNamespaceIsEmpty) {
  ASSERT_EQ(Larder({"put", "--l2", l2_, "-n", "n", "k"}, "value").exit_code, 0);
  const ProgramEnd end =
      Larder({"flush-namespace", "--l2", l2_, "n", "--json"});
  EXPECT_EQ(end.exit_code, 0);
  EXPECT_EQ(LastJson(end.out).generation_after(), "1");
  EXPECT_EQ(Larder({"get", "--l2", l2_, "-n", "n", "k"}).exit_code, 10);
}

}  // namespace
}  // namespace larder::tests
