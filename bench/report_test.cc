#include "bench/report.h"

#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::bench {
namespace {

using ::testing::HasSubstr;

Row GetRow(double larder, double lmdb) {
  return {"get",
          "us",
          larder,
          {{"lmdb", lmdb}},
          {AtMost("time / lmdb", larder / lmdb, 1.3)}};
}

TEST(ReportTest, LimitsAreInclusive) {
  EXPECT_TRUE(Holds(AtMost("x", 2, 2)));
  EXPECT_FALSE(Holds(AtMost("x", 2.01, 2)));
  EXPECT_TRUE(Holds(AtLeast("x", 2, 2)));
  EXPECT_FALSE(Holds(AtLeast("x", 1.99, 2)));
}

TEST(ReportTest, WhatWasNotMeasuredDoesNotHold) {
  EXPECT_FALSE(Holds(AtMost("x", std::nan(""), 2)));
  EXPECT_FALSE(Holds(AtLeast("x", std::nan(""), 2)));
  EXPECT_FALSE(Holds(Row{.work = "no bar"}));
}

TEST(ReportTest, RowHoldsWhenAllClausesDo) {
  Row row = GetRow(1.0, 1.0);
  EXPECT_TRUE(Holds(row));
  row.bar.push_back(AtLeast("rocksdb / larder", 3.9, 4));
  EXPECT_FALSE(Holds(row));
  EXPECT_EQ(BarText(row),
            "time / lmdb <= 1.3: 1.00; rocksdb / larder >= 4: 3.90");
}

TEST(ReportTest, BarSaysWhatWasNotMeasured) {
  EXPECT_EQ(BarText(GetRow(std::nan(""), 1)), "time / lmdb <= 1.3: -");
}

TEST(ReportTest, JsonIsOneLineOfTheSchema) {
  const std::vector<Row> rows = {GetRow(1.5, 1), GetRow(1, 2)};
  EXPECT_EQ(Json(rows),
            R"({"rows": [{"work": "get", "unit": "us", "larder": 1.5, )"
            R"("peers": {"lmdb": 1}, "bar": "time / lmdb <= 1.3: 1.50", )"
            R"("holds": false}, {"work": "get", "unit": "us", "larder": 1, )"
            R"("peers": {"lmdb": 2}, "bar": "time / lmdb <= 1.3: 0.5", )"
            R"("holds": true}]})");
  EXPECT_EQ(Json({}), R"({"rows": []})");
}

TEST(ReportTest, JsonEscapesAndHasNoNan) {
  const Row row = {.work = "a \"b\"\\\n", .unit = "x", .larder = std::nan("")};
  EXPECT_EQ(Json({row}),
            R"({"rows": [{"work": "a \"b\"\\\u000a", "unit": "x", )"
            R"("larder": null, "peers": {}, "bar": "", "holds": false}]})");
}

TEST(ReportTest, TableSaysWhatHeldAndWhatDidNot) {
  const std::string table = Table({GetRow(1.5, 1), GetRow(1, 2)});
  EXPECT_THAT(table, HasSubstr("MISSED time / lmdb <= 1.3: 1.50"));
  EXPECT_THAT(table, HasSubstr("holds  time / lmdb <= 1.3: 0.5"));
  EXPECT_THAT(table, HasSubstr("2.00 x larder"));
}

}  // namespace
}  // namespace larder::bench
