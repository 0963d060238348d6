#include "replication/credentials.h"

#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "backup/private_file_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::replication {
namespace {

using backup::WriteFileWithMode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(CredentialsTest, TokensAreLinesOfAPrivateFile) {
  const auto tokens = ReadTokenFile(WriteFileWithMode(
      "t1", "# of 2026\n\n  aaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbbbb\n", 0600));
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_THAT(*tokens, ElementsAre("aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbb"));
  const absl::Status open =
      ReadTokenFile(WriteFileWithMode("t2", "aaaaaaaaaaaaaaaa\n", 0640))
          .status();
  EXPECT_EQ(open.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(open.message()), HasSubstr("chmod 600"));
  const absl::Status brief =
      ReadTokenFile(WriteFileWithMode("t3", "hunter2\n", 0600)).status();
  EXPECT_EQ(brief.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(brief.message()), Not(HasSubstr("hunter2")));
  EXPECT_FALSE(ReadTokenFile(WriteFileWithMode("t4", "\n#x\n", 0600)).ok());
  EXPECT_FALSE(
      ReadTokenFile(WriteFileWithMode("t5", "aaaaaaaa aaaaaaaaa", 0600)).ok());
  EXPECT_EQ(ReadTokenFile("/absent").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadPemFile(
                WriteFileWithMode("t6", std::string((1 << 20) + 1, 'x'), 0600))
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(CredentialsTest, FindsATokenAndNamesItWithoutTellingIt) {
  const BearerTokens tokens({"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"});
  const auto a = tokens.Find("Bearer aaaaaaaaaaaaaaaa");
  const auto b = tokens.Find("Bearer bbbbbbbbbbbbbbbb");
  ASSERT_TRUE(a.has_value() && b.has_value());
  EXPECT_NE(*a, *b);
  EXPECT_THAT(*a, StartsWith("token:"));
  EXPECT_THAT(*a, Not(HasSubstr("aaaaaaaa")));
  for (const char* wrong :
       {"", "Bearer ", "Bearer aaaaaaaaaaaaaaa", "bearer aaaaaaaaaaaaaaaa",
        "aaaaaaaaaaaaaaaa", "Bearer aaaaaaaaaaaaaaaab"}) {
    EXPECT_FALSE(tokens.Find(wrong).has_value()) << wrong;
  }
  EXPECT_FALSE(BearerTokens().Find("Bearer ").has_value());
}

TEST(CredentialsTest, BeyondLoopbackBothAreNeeded) {
  const Endpoint loopback = *ParseEndpoint("127.0.0.1:1");
  const Endpoint open = *ParseEndpoint("0.0.0.0:1");
  EXPECT_TRUE(CheckListen(loopback, false, false, false).ok());
  EXPECT_TRUE(CheckListen(open, true, true, false).ok());
  EXPECT_TRUE(CheckListen(open, false, false, true).ok());
  for (const bool tls : {false, true}) {
    const absl::Status status = CheckListen(open, tls, !tls, false);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("--insecure"));
  }
  EXPECT_TRUE(CheckConnect(loopback, false, false).ok());
  EXPECT_TRUE(CheckConnect(open, true, false).ok());
  EXPECT_TRUE(CheckConnect(open, false, true).ok());
  EXPECT_EQ(CheckConnect(open, false, false).code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace larder::replication
