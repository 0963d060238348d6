#include "tools/demo/latency.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace larder::demo {
namespace {

TEST(LatencyHistogram, IsEmptyAtFirst) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.count(), 0);
  EXPECT_EQ(histogram.Quantile(0.99), 0);
}

TEST(LatencyHistogram, SmallValuesAreExact) {
  for (int64_t nanos = 0; nanos < 16; ++nanos) {
    LatencyHistogram histogram;
    histogram.Add(nanos);
    EXPECT_EQ(histogram.Quantile(1), nanos);
  }
}

TEST(LatencyHistogram, OthersAreAnEighthTooHighAtMost) {
  for (int64_t nanos = 1; nanos < int64_t{1} << 38; nanos = nanos * 9 / 8 + 1) {
    LatencyHistogram histogram;
    histogram.Add(nanos);
    EXPECT_GE(histogram.Quantile(0.5), nanos);
    EXPECT_LE(histogram.Quantile(0.5), nanos + nanos / 8);
  }
}

TEST(LatencyHistogram, FindsTheQuantile) {
  LatencyHistogram histogram;
  for (int i = 0; i < 990; ++i) histogram.Add(100);
  for (int i = 0; i < 10; ++i) histogram.Add(1'000'000);
  EXPECT_EQ(histogram.count(), 1000);
  EXPECT_LT(histogram.Quantile(0.99), 120);
  EXPECT_GT(histogram.Quantile(0.991), 900'000);
}

TEST(LatencyHistogram, ExtremesStayInside) {
  LatencyHistogram histogram;
  histogram.Add(-5);
  histogram.Add(INT64_MAX);
  EXPECT_EQ(histogram.Quantile(0.5), 0);
  EXPECT_GT(histogram.Quantile(1), int64_t{1} << 40);
}

}  // namespace
}  // namespace larder::demo
