// Sealed backups, as users make and read them.

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backup/key_file.h"
#include "backup/lazy_restore.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/program.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

constexpr char kBlob[] = "a blob that is not to be seen on the archive's disk";

class Sealed : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = FreshDirectory();
    l2_ = At("l2");
    archive_ = "dir:" + At("archive");
    keys_ = KeyFile("keys", {'a'});
    ASSERT_EQ(Larder({"put", "--l2", l2_, "-n", "pages", "secret-name"}, kBlob)
                  .exit_code,
              0);
    WriteFile(At("tree/secret-file"), kBlob);
  }
  std::string At(const std::string& name) const {
    return directory_ + "/" + name;
  }
  // Of keys of 64 equal digits.
  std::string KeyFile(const std::string& name, std::vector<char> digits) {
    std::string text = "# keys\n";
    for (const char digit : digits) {
      absl::StrAppend(&text, std::string(64, digit), "\n");
    }
    WriteFile(At(name), text);
    EXPECT_EQ(::chmod(At(name).c_str(), 0600), 0);
    return At(name);
  }
  ProgramEnd Backup(const std::string& keys) {
    return Larder({"backup", "--l2", l2_, "--include-blob-cache", "--files",
                   At("tree"), "--to", archive_, "--key-file", keys, "--json"});
  }
  // Expects an error that tells the key's ID, and nothing of any key.
  static void ExpectLocked(const ProgramEnd& end) {
    EXPECT_EQ(end.exit_code, 1) << end.out << end.err;
    EXPECT_THAT(end.err, HasSubstr("sealed with key ID"));
    EXPECT_THAT(end.err, Not(HasSubstr("aaaaaaaa")));
  }

  std::string directory_, l2_, archive_, keys_;
};

TEST_F(Sealed, RoundTrip) {
  const ProgramEnd backup = Backup(keys_);
  ASSERT_EQ(backup.exit_code, 0) << backup.err;
  EXPECT_THAT(backup.out, HasSubstr("\"key_id\":\""));
  EXPECT_THAT(backup.out + backup.err, Not(HasSubstr("aaaaaaaa")));
  const std::string id = LastJson(backup.out).snapshot();
  for (const auto& entry : fs::recursive_directory_iterator(At("archive"))) {
    if (!entry.is_regular_file()) continue;
    const std::string bytes = ReadFile(entry.path().string());
    EXPECT_THAT(bytes, Not(HasSubstr("secret")));
    EXPECT_THAT(bytes, Not(HasSubstr("a blob")));
  }

  // Without a key.
  EXPECT_EQ(Larder({"list", "--from", archive_}).exit_code, 0);
  const ProgramEnd show = Larder({"show", archive_, id});
  EXPECT_THAT(show.out, HasSubstr("sealed"));
  const ProgramEnd verify = Larder({"verify", "--from", archive_});
  EXPECT_EQ(verify.exit_code, 0) << verify.err;
  EXPECT_THAT(verify.out, HasSubstr("not opened   " + id));
  EXPECT_THAT(verify.out, HasSubstr("sealed with key ID"));
  EXPECT_THAT(verify.out, Not(HasSubstr("sound")));
  ExpectLocked(Larder({"restore", "--from", archive_, "--l2", At("new")}));
  ExpectLocked(Larder({"restore", "--from", archive_, "--l2", At("new"),
                       "--key-file", KeyFile("other", {'b'})}));
  ExpectLocked(Larder(
      {"restore", "--dry-run", "--from", archive_, "--files", At("out")}));
  ExpectLocked(
      Larder({"restore", "--lazy", "--from", archive_, "--l2", At("new")}));
  ExpectLocked(Larder({"diff", archive_, id, id}));
  EXPECT_FALSE(fs::exists(At("new")));

  // With it.
  const ProgramEnd opened =
      Larder({"verify", "--from", archive_, "--key-file", keys_});
  EXPECT_EQ(opened.exit_code, 0) << opened.err;
  EXPECT_THAT(opened.out, HasSubstr("1 blob, 1 file"));
  EXPECT_EQ(Larder({"diff", archive_, id, id, "--key-file", keys_}).exit_code,
            0);
  const ProgramEnd restore =
      Larder({"restore", "--from", archive_, "--l2", At("new"), "--files",
              At("out"), "--key-file", keys_});
  EXPECT_EQ(restore.exit_code, 0) << restore.err;
  EXPECT_EQ(ReadFile(At("out/secret-file")), kBlob);
  EXPECT_EQ(
      Larder({"get", "--l2", At("new"), "-n", "pages", "secret-name"}).out,
      kBlob);
  const ProgramEnd lazy = Larder({"restore", "--lazy", "--from", archive_,
                                  "--l2", At("lazy"), "--key-file", keys_});
  EXPECT_EQ(lazy.exit_code, 0) << lazy.err;
  EXPECT_EQ(
      Larder({"get", "--l2", At("lazy"), "-n", "pages", "secret-name"}).out,
      kBlob);
}

// Not damage, nor a verdict in place of one by who could look inside.
TEST_F(Sealed, VerifyWithoutTheKeySaysSo) {
  ASSERT_EQ(Backup(keys_).exit_code, 0);
  const std::string other = KeyFile("other", {'b'});
  const auto verify = [this](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"verify", "--from", archive_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Larder(arguments);
  };
  const auto listed = [this] {
    return Larder({"list", "--from", archive_}).out;
  };
  const ProgramEnd foreign = verify({"--key-file", other});
  EXPECT_EQ(foreign.exit_code, 3) << foreign.err;
  EXPECT_THAT(foreign.err, HasSubstr("not opened: snapshot "));
  EXPECT_THAT(foreign.err, HasSubstr("sealed with key ID"));
  EXPECT_THAT(foreign.out, HasSubstr("not opened   "));
  EXPECT_THAT(foreign.out + foreign.err, Not(HasSubstr("DAMAGED")));
  EXPECT_THAT(listed(), HasSubstr("sample 20"));
  EXPECT_THAT(listed(), Not(HasSubstr("DAMAGED")));
  const ProgramEnd json = verify({"--key-file", other, "--json"});
  EXPECT_EQ(json.exit_code, 3);
  EXPECT_FALSE(LastJson(json.out).clean());
  EXPECT_THAT(json.out, HasSubstr("\"sound\":false"));
  EXPECT_THAT(json.out, HasSubstr("\"opened\":false"));
  EXPECT_THAT(json.out, HasSubstr("\"key_id_needed\":\""));

  ASSERT_EQ(verify({"--key-file", keys_}).exit_code, 0);
  EXPECT_THAT(listed(), HasSubstr("full 20"));
  EXPECT_EQ(verify({}).exit_code, 0);
  EXPECT_EQ(verify({"--key-file", other}).exit_code, 3);
  EXPECT_THAT(listed(), HasSubstr("full 20"));

  // What is damaged needs no key to be found so.
  for (const auto& pack : fs::directory_iterator(At("archive/packs"))) {
    FlipByte(pack.path().string(), 300);
  }
  for (const std::vector<std::string>& keys :
       {std::vector<std::string>(), {"--key-file", other}}) {
    const ProgramEnd damaged = verify(keys);
    EXPECT_EQ(damaged.exit_code, 12) << damaged.err;
    EXPECT_THAT(damaged.out, HasSubstr("DAMAGED"));
    EXPECT_THAT(listed(), HasSubstr("DAMAGED"));
  }
  // That what was found with the key is mended shows only with the key.
  EXPECT_EQ(verify({"--key-file", keys_}).exit_code, 12);
  for (const auto& pack : fs::directory_iterator(At("archive/packs"))) {
    FlipByte(pack.path().string(), 300);
  }
  const ProgramEnd known = verify({"--json"});
  EXPECT_EQ(known.exit_code, 12);
  EXPECT_FALSE(LastJson(known.out).clean());
  EXPECT_THAT(known.err, HasSubstr("--key-file looks again"));
  EXPECT_THAT(listed(), HasSubstr("DAMAGED"));
  EXPECT_EQ(verify({"--key-file", keys_}).err, "");
  EXPECT_THAT(listed(), Not(HasSubstr("DAMAGED")));
}

// Who gives keys may take what is sound for what was backed up.
TEST_F(Sealed, VerifyWithKeysTellsWhatIsInTheClear) {
  ASSERT_EQ(
      Larder({"backup", "--l2", l2_, "--include-blob-cache", "--to", archive_})
          .exit_code,
      0);
  const std::string clear = "; in the clear";
  EXPECT_THAT(Larder({"verify", "--from", archive_}).out,
              Not(HasSubstr(clear)));
  for (const std::string mode : {"--full", "--quick"}) {
    const ProgramEnd verify =
        Larder({"verify", "--from", archive_, mode, "--key-file", keys_});
    EXPECT_EQ(verify.exit_code, 0) << verify.err;
    EXPECT_THAT(verify.out, HasSubstr("sound"));
    EXPECT_THAT(verify.out, HasSubstr(clear));
  }
  EXPECT_THAT(Larder({"verify", "--from", archive_, "--json"}).out,
              HasSubstr("\"in_the_clear\":true"));
  // A sealed delta on it is not.
  ASSERT_EQ(Backup(keys_).exit_code, 0);
  const ProgramEnd both =
      Larder({"verify", "--from", archive_, "--key-file", keys_});
  EXPECT_EQ(both.exit_code, 0) << both.err;
  EXPECT_NE(both.out.find(clear), std::string::npos) << both.out;
  EXPECT_EQ(both.out.find(clear), both.out.rfind(clear)) << both.out;
}

// Somebody began a lazy restore, and was killed at once.
TEST_F(Sealed, AnL2ThatHydratesFetchesWithTheKey) {
  ASSERT_EQ(Backup(keys_).exit_code, 0);
  {
    backup::LazyRestoreOptions options;
    options.archives = {At("archive")};
    options.cache.l2_path = At("lazy");
    options.keys = *backup::ReadKeyFile(keys_);
    const auto lazy = backup::LazyRestore::Open(options);
    ASSERT_TRUE(lazy.ok()) << lazy.status();
  }
  const std::vector<std::string> get = {"get", "--l2",  At("lazy"),
                                        "-n",  "pages", "secret-name"};
  ExpectLocked(Larder(get));
  std::vector<std::string> with_key = get;
  with_key.insert(with_key.end(), {"--key-file", keys_});
  EXPECT_EQ(Larder(with_key).out, kBlob);
}

TEST_F(Sealed, AKeyIsReplacedByPuttingANewOneFirst) {
  ASSERT_EQ(Backup(keys_).exit_code, 0);
  const std::string both = KeyFile("both", {'b', 'a'});
  ASSERT_EQ(
      Larder({"put", "--l2", l2_, "-n", "pages", "more"}, "more").exit_code, 0);
  // A delta under the new key on a full dump under the old one.
  ASSERT_EQ(Backup(both).exit_code, 0);
  ExpectLocked(Larder({"restore", "--from", archive_, "--l2", At("new"),
                       "--key-file", KeyFile("only", {'b'})}));
  const ProgramEnd restore = Larder(
      {"restore", "--from", archive_, "--l2", At("new"), "--key-file", both});
  EXPECT_EQ(restore.exit_code, 0) << restore.err;
  EXPECT_EQ(Larder({"get", "--l2", At("new"), "-n", "pages", "more"}).out,
            "more");
}

TEST_F(Sealed, ABackupInTheClearBehindASealedOneIsTold) {
  const std::vector<std::string> clear = {
      "backup", "--l2",   l2_,     "--include-blob-cache",
      "--to",   archive_, "--json"};
  std::vector<std::string> full = clear;
  full.push_back("--full");
  const std::string told = "is in the clear beside sealed ones of the same";
  const auto expect = [&](const ProgramEnd& end, bool tells) {
    EXPECT_EQ(end.exit_code, 0) << end.err;
    EXPECT_THAT(end.out, HasSubstr(absl::StrCat("\"sealed_before\":",
                                                tells ? "true" : "false")));
    if (tells) {
      EXPECT_THAT(end.err, HasSubstr(told));
      EXPECT_THAT(end.err, HasSubstr("--key-file"));
    } else {
      EXPECT_THAT(end.err, Not(HasSubstr(told)));
    }
  };
  expect(Larder(clear), false);
  const ProgramEnd sealed = Backup(keys_);
  EXPECT_EQ(sealed.exit_code, 0);
  EXPECT_THAT(sealed.err, Not(HasSubstr(told)));
  expect(Larder(clear), true);
  // And each time, not only the first.
  expect(Larder(clear), true);
  ASSERT_EQ(Backup(keys_).exit_code, 0);
  expect(Larder(full), true);
  // Another cache in the same archive was never sealed.
  ASSERT_EQ(Backup(keys_).exit_code, 0);
  ASSERT_EQ(Larder({"put", "--l2", At("other"), "-n", "pages", "name"}, "x")
                .exit_code,
            0);
  expect(Larder({"backup", "--l2", At("other"), "--include-blob-cache", "--to",
                 archive_, "--json"}),
         false);
  expect(Larder(clear), true);
}

// No delta can build on the last of a full chain, and it is not folded.
TEST_F(Sealed, ABackupInTheClearBehindAFullChainIsTold) {
  for (int i = 0; i < 9; ++i) {
    ASSERT_EQ(
        Larder({"put", "--l2", l2_, "-n", "pages", "more"}, absl::StrCat(i))
            .exit_code,
        0);
    ASSERT_EQ(Backup(keys_).exit_code, 0);
  }
  const ProgramEnd clear =
      Larder({"backup", "--l2", l2_, "--include-blob-cache", "--to", archive_});
  EXPECT_EQ(clear.exit_code, 0) << clear.err;
  EXPECT_THAT(clear.err, HasSubstr("is in the clear"));
}

TEST_F(Sealed, AKeyFileIsPrivateAndWellFormed) {
  ASSERT_EQ(::chmod(keys_.c_str(), 0644), 0);
  const ProgramEnd open = Backup(keys_);
  EXPECT_EQ(open.exit_code, 1);
  EXPECT_THAT(open.err, HasSubstr("chmod 600"));
  WriteFile(keys_, "aaaaaaaa\n");
  ASSERT_EQ(::chmod(keys_.c_str(), 0600), 0);
  const ProgramEnd brief = Backup(keys_);
  EXPECT_NE(brief.exit_code, 0);
  EXPECT_THAT(brief.err, HasSubstr("line 1"));
  EXPECT_THAT(brief.err, Not(HasSubstr("aaaaaaaa")));
  EXPECT_FALSE(fs::exists(At("archive")));
}

}  // namespace
}  // namespace larder::tests
