#include "bench/l2/eviction.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/report.h"
#include "bench/setting.h"
#include "bench/trace.h"
#include "bench/work.h"
#include "cache/options.h"

namespace larder::bench {
namespace {

Setting SettingOf(const std::string& name) {
  Setting setting;
  setting.dir = testing::TempDir() + "/" + name;
  return setting;
}

// Few keys are asked for often, of many sizes; every third request is for a key
// that nobody asks for again.
Trace ZipfWithScans() {
  constexpr int kKeys = 2'000;
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(0, 1);
  Trace trace{"zipf", {}, 0};
  std::vector<int64_t> numbers(kKeys, -1);
  for (int i = 0; i < 6'000; ++i) {
    const auto popular =
        static_cast<size_t>(std::pow(double{kKeys}, uniform(random))) - 1;
    int64_t key = trace.keys;
    if (i % 3 != 0 && numbers[popular] >= 0) key = numbers[popular];
    if (key == trace.keys) ++trace.keys;
    if (i % 3 != 0) numbers[popular] = key;
    trace.requests.push_back({key, 2'000 + 977 * (key % 61)});
  }
  return trace;
}

TEST(EvictionBenchTest, MeasuresBesideFifoAndLru) {
  const Setting setting = SettingOf("measures");
  const Replay replay{.budget_percent = 10,
                      .budget_bytes_min = cache::kL2BytesMin,
                      .background_commits = false};
  const absl::StatusOr<Rows> rows =
      EvictionOn(setting, ZipfWithScans(), replay);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 2);
  for (const Row& row : *rows) {
    EXPECT_TRUE(Holds(row)) << Table(*rows);
    EXPECT_GT(row.larder, 0.2);
    EXPECT_LT(row.larder, 0.67);
    ASSERT_EQ(row.peers.size(), 4);
    for (const auto& [name, ratio] : row.peers) EXPECT_GT(ratio, 0.1) << name;
  }
  // Nothing depends on time.
  const absl::StatusOr<Rows> again =
      EvictionOn(setting, ZipfWithScans(), replay);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Json(*again), Json(*rows));
}

TEST(EvictionBenchTest, WhatNeverFillsIsNoTrial) {
  const Trace trace{"tiny", {{0, 100}, {1, 100}, {0, 100}}, 2};
  const absl::StatusOr<Rows> rows =
      EvictionOn(SettingOf("tiny"), trace,
                 {.budget_percent = 5'000'000,  // Of 200 bytes: 10 MB.
                  .background_commits = false});
  EXPECT_TRUE(absl::IsFailedPrecondition(rows.status())) << rows.status();
}

TEST(EvictionBenchTest, SaysWhenThereIsNoTrace) {
  Setting setting = SettingOf("none");
  setting.traces = testing::TempDir() + "/no/such/directory";
  const absl::Status status = Eviction(setting).status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_NE(status.message().find("--traces"), std::string::npos) << status;
}

}  // namespace
}  // namespace larder::bench
