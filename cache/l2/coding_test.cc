#include "cache/l2/coding.h"

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace larder::cache::l2 {
namespace {

bool Reads(absl::string_view bytes, uint64_t* value, size_t* left) {
  ByteReader in(bytes);
  const bool read = in.ReadVarint(value);
  *left = in.rest().size();
  return read;
}

TEST(VarintTest, EveryLengthComesBackAndNoPrefixOfIt) {
  for (int bits = 0; bits <= 64; ++bits) {
    for (const uint64_t below : {0, 1}) {
      const uint64_t power = bits == 64 ? 0 : uint64_t{1} << bits;
      const uint64_t number = power - below;
      std::string bytes;
      AppendVarint(&bytes, number);
      uint64_t value;
      size_t left;
      ASSERT_TRUE(Reads(bytes + "rest", &value, &left)) << number;
      EXPECT_EQ(value, number);
      EXPECT_EQ(left, 4u) << number;
      for (size_t cut = 0; cut < bytes.size(); ++cut) {
        EXPECT_FALSE(Reads(bytes.substr(0, cut), &value, &left)) << number;
      }
    }
  }
}

TEST(VarintTest, MoreThan64BitsAreRefused) {
  const std::string nine(9, '\xff');
  uint64_t value;
  size_t left;
  ASSERT_TRUE(Reads(nine + "\x01", &value, &left));
  EXPECT_EQ(value, UINT64_MAX);
  EXPECT_FALSE(Reads(nine + "\x02", &value, &left));
  EXPECT_FALSE(Reads(nine + "\x81", &value, &left));
  EXPECT_FALSE(Reads(nine + std::string("\x80\x00", 2), &value, &left));
}

}  // namespace
}  // namespace larder::cache::l2
