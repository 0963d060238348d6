#include "replication/piece_head.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "replication/limits.h"
#include "replication/replication.pb.h"

namespace larder::replication {
namespace {

TEST(PieceHeadTest, IsThatOfTheMessage) {
  for (const uint64_t position :
       {uint64_t{1}, uint64_t{127}, uint64_t{128}, uint64_t{1} << 20,
        (uint64_t{1} << 40) + 12345, ~uint64_t{0}}) {
    for (const size_t size : {size_t{1}, size_t{127}, size_t{128},
                              size_t{70'000}, size_t{kPieceBytesMax}}) {
      TransferRequest request;
      request.mutable_piece()->set_position(position);
      request.mutable_piece()->set_data(std::string(size, 'x'));
      EXPECT_EQ(EncodePieceHead(position, size) + std::string(size, 'x'),
                request.SerializeAsString())
          << position << ", " << size;
    }
  }
}

// A message leaves the 0 out; who reads does not mind it.
TEST(PieceHeadTest, TheFirstPieceIsRead) {
  TransferRequest request;
  ASSERT_TRUE(request.ParseFromString(EncodePieceHead(0, 3) + "abc"));
  ASSERT_TRUE(request.has_piece());
  EXPECT_EQ(request.piece().position(), 0u);
  EXPECT_EQ(request.piece().data(), "abc");
}

}  // namespace
}  // namespace larder::replication
