#include "bench/measure.h"

#include <cmath>
#include <cstdint>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::bench {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(MeasureTest, MedianOfOddAndEvenCounts) {
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 2, 3}), 2.5);
  EXPECT_TRUE(std::isnan(Median({})));
}

TEST(MeasureTest, BytesReadGrowWithWhatIsRead) {
  const int64_t before = BytesRead();
  std::ifstream zeros("/dev/zero");
  std::string bytes(1 << 20, 'x');
  zeros.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  EXPECT_GE(BytesRead(), before + (1 << 20));
  EXPECT_LT(BytesRead(), before + (2 << 20));
}

TEST(MeasureTest, AnonymousBytesGrowWithWhatIsTouched) {
  const int64_t before = AnonymousBytes();
  const std::vector<char> touched(8 << 20, 'x');
  EXPECT_GE(AnonymousBytes(), before + (7 << 20)) << touched[0];
}

TEST(MeasureTest, QuantileIsAValueOfTheSample) {
  std::vector<double> hundred;
  for (int i = 100; i >= 1; --i) hundred.push_back(i);
  EXPECT_EQ(Quantile(hundred, 0.5), 50);
  EXPECT_EQ(Quantile(hundred, 0.99), 99);
  EXPECT_EQ(Quantile(hundred, 1), 100);
  EXPECT_EQ(Quantile({7}, 0.01), 7);
  EXPECT_TRUE(std::isnan(Quantile({}, 0.5)));
}

TEST(MeasureTest, SamplesKeepTheOrderOfNames) {
  Samples samples;
  samples.Add("larder", 1);
  samples.Add("rocksdb", 5);
  samples.Add("lmdb", 2);
  samples.Add("rocksdb", 7);
  samples.Add("rocksdb", 6);
  EXPECT_EQ(samples.Median("rocksdb"), 6);
  EXPECT_TRUE(std::isnan(samples.Median("redis")));
  EXPECT_THAT(samples.Others("larder"),
              ElementsAre(Pair("rocksdb", 6), Pair("lmdb", 2)));
}

}  // namespace
}  // namespace larder::bench
