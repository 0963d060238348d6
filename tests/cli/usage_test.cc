// What the programs say to command lines that are wrong, and about places that
// are not there or not free.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cache/blob_cache.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/program.h"

namespace larder::tests {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(Usage, WrongCommandLinesEndWith2) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"banana"},
      {"stats"},
      {"stats", "--l2"},
      {"stats", "--l2", "x", "extra"},
      {"import", "--l2", "x", "--namespace", "n"},
      {"import", "--l2", "x", "--namespace", "n", "--ttl", "10", "."},
      {"import", "--l2", "x", "--namespace", "a\nb", "."},
      {"import", "--l2", "x", "--namespace", std::string(256, 'n'), "."},
      {"ls", "--l2", "x", "--namespace", "n", "--limit", "-1"},
      {"ls", "--l2", "x", "--namespace", "n", "--limit", "many"},
      {"stats", "--l2", "x", "--l2-bytes-max", "4X"},
      {"stats", "--l2", "x", "--durability", "always"},
      {"backup", "--l2", "x"},
      {"backup", "--l2", "x", "--to", "/plain/path"},
      {"backup", "--l2", "x", "--to", "s3:bucket"},
      {"restore", "--from", "dir:x"},
      {"restore", "--l2", "x"},
      {"restore", "--from", "dir:x", "--l2", "y", "--at", "yesterday"},
      {"restore", "--from", "dir:x", "--l2", "y", "--at", "2h", "--snapshot",
       "s"},
      {"show", "dir:x"},
      {"show", "x", "s"},
      {"diff", "dir:x", "a"},
      {"prune", "dir:x"},
      {"prune", "dir:x", "--keep-last", "0"},
      {"prune", "--keep-last", "1"},
      {"diff", "dir:x", "a", "b", "c"},
      {"verify"},
      {"verify", "--l2", "x", "--from", "dir:x"},
      {"verify", "--l2", "x", "--snapshot", "s"},
      {"verify", "--l2", "x", "--quick"},
      {"verify", "--from", "dir:x", "--quick", "--full"},
      {"verify", "--from", "dir:x", "--quick", "--sample", "5%"},
      {"verify", "--from", "dir:x", "--sample", "5"},
      {"verify", "--from", "dir:x", "--seed", "5"},
      {"verify", "--from", "dir:x", "--repair"},
      {"del", "--l2", "x", "--namespace", "n"},
      {"list"},
  };
  for (const auto& arguments : wrong) {
    SCOPED_TRACE(absl::StrJoin(arguments, " "));
    const ProgramEnd end = Larder(arguments);
    EXPECT_EQ(end.exit_code, 2);
    EXPECT_THAT(end.out, IsEmpty());
    EXPECT_THAT(end.err, HasSubstr("--help"));
  }
}

TEST(Usage, TyposGetAHint) {
  EXPECT_THAT(Larder({"imprt"}).err, HasSubstr("did you mean 'import'"));
  EXPECT_THAT(Larder({"stats", "--l2", "x", "--jsno"}).err,
              HasSubstr("did you mean '--json'"));
  EXPECT_THAT(
      Larder({"import", "--l2", "x", "-n", "n", ".", "--tll", "1m"}).err,
      HasSubstr("did you mean '--ttl'"));
}

TEST(Usage, WithJsonAWrongCommandLineIsAnObjectToo) {
  const ProgramEnd end = Larder({"stats", "--json"});
  EXPECT_EQ(end.exit_code, 2);
  const auto object = LastJson(end.out);
  EXPECT_EQ(object.command(), "stats");
  EXPECT_EQ(object.exit_code(), 2);
  EXPECT_THAT(object.error(), HasSubstr("--l2"));
}

TEST(Usage, EverySubcommandHasHelpWithAnExample) {
  const ProgramEnd all = Larder({"--help"});
  EXPECT_EQ(all.exit_code, 0);
  for (const std::string command :
       {"demo", "import", "export", "put", "get", "del", "ls", "stats", "sweep",
        "flush-namespace", "backup", "restore", "verify", "list", "show",
        "diff", "prune"}) {
    SCOPED_TRACE(command);
    EXPECT_THAT(all.out, HasSubstr("\n  " + command + " "));
    const ProgramEnd help = Larder({command, "--help"});
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_THAT(help.out, HasSubstr("Example:\n"));
    EXPECT_THAT(help.out, HasSubstr("larder " + command));
    EXPECT_THAT(help.out, HasSubstr("--json"));
  }
  EXPECT_THAT(all.out, testing::Not(HasSubstr("crash")));
}

TEST(Usage, WhatIsNotThereEndsWith10) {
  const std::string directory = FreshDirectory();
  const std::string absent = directory + "/absent";
  const std::string archive = "dir:" + absent;
  const std::vector<std::vector<std::string>> commands = {
      {"stats", "--l2", absent},
      {"ls", "--l2", absent, "-n", "n"},
      {"get", "--l2", absent, "-n", "n", "k"},
      {"del", "--l2", absent, "-n", "n", "k"},
      {"export", "--l2", absent, "-n", "n", directory + "/out"},
      {"sweep", "--l2", absent},
      {"flush-namespace", "--l2", absent, "n"},
      {"backup", "--l2", absent, "--to", "dir:" + directory + "/archive"},
      {"verify", "--l2", absent},
      {"verify", "--from", archive},
      {"list", "--from", archive},
      {"show", archive, "s"},
      {"diff", archive, "a", "b"},
      {"prune", archive, "--keep-last", "1"},
      {"restore", "--from", archive, "--l2", directory + "/new"},
      {"import", "--l2", directory + "/new", "-n", "n", absent},
  };
  for (const auto& arguments : commands) {
    SCOPED_TRACE(absl::StrJoin(arguments, " "));
    const ProgramEnd end = Larder(arguments);
    EXPECT_EQ(end.exit_code, 10);
    EXPECT_THAT(end.err, HasSubstr(absent));
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory));
}

TEST(Usage, AbsentNamesInsideAnL2EndWith10) {
  const std::string l2 = FreshDirectory() + "/l2";
  ASSERT_EQ(Larder({"put", "--l2", l2, "-n", "here", "k"}, "v").exit_code, 0);
  EXPECT_EQ(Larder({"get", "--l2", l2, "-n", "here", "no"}).exit_code, 10);
  EXPECT_EQ(Larder({"del", "--l2", l2, "-n", "here", "no"}).exit_code, 10);
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"ls", "--l2", l2, "-n", "her"},
        std::vector<std::string>{"flush-namespace", "--l2", l2, "her"},
        std::vector<std::string>{"export", "--l2", l2, "-n", "her", l2 + "x"},
        std::vector<std::string>{"del", "--l2", l2, "-n", "her", "k"}}) {
    const ProgramEnd end = Larder(command);
    EXPECT_EQ(end.exit_code, 10);
    EXPECT_THAT(end.err, HasSubstr("here"));
  }
}

TEST(Usage, ALockedL2EndsWith11) {
  const std::string directory = FreshDirectory();
  const std::string l2 = directory + "/l2";
  cache::BlobCacheOptions options;
  options.l2_path = l2;
  auto holder = cache::BlobCache::Open(options);
  ASSERT_TRUE(holder.ok()) << holder.status();
  const std::vector<std::vector<std::string>> commands = {
      {"stats", "--l2", l2},
      {"put", "--l2", l2, "-n", "n", "k"},
      {"import", "--l2", l2, "-n", "n", "/etc/hostname"},
      {"backup", "--l2", l2, "--to", "dir:" + directory + "/archive"},
      {"verify", "--l2", l2},
  };
  for (const auto& arguments : commands) {
    SCOPED_TRACE(absl::StrJoin(arguments, " "));
    const ProgramEnd end = Larder(arguments);
    EXPECT_EQ(end.exit_code, 11);
    EXPECT_THAT(end.err, HasSubstr(l2));
  }
  holder->reset();
  EXPECT_EQ(Larder({"stats", "--l2", l2}).exit_code, 0);
}

TEST(Usage, WhatIsNotAnL2EndsWith1AndStaysAsItIs) {
  const std::string directory = FreshDirectory();
  WriteFile(directory + "/precious", "data");
  for (const std::string& place : {directory, directory + "/precious"}) {
    const ProgramEnd end = Larder({"put", "--l2", place, "-n", "n", "k"}, "v");
    EXPECT_EQ(end.exit_code, 1) << place;
    EXPECT_THAT(end.err, HasSubstr(place));
  }
  EXPECT_EQ(ReadFile(directory + "/precious"), "data");
}

TEST(Usage, RelativePathsAreTheUsersUnderBazelRun) {
  const std::string directory = FreshDirectory();
  WriteFile(directory + "/file", "x");
  // As `bazel run` starts it: elsewhere, in runfiles, with this variable.
  const ProgramEnd end =
      Program(
          {"/bin/sh", "-c",
           absl::StrCat("here=$PWD; mkdir -p ", directory, "/a.runfiles/w; cd ",
                        directory,
                        "/a.runfiles/w; BUILD_WORKING_DIRECTORY=", directory,
                        " \"$here/tools/larder\" import --l2 l2 -n n file")})
          .Wait();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_TRUE(std::filesystem::is_directory(directory + "/l2"));
}

}  // namespace
}  // namespace larder::tests
