#include "tools/cli/units.h"

#include <cstdint>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace larder::cli {
namespace {

TEST(ParseDuration, TakesNumbersWithUnits) {
  EXPECT_EQ(*ParseDurationMillis("250ms"), 250);
  EXPECT_EQ(*ParseDurationMillis("90s"), 90'000);
  EXPECT_EQ(*ParseDurationMillis("10m"), 600'000);
  EXPECT_EQ(*ParseDurationMillis("2h"), 7'200'000);
  EXPECT_EQ(*ParseDurationMillis("1h30m"), 5'400'000);
  EXPECT_EQ(*ParseDurationMillis("7D"), 604'800'000);
}

TEST(ParseDuration, RefusesTheRest) {
  for (const char* text :
       {"", "10", "m", "-1s", "1.5h", "10 m", "10m ", "0s", "3y", "1h30",
        "99999999999999999999s", "9223372036854775807d", "36501d"}) {
    EXPECT_EQ(ParseDurationMillis(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(ParseShare, TakesPercents) {
  EXPECT_EQ(*ParseShareMillionths("5%"), 50'000u);
  EXPECT_EQ(*ParseShareMillionths("0.25%"), 2'500u);
  EXPECT_EQ(*ParseShareMillionths("0.0001%"), 1u);
  EXPECT_EQ(*ParseShareMillionths("100%"), 1'000'000u);
}

TEST(ParseShare, RefusesTheRest) {
  for (const char* text :
       {"", "%", "5", "0%", "0.00001%", "100.1%", "-5%", "+5%", "1e1%", "inf%",
        "nan%", "5 %", "5%%", "1.2.3%"}) {
    EXPECT_EQ(ParseShareMillionths(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(ParseBytes, TakesBothFamiliesOfUnits) {
  EXPECT_EQ(*ParseBytes("4096"), 4096);
  EXPECT_EQ(*ParseBytes("1b"), 1);
  EXPECT_EQ(*ParseBytes("512MiB"), int64_t{512} << 20);
  EXPECT_EQ(*ParseBytes("4G"), int64_t{4} << 30);
  EXPECT_EQ(*ParseBytes("1TB"), 1'000'000'000'000);
  EXPECT_EQ(*ParseBytes("3kb"), 3000);
  EXPECT_EQ(*ParseBytes("9223372036854775807"), INT64_MAX);
}

TEST(ParseBytes, RefusesTheRest) {
  for (const char* text : {"", "0", "MiB", "-1", "1.5G", "1 G", "4X",
                           "9223372036854775808", "8388608TiB"}) {
    EXPECT_EQ(ParseBytes(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(Format, IsShort) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes((int64_t{1} << 20) - 1), "1.0 MiB");
  EXPECT_EQ(FormatBytes(int64_t{3} << 40), "3.0 TiB");
  EXPECT_EQ(FormatBytesPerSecond(2.54e6), "2.5 MB/s");
  EXPECT_EQ(FormatBytesPerSecond(412.4e6), "412 MB/s");
  EXPECT_EQ(FormatMillis(999), "999 ms");
  EXPECT_EQ(FormatMillis(9'800), "9.8 s");
  EXPECT_EQ(FormatMillis(62'000), "1m 02s");
  EXPECT_EQ(FormatMillis(3'723'000), "1h 02m");
  EXPECT_EQ(FormatMillis(200'000'000), "2d 07h");
  EXPECT_EQ(FormatNanos(87), "87 ns");
  EXPECT_EQ(FormatNanos(87'340), "87.3 us");
  EXPECT_EQ(FormatNanos(1'204'000), "1.20 ms");
  EXPECT_EQ(FormatNanos(2'500'000'000), "2.5 s");
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(12'345), "12,345");
  EXPECT_EQ(FormatCount(-123'456), "-123,456");
  EXPECT_EQ(FormatPlural(1, "blob"), "1 blob");
  EXPECT_EQ(FormatPlural(2000, "blob"), "2,000 blobs");
}

}  // namespace
}  // namespace larder::cli
