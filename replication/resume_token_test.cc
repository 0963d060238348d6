#include "replication/resume_token.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::replication {
namespace {

using cache::l2::SimulatedDisk;
using ::testing::HasSubstr;

ResumeBinding Binding() {
  return {.peer = "cert:primary",
          .lineage = "lineage",
          .snapshot_id = "20261126T000000Z-00000001",
          .stream_id = 42};
}

TEST(ResumeTokenTest, GoldenBytes) {
  const ResumeTokens tokens(std::string(32, 'k'));
  const std::string token = tokens.Issue(Binding(), 0x0102030405060708);
  ASSERT_EQ(token.size(), kResumeTokenBytes);
  EXPECT_EQ(token.substr(0, 9), "\x01\x08\x07\x06\x05\x04\x03\x02\x01");
}

TEST(ResumeTokenTest, HoldsUntilItExpires) {
  const ResumeTokens tokens(std::string(32, 'k'));
  const std::string token = tokens.Issue(Binding(), 1000);
  EXPECT_TRUE(tokens.Verify(token, Binding(), 999).ok());
  const absl::Status expired = tokens.Verify(token, Binding(), 1000);
  EXPECT_EQ(expired.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(expired.message()), HasSubstr("expired"));
}

TEST(ResumeTokenTest, IsBoundToAllOfIt) {
  const ResumeTokens tokens(std::string(32, 'k'));
  const std::string token = tokens.Issue(Binding(), 1000);
  ResumeBinding other = Binding();
  other.peer = "cert:thief";
  EXPECT_FALSE(tokens.Verify(token, other, 1).ok());
  other = Binding();
  other.lineage += "x";
  EXPECT_FALSE(tokens.Verify(token, other, 1).ok());
  other = Binding();
  other.snapshot_id += "x";
  EXPECT_FALSE(tokens.Verify(token, other, 1).ok());
  other = Binding();
  other.stream_id = 43;
  EXPECT_FALSE(tokens.Verify(token, other, 1).ok());
  // A byte moved from one part to the next is another binding.
  other = Binding();
  other.peer.pop_back();
  other.lineage.insert(0, "y");
  EXPECT_FALSE(tokens.Verify(token, other, 1).ok());
  EXPECT_FALSE(
      ResumeTokens(std::string(32, 'l')).Verify(token, Binding(), 1).ok());
}

TEST(ResumeTokenTest, NoChangedBitPasses) {
  const ResumeTokens tokens(std::string(32, 'k'));
  const std::string token = tokens.Issue(Binding(), 1000);
  for (size_t bit = 0; bit < token.size() * 8; ++bit) {
    std::string forged = token;
    forged[bit / 8] = static_cast<char>(forged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(tokens.Verify(forged, Binding(), 1).code(),
              absl::StatusCode::kUnauthenticated);
  }
  for (size_t size = 0; size < token.size(); ++size) {
    EXPECT_FALSE(tokens.Verify(token.substr(0, size), Binding(), 1).ok());
  }
  EXPECT_FALSE(tokens.Verify(token + "x", Binding(), 1).ok());
}

TEST(ResumeTokenTest, TheSecretIsKeptAndIsOfItsReplica) {
  SimulatedDisk disk;
  ASSERT_TRUE(disk.CreateDirectories("/a").ok());
  ASSERT_TRUE(disk.CreateDirectories("/b").ok());
  const std::string token =
      ResumeTokens::Open(&disk, "/a")->Issue(Binding(), 1000);
  EXPECT_TRUE(
      ResumeTokens::Open(&disk, "/a")->Verify(token, Binding(), 1).ok());
  EXPECT_FALSE(
      ResumeTokens::Open(&disk, "/b")->Verify(token, Binding(), 1).ok());
  ASSERT_TRUE(disk.FlipBit("/a/secret", 5, 1).ok());
  EXPECT_EQ(ResumeTokens::Open(&disk, "/a").status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace larder::replication
