// Backups over a network that loses, doubles, swaps and delays packets, or is
// gone for a while: two hosts of the test's own, real programs, real TCP.
#include <cstdint>

#include "gtest/gtest.h"
#include "tests/net/net_fixture.h"

namespace larder::tests {
namespace {

constexpr int64_t kMegabyte = 1 << 20;
constexpr int64_t kPatienceMillis = 60'000;

using WireFaultTest = NetFixture;

TEST_F(WireFaultTest, PacketsAreLostDoubledAndSwapped) {
  wire_->SetFaults({.drop = 0.01,
                    .duplicate = 0.02,
                    .delay_us_min = 200,
                    .delay_us_max = 3'000});
  StartBackup(4);
  EXPECT_EQ(AwaitBackup(), 0);
  EXPECT_GT(forth().lost, 10);
  ExpectWhole();
}

// Shorter than the silence that counts as a cut: TCP sends again what was lost.
TEST_F(WireFaultTest, TheWireIsGoneForAMoment) {
  wire_->SetFaults({.bytes_per_second_max = 4 * kMegabyte});
  StartBackup(8);
  ASSERT_TRUE(wire_->AwaitBytes(Wire::kForth, 2 * kMegabyte, kPatienceMillis));
  const int64_t lost = forth().lost;
  wire_->Cut(Wire::kForth);
  wire_->Cut(Wire::kBack);
  // It tries again and again.
  while (forth().lost < lost + 5) {
    ASSERT_TRUE(
        wire_->AwaitBytes(Wire::kForth, forth().bytes + 1, kPatienceMillis));
  }
  wire_->Mend();
  EXPECT_EQ(AwaitBackup(), 0);
  EXPECT_LT(forth().bytes, 11 * kMegabyte);
  ExpectWhole();
}

// One direction is dead from the start: nobody answers.
TEST_F(WireFaultTest, NoAnswerComesBack) {
  wire_->Cut(Wire::kBack);
  StartBackup(1);
  EXPECT_EQ(AwaitBackup(), 11);
  EXPECT_LT(seconds_, 8);  // 2 s, the call that asks for a base, slack.
  ExpectNoSnapshot();
  // And works again once it is back.
  wire_->Mend();
  StartBackup(1);
  EXPECT_EQ(AwaitBackup(), 0);
  ExpectWhole();
}

}  // namespace
}  // namespace larder::tests
