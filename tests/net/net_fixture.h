// A primary's host and a replica's, with a wire between them.
#ifndef LARDER_TESTS_NET_NET_FIXTURE_H_
#define LARDER_TESTS_NET_NET_FIXTURE_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/program.h"
#include "tests/cli/replica_program.h"
#include "tests/net/hosts.h"
#include "tests/net/wire.h"
#include "tests/support/seeded.h"

namespace larder::tests {

class NetFixture : public ::testing::Test {
 protected:
  // Skips the test where the kernel, or a sandbox, allows no namespaces.
  void SetUp() override {
    static const absl::Status entered = EnterOwnUserNamespace();
    if (!entered.ok()) GTEST_SKIP() << entered;
    for (const char* address : {"10.77.0.1", "10.77.0.2"}) {
      auto host = Host::Create(address);
      if (!host.ok()) GTEST_SKIP() << host.status();
      hosts_.push_back(*std::move(host));
    }
    wire_ = std::make_unique<Wire>(hosts_[0].wire_fd(), hosts_[1].wire_fd(),
                                   SeedOr(1));
    directory_ = FreshDirectory();
    WriteFile(At("value"), "value");
    ASSERT_EQ(Larder({"put", "--l2", At("l2"), "-n", "ns", "key", At("value")})
                  .exit_code,
              0);
    hosts_[1].Run([this] {
      replica_ = std::make_unique<ReplicaProgram>(
          At("archive"), absl::StrCat(hosts_[1].address(), ":7070"),
          std::vector<std::string>{"--insecure"});
    });
  }

  std::string At(const std::string& name) const {
    return directory_ + "/" + name;
  }
  // Starts a backup of `megabytes` that do not compress.
  void StartBackup(unsigned megabytes) {
    for (unsigned i = 0; i < megabytes; ++i) {
      WriteFile(absl::StrCat(At("files"), "/", i), RandomBytes(1 << 20, i));
    }
    started_ = std::chrono::steady_clock::now();
    hosts_[0].Run([this] {
      backup_ = std::make_unique<Program>(std::vector<std::string>{
          LarderPath(), "backup", "--l2", At("l2"), "--files", At("files"),
          "--to", replica_->place(), "--insecure", "--json"});
    });
  }
  // Waits for its end. Returns: its exit code.
  int AwaitBackup() {
    const ProgramEnd end = backup_->Wait();
    seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                             started_)
                   .count();
    std::printf(
        "exit code %d after %.1f s; %lld packets, %lld bytes sent, "
        "%lld lost\n%s",
        end.exit_code, seconds_, Number(forth().packets), Number(forth().bytes),
        Number(forth().lost), end.err.c_str());
    return end.exit_code;
  }
  Wire::Counts forth() { return wire_->counts(Wire::kForth); }
  // The archive has the dump, whole, and it restores to the files.
  void ExpectWhole() {
    const ProgramEnd verify =
        Larder({"verify", "--from", "dir:" + At("archive")});
    EXPECT_EQ(verify.exit_code, 0) << verify.err;
    EXPECT_THAT(verify.out + verify.err,
                ::testing::Not(::testing::HasSubstr("leftover")));
    const ProgramEnd restore =
        Larder({"restore", "--from", "dir:" + At("archive"), "--files",
                At("restored")});
    EXPECT_EQ(restore.exit_code, 0) << restore.err;
    EXPECT_EQ(
        Program({"diff", "-r", At("files"), At("restored")}).Wait().exit_code,
        0);
  }
  void ExpectNoSnapshot() {
    const ProgramEnd list = Larder({"list", "--from", "dir:" + At("archive")});
    EXPECT_THAT(list.out, ::testing::Not(::testing::HasSubstr("files")));
  }
  static long long Number(int64_t n) { return n; }

  std::vector<Host> hosts_;  // The primary's, the replica's.
  std::unique_ptr<Wire> wire_;
  std::string directory_;
  std::unique_ptr<ReplicaProgram> replica_;
  std::unique_ptr<Program> backup_;
  std::chrono::steady_clock::time_point started_;
  double seconds_ = 0;  // That the backup took.
};

}  // namespace larder::tests

#endif  // LARDER_TESTS_NET_NET_FIXTURE_H_
