#include "bench/trace.h"

#include <zstd.h>

#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace larder::bench {
namespace {

TEST(TraceTest, NumbersKeysByTheirFirstRequests) {
  const absl::StatusOr<Trace> trace = ParseTrace("t", "b 10\na 5\nb 12\nc 1\n");
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->keys, 3);
  ASSERT_EQ(trace->requests.size(), 4);
  EXPECT_EQ(trace->requests[1].key, 1);
  EXPECT_EQ(trace->requests[2].key, 0);
  EXPECT_EQ(trace->requests[2].bytes, 12);
  EXPECT_EQ(FootprintBytes(*trace), 16);
}

TEST(TraceTest, RefusesWhatIsNotARequest) {
  for (const char* text : {"a", "a b", "a 0", "a -1", "a 1 2"}) {
    EXPECT_TRUE(absl::IsDataLoss(ParseTrace("t", text).status())) << text;
  }
}

TEST(TraceTest, CutsAndScales) {
  const absl::StatusOr<Trace> trace = ParseTrace("t", "a 10\nb 1\na 10\nc 3\n");
  ASSERT_TRUE(trace.ok());
  const Trace cut = FirstRequests(*trace, 3);
  EXPECT_EQ(cut.requests.size(), 3);
  EXPECT_EQ(cut.keys, 2);
  const Trace larger = WithSizesTimes(cut, 2.5);
  EXPECT_EQ(larger.requests[0].bytes, 25);
  EXPECT_EQ(WithSizesTimes(cut, 0.1).requests[1].bytes, 1);
}

TEST(TraceTest, ReadsZstdAndNoticesWhenItIsCutOff) {
  const std::string dir = testing::TempDir();
  const std::string text = "a 10\nb 20\n";
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(
      ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 1));
  const auto write = [&](size_t bytes) {
    std::ofstream(dir + "/t.txt.zst", std::ios::binary)
        << packed.substr(0, bytes);
  };
  write(packed.size());
  const absl::StatusOr<Trace> trace = ReadTrace(dir, "t");
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->keys, 2);
  write(packed.size() - 1);
  EXPECT_TRUE(absl::IsDataLoss(ReadTrace(dir, "t").status()));
  EXPECT_TRUE(absl::IsNotFound(ReadTrace(dir, "absent").status()));
}

}  // namespace
}  // namespace larder::bench
