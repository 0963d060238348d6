#include "replication/get_reply_check.h"

#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "replication/limits.h"

namespace larder::replication {
namespace {

GetReply First() {
  GetReply piece;
  piece.set_lineage("lineage");
  piece.set_epoch(1);
  piece.set_hlc(2);
  piece.add_tags("tag");
  piece.set_data("data");
  return piece;
}

GetReply More(const std::string& data) {
  GetReply piece;
  piece.set_data(data);
  return piece;
}

TEST(GetReplyCheckTest, TakesTheBlobOfAnHonestReplica) {
  GetReplyCheck check;
  EXPECT_TRUE(check.Add(First()).ok());
  EXPECT_TRUE(check.Add(More(std::string(kPieceBytesMax, 'x'))).ok());
  EXPECT_TRUE(check.Finish().ok());
  EXPECT_EQ(check.bytes(), static_cast<int64_t>(kPieceBytesMax) + 4);
  // An empty blob is one piece without data.
  GetReplyCheck empty;
  EXPECT_TRUE(empty.Add(GetReply()).ok());
  EXPECT_TRUE(empty.Finish().ok());
}

// An end without a piece passed for an empty blob.
TEST(GetReplyCheckTest, NothingIsNoBlob) {
  EXPECT_TRUE(absl::IsDataLoss(GetReplyCheck().Finish()));
}

TEST(GetReplyCheckTest, RefusesWhatIsNoPiece) {
  const auto refused = [](auto change, bool is_first = true) {
    GetReplyCheck check;
    if (!is_first) {
      EXPECT_TRUE(check.Add(First()).ok());
    }
    GetReply piece = is_first ? First() : More("data");
    change(&piece);
    return absl::IsDataLoss(check.Add(piece));
  };
  EXPECT_TRUE(refused(
      [](GetReply* p) { p->set_data(std::string(kPieceBytesMax + 1, 'x')); }));
  EXPECT_TRUE(refused([](GetReply* p) {
    p->set_lineage(std::string(kLineageBytesMax + 1, 'x'));
  }));
  EXPECT_TRUE(refused([](GetReply* p) { p->set_hlc(~uint64_t{0}); }));
  EXPECT_TRUE(refused([](GetReply* p) { p->set_expires_at_unix_ms(-1); }));
  EXPECT_TRUE(refused([](GetReply* p) { p->add_tags(std::string(256, 'x')); }));
  EXPECT_TRUE(refused([](GetReply* p) {
    for (int i = 0; i < 32; ++i) p->add_tags("tag");
  }));
  EXPECT_TRUE(refused([](GetReply* p) { p->clear_data(); }, false));
  EXPECT_TRUE(refused([](GetReply* p) { p->set_version(1); }, false));
}

}  // namespace
}  // namespace larder::replication
