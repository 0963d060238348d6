// Backups whose connection dies without a word: as long as the protocol's
// patience, docs/replication.md, and no longer.
#include <cstdint>

#include "gtest/gtest.h"
#include "tests/net/net_fixture.h"

namespace larder::tests {
namespace {

constexpr int64_t kMegabyte = 1 << 20;
constexpr int64_t kPatienceMillis = 60'000;
// docs/replication.md: silent for so long is cut; without progress for so long
// is given up. Once it is noticed, some more for a slow machine.
constexpr double kSilence = 20, kGiveUp = 45, kSlack = 15;
constexpr int64_t kWindowBytesMax = 4 * kMegabyte;

class HalfOpenTest : public NetFixture {
 protected:
  // Of 12 MB the first three are sent.
  void Begin() {
    wire_->SetFaults({.bytes_per_second_max = 4 * kMegabyte});
    StartBackup(12);
    ASSERT_TRUE(
        wire_->AwaitBytes(Wire::kForth, 3 * kMegabyte, kPatienceMillis));
  }
};

// The replica still has the old connection when the new one comes.
TEST_F(HalfOpenTest, ASilentConnectionIsGivenUpAndTheTransferGoesOn) {
  Begin();
  wire_->SilenceConnections();
  EXPECT_EQ(AwaitBackup(), 0);
  EXPECT_GT(forth().lost, 0);
  EXPECT_LT(seconds_, kSilence + 12 / 4 + kSlack);
  // Headers and acknowledgements take some percent; what was sent once more is
  // within the window.
  EXPECT_LT(forth().bytes, 12 * kMegabyte * 11 / 10 + kWindowBytesMax);
  ExpectWhole();
}

// Answers are lost, then nothing is, to a new connection.
TEST_F(HalfOpenTest, OneDirectionDiesForAWhile) {
  Begin();
  wire_->Cut(Wire::kBack);
  const int64_t packets = forth().packets;
  // It gives the connection up, and tries new ones, until it is answered.
  while (forth().packets < packets + 200 && !backup_->Ended()) {
    if (!wire_->AwaitBytes(Wire::kForth, forth().bytes + 1, 22'000)) break;
    if (std::chrono::steady_clock::now() - started_ >
        std::chrono::seconds(28)) {
      break;
    }
  }
  wire_->Mend();
  EXPECT_EQ(AwaitBackup(), 0);
  EXPECT_LT(seconds_, 28 + 12 / 4 + kSlack);
  EXPECT_LT(forth().bytes, 12 * kMegabyte * 11 / 10 + 2 * kWindowBytesMax);
  ExpectWhole();
}

TEST_F(HalfOpenTest, AReplicaThatStaysAwayIsDroppedInTime) {
  Begin();
  wire_->Cut(Wire::kForth);
  wire_->Cut(Wire::kBack);
  EXPECT_EQ(AwaitBackup(), 11);
  EXPECT_GT(seconds_, kGiveUp);
  EXPECT_LT(seconds_, kGiveUp + kSilence + kSlack);
  ExpectNoSnapshot();
  // What it has lets it go on serving others: the next one is whole.
  wire_->Mend();
  StartBackup(12);
  EXPECT_EQ(AwaitBackup(), 0);
  ExpectWhole();
}

}  // namespace
}  // namespace larder::tests
