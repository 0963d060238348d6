// Backups to replicas, as users run them: on the network of this machine.

#include <signal.h>
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replication/endpoint.h"
#include "replication/tcp_proxy.h"
#include "tests/cli/program.h"
#include "tests/cli/replica_program.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

using Replica = ReplicaProgram;

// What is moved away meanwhile counts, or not.
int64_t BytesBelow(const std::string& directory) {
  int64_t bytes = 0;
  std::error_code error;
  fs::recursive_directory_iterator entry(directory, error);
  for (; !error && entry != fs::recursive_directory_iterator();
       entry.increment(error)) {
    std::error_code gone;
    const uintmax_t size = entry->file_size(gone);
    if (!gone) bytes += static_cast<int64_t>(size);
  }
  return bytes;
}

class ReplicaTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = FreshDirectory();
    WriteFile(At("value"), RandomBytes(500'000, 1));
    ASSERT_EQ(Larder({"put", "--l2", At("l2"), "-n", "ns", "key", At("value")})
                  .exit_code,
              0);
  }
  std::string At(const std::string& name) const {
    return directory_ + "/" + name;
  }
  ProgramEnd Backup(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"backup", "--l2", At("l2"),
                                          "--include-blob-cache", "--json"};
    for (std::string& argument : more) arguments.push_back(std::move(argument));
    return Larder(arguments);
  }
  void ExpectWhole(const std::string& archive) {
    const ProgramEnd verify = Larder({"verify", "--from", "dir:" + archive});
    EXPECT_EQ(verify.exit_code, 0) << verify.err;
    EXPECT_THAT(verify.out + verify.err, Not(HasSubstr("leftover")));
  }

  std::string directory_;
};

TEST_F(ReplicaTest, ABackupOverTheNetworkIsRestored) {
  Replica one(At("one"), "127.0.0.1:0");
  Replica two(At("two"), "127.0.0.1:0");
  const ProgramEnd backup = Backup(
      {"--to", one.place(), "--to", "dir:" + At("three"), "--to", two.place()});
  ASSERT_EQ(backup.exit_code, 0) << backup.err;
  EXPECT_THAT(backup.out, HasSubstr(one.place()));
  EXPECT_THAT(backup.out, HasSubstr("\"acknowledged\":3"));
  for (const char* archive : {"one", "two", "three"}) ExpectWhole(At(archive));
  EXPECT_EQ(
      Larder({"restore", "--from", "dir:" + At("one"), "--l2", At("restored")})
          .exit_code,
      0);
  EXPECT_EQ(Larder({"get", "--l2", At("restored"), "-n", "ns", "key"}).out,
            ReadFile(At("value")));
  const ProgramEnd end = one.End(SIGTERM);
  EXPECT_EQ(end.exit_code, 0) << end.err;
}

TEST_F(ReplicaTest, AQuorumIsEnoughAndALostReplicaIsTold) {
  Replica alive(At("alive"), "127.0.0.1:0");
  std::string dead;
  {
    Replica replica(At("dead"), "127.0.0.1:0");
    dead = replica.place();
    replica.End(SIGKILL);
  }
  const ProgramEnd all = Backup({"--to", alive.place(), "--to", dead});
  EXPECT_EQ(all.exit_code, 3) << all.err;
  EXPECT_THAT(all.err, HasSubstr(dead));
  const ProgramEnd quorum =
      Backup({"--to", alive.place(), "--to", dead, "--quorum", "1"});
  EXPECT_EQ(quorum.exit_code, 0) << quorum.err;
  EXPECT_THAT(quorum.err, HasSubstr(dead));
  EXPECT_THAT(quorum.out, HasSubstr("\"acknowledged\":1"));
  EXPECT_EQ(Backup({"--to", dead}).exit_code, 11);
  EXPECT_EQ(Backup({"--to", alive.place(), "--quorum", "2"}).exit_code, 2);
  EXPECT_EQ(Backup({"--to", alive.place(), "--to", alive.place()}).exit_code,
            2);
  ExpectWhole(At("alive"));
}

TEST_F(ReplicaTest, OneReplicaUnderTwoAddressesIsOneCopy) {
  Replica replica(At("replica"), "127.0.0.1:0");
  const auto endpoint = replication::ParseEndpoint(replica.address());
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  // The other address.
  replication::TcpProxy proxy(endpoint->port, [] { return int64_t{-1}; });
  const ProgramEnd twice = Backup(
      {"--to", replica.place(), "--to",
       absl::StrCat("grpc://127.0.0.1:", proxy.port()), "--quorum", "2"});
  EXPECT_EQ(twice.exit_code, 3) << twice.err;
  EXPECT_THAT(twice.err, HasSubstr("leads to the same one"));
  EXPECT_THAT(twice.out, HasSubstr("\"acknowledged\":1"));
  ExpectWhole(At("replica"));
}

TEST_F(ReplicaTest, AnOldPrimaryIsFenced) {
  Replica replica(At("archive"), "127.0.0.1:0");
  ASSERT_EQ(Backup({"--to", replica.place(), "--term", "2"}).exit_code, 0);
  EXPECT_EQ(Backup({"--to", replica.place(), "--term", "4611686018427387905"})
                .exit_code,
            2);
  const ProgramEnd old = Backup({"--to", replica.place(), "--term", "1"});
  EXPECT_EQ(old.exit_code, 13);
  EXPECT_THAT(old.err, HasSubstr("term 1 vs 2"));
  EXPECT_THAT(old.err, HasSubstr("stop this one"));
  // Whatever others say, and after a restart of the replica.
  replica.End(SIGKILL);
  Replica again(At("archive"), replica.address());
  EXPECT_EQ(Backup({"--to", again.place(), "--to", "dir:" + At("other"),
                    "--quorum", "1"})
                .exit_code,
            13);
}

TEST_F(ReplicaTest, TokensComeFromFiles) {
  WriteFile(At("token"), "the-token-of-this-test\n");
  WriteFile(At("wrong"), "another-token-of-this-test\n");
  for (const char* name : {"token", "wrong"}) {
    ASSERT_EQ(chmod(At(name).c_str(), 0600), 0);
  }
  Replica replica(At("archive"), "127.0.0.1:0", {"--token-file", At("token")});
  EXPECT_EQ(
      Backup({"--to", replica.place(), "--token-file", At("token")}).exit_code,
      0);
  EXPECT_EQ(
      Backup({"--to", replica.place(), "--token-file", At("wrong")}).exit_code,
      1);
  EXPECT_EQ(Backup({"--to", replica.place()}).exit_code, 1);
  ASSERT_EQ(chmod(At("token").c_str(), 0644), 0);
  const ProgramEnd open =
      Backup({"--to", replica.place(), "--token-file", At("token")});
  EXPECT_EQ(open.exit_code, 1);
  EXPECT_THAT(open.err, HasSubstr("chmod 600"));
}

TEST_F(ReplicaTest, ListensBeyondThisMachineOnlyWithTlsAndToken) {
  const ProgramEnd refused =
      Larder({"replica", "--listen", "0.0.0.0:0", "--archive", At("archive")});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("--insecure"));
  EXPECT_FALSE(fs::exists(At("archive")));
  const ProgramEnd sent = Backup({"--to", "grpc://192.0.2.1:7070"});
  EXPECT_EQ(sent.exit_code, 1);
  EXPECT_THAT(sent.err, HasSubstr("--insecure"));
  Replica open(At("archive"), "0.0.0.0:0", {"--insecure"});
  EXPECT_EQ(open.End(SIGINT).exit_code, 0);
}

TEST_F(ReplicaTest, ASecondReplicaOfAnArchiveIsRefused) {
  Replica replica(At("archive"), "127.0.0.1:0");
  const ProgramEnd second = Larder(
      {"replica", "--listen", "127.0.0.1:0", "--archive", At("archive")});
  EXPECT_EQ(second.exit_code, 11);
  EXPECT_THAT(second.err, HasSubstr("another replica"));
}

// The replica dies, again and again, once some more of the dump is there.
TEST_F(ReplicaTest, TheReplicaIsKilledWhileItReceives) {
  for (unsigned i = 0; i < 40; ++i) {
    WriteFile(absl::StrCat(At("files"), "/", i), RandomBytes(1 << 20, i));
  }
  auto replica = std::make_unique<Replica>(At("archive"), "127.0.0.1:0");
  const std::string address = replica->address();
  Program backup({LarderPath(), "backup", "--l2", At("l2"),
                  "--include-blob-cache", "--files", At("files"), "--to",
                  replica->place(), "--to", "dir:" + At("other")});
  int kills = 0;
  int64_t next = 2 << 20;
  while (!backup.Ended()) {
    if (BytesBelow(At("archive/incoming")) < next) {
      std::this_thread::yield();
      continue;
    }
    EXPECT_EQ(replica->End(SIGKILL).signal, SIGKILL);
    ++kills;
    next += 8 << 20;
    replica = std::make_unique<Replica>(At("archive"), address);
  }
  const ProgramEnd end = backup.Wait();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_GE(kills, 3);
  ExpectWhole(At("archive"));
  // Both have the same packs.
  const std::string both[] = {At("archive/packs"), At("other/packs")};
  EXPECT_EQ(BytesBelow(both[0]), BytesBelow(both[1]));
  EXPECT_EQ(Program({"diff", "-r", both[0], both[1]}).Wait().exit_code, 0);
}

// A live replica.
Replica Live(const std::string& l2) {
  return Replica(l2, "127.0.0.1:0", {}, "--l2");
}

TEST_F(ReplicaTest, ALiveReplicaServesWhatItWasGiven) {
  Replica replica = Live(At("live"));
  const std::vector<std::string> get = {"get", "--from", replica.place(),
                                        "-n",  "ns",     "key"};
  EXPECT_EQ(Larder(get).exit_code, 11);  // Nothing is there yet.
  ASSERT_EQ(Backup({"--to", replica.place()}).exit_code, 0);
  EXPECT_EQ(Larder(get).out, ReadFile(At("value")));
  EXPECT_EQ(Larder({"get", "--from", replica.place(), "-n", "ns", "absent"})
                .exit_code,
            10);
  WriteFile(At("value"), "changed");
  ASSERT_EQ(Larder({"put", "--l2", At("l2"), "-n", "ns", "key", At("value")})
                .exit_code,
            0);
  const ProgramEnd delta = Backup({"--to", replica.place()});
  ASSERT_EQ(delta.exit_code, 0) << delta.err;
  EXPECT_EQ(Larder(get).out, "changed");
  const ProgramEnd end = replica.End(SIGTERM);
  EXPECT_EQ(end.exit_code, 0) << end.err;
  // An archive's replica answers no reads.
  Replica archive(At("archive"), "127.0.0.1:0");
  const ProgramEnd refused =
      Larder({"get", "--from", archive.place(), "-n", "ns", "key"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("larder replica --l2"));
}

TEST_F(ReplicaTest, ALiveReplicaIsPromotedAndTheOldPrimaryFenced) {
  Replica other = Live(At("other"));
  {
    Replica replica = Live(At("live"));
    ASSERT_EQ(
        Backup({"--to", replica.place(), "--to", other.place()}).exit_code, 0);
    const ProgramEnd running = Larder({"promote", "--l2", At("live")});
    EXPECT_EQ(running.exit_code, 11) << running.err;
    EXPECT_THAT(running.err, HasSubstr("stop"));
    ASSERT_EQ(replica.End(SIGKILL).signal, SIGKILL);
  }
  WriteFile(At("value2"), "new");
  const std::vector<std::string> put = {"put", "--l2", At("live"),  "-n",
                                        "ns",  "new",  At("value2")};
  const ProgramEnd refused = Larder(put);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("larder promote"));
  const ProgramEnd promoted = Larder({"promote", "--l2", At("live"), "--json"});
  ASSERT_EQ(promoted.exit_code, 0) << promoted.err;
  EXPECT_THAT(promoted.out, HasSubstr("\"term\":\"2\""));
  ASSERT_EQ(Larder(put).exit_code, 0);
  EXPECT_EQ(Larder({"get", "--l2", At("live"), "-n", "ns", "key"}).out,
            ReadFile(At("value")));
  // Its term goes with it.
  const ProgramEnd forward =
      Larder({"backup", "--l2", At("live"), "--include-blob-cache", "--to",
              other.place()});
  ASSERT_EQ(forward.exit_code, 0) << forward.err;
  // Whatever the L2 is called by then.
  std::filesystem::create_symlink(At("live"), At("link"));
  for (const std::string& path :
       {At("link"), At("live") + "/.", At("./live/")}) {
    const ProgramEnd same =
        Larder({"backup", "--l2", path, "--include-blob-cache", "--to",
                other.place()});
    EXPECT_EQ(same.exit_code, 0) << path << same.err;
  }
  const ProgramEnd late = Backup({"--to", other.place()});
  EXPECT_EQ(late.exit_code, 13);
  EXPECT_THAT(late.err, HasSubstr("larder replica --l2"));
  EXPECT_EQ(Larder({"get", "--from", other.place(), "-n", "ns", "new"}).out,
            "new");
  const ProgramEnd again =
      Larder({"replica", "--listen", "127.0.0.1:0", "--l2", At("live")});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, HasSubstr("a primary's L2"));
  EXPECT_EQ(Larder({"promote", "--l2", At("live")}).exit_code, 1);
  EXPECT_EQ(Larder({"promote", "--l2", At("l2")}).exit_code, 1);
}

TEST_F(ReplicaTest, ARoleIsGivenAndOnlyOne) {
  EXPECT_EQ(Larder({"replica", "--listen", "127.0.0.1:0"}).exit_code, 2);
  const ProgramEnd both = Larder({"replica", "--listen", "127.0.0.1:0", "--l2",
                                  At("live"), "--archive", At("archive")});
  EXPECT_EQ(both.exit_code, 2);
  EXPECT_THAT(both.err, HasSubstr("excludes"));
  EXPECT_EQ(Larder({"get", "-n", "ns", "key"}).exit_code, 2);
}

TEST_F(ReplicaTest, SealedBackupsNeedTheKeyWhereTheyAreApplied) {
  const std::string keys = At("keys");
  WriteFile(keys, std::string(64, 'a') + "\n");
  ASSERT_EQ(::chmod(keys.c_str(), 0600), 0);
  Replica archive(At("archive"), "127.0.0.1:0");
  Replica open(At("open"), "127.0.0.1:0", {"--key-file", keys}, "--l2");
  Replica locked(At("locked"), "127.0.0.1:0", {}, "--l2");
  const ProgramEnd sent =
      Backup({"--to", archive.place(), "--to", open.place(), "--to",
              locked.place(), "--quorum", "2", "--key-file", keys});
  EXPECT_EQ(sent.exit_code, 0) << sent.err;
  EXPECT_THAT(sent.err, HasSubstr("sealed with key ID"));
  EXPECT_EQ(Larder({"get", "--from", open.place(), "-n", "ns", "key"}).out,
            ReadFile(At("value")));
  ExpectWhole(At("archive"));
  EXPECT_EQ(Larder({"restore", "--from", "dir:" + At("archive"), "--l2",
                    At("new"), "--key-file", keys})
                .exit_code,
            0);
  // Without the key: taken, and told.
  const ProgramEnd clear = Backup({"--to", archive.place()});
  EXPECT_EQ(clear.exit_code, 0) << clear.err;
  EXPECT_THAT(clear.err, HasSubstr("is in the clear"));
  EXPECT_EQ(Larder({"replica", "--listen", "127.0.0.1:0", "--archive",
                    At("other"), "--key-file", keys})
                .exit_code,
            2);
}

}  // namespace
}  // namespace larder::tests
