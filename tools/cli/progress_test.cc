#include "tools/cli/progress.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cache/clock.h"
#include "gtest/gtest.h"

namespace larder::cli {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

class ProgressTest : public testing::Test {
 protected:
  Progress::Write Write() {
    return [this](absl::string_view text) { written_.emplace_back(text); };
  }
  static Progress::Options Enabled() {
    return {.label = "import", .bytes_total = 100 * kMiB, .enabled = true};
  }

  cache::ManualClock clock_{1'000'000};
  std::vector<std::string> written_;
};

TEST_F(ProgressTest, ShowsBytesRateAndTimeLeft) {
  Progress progress(Enabled(), &clock_, Write());
  clock_.AdvanceMillis(1000);
  progress.Add(20 * kMiB);
  ASSERT_EQ(written_.size(), 1u);
  EXPECT_EQ(written_[0],
            "\r\033[Kimport  20.0 MiB of 100.0 MiB  20%  21 MB/s  4.0 s left");
}

TEST_F(ProgressTest, DrawsTenTimesASecond) {
  Progress progress(Enabled(), &clock_, Write());
  for (int i = 0; i < 1000; ++i) {
    clock_.AdvanceMillis(1);
    progress.Add(1);
  }
  EXPECT_EQ(written_.size(), 10u);
}

TEST_F(ProgressTest, WithoutATotalThereIsNoTimeLeft) {
  Progress progress({.label = "backup", .enabled = true}, &clock_, Write());
  clock_.AdvanceMillis(2000);
  progress.Add(4 * kMiB);
  EXPECT_EQ(written_.at(0), "\r\033[Kbackup  4.0 MiB  2.1 MB/s");
}

TEST_F(ProgressTest, NeverClaimsMoreThanAll) {
  Progress progress(Enabled(), &clock_, Write());
  clock_.AdvanceMillis(200);
  progress.Set(300 * kMiB, 200 * kMiB);
  EXPECT_EQ(written_.at(0), "\r\033[Kimport  300.0 MiB of 200.0 MiB  100%");
}

TEST_F(ProgressTest, ClearsItsLine) {
  {
    Progress progress(Enabled(), &clock_, Write());
    clock_.AdvanceMillis(200);
    progress.Add(1);
  }
  EXPECT_EQ(written_.back(), "\r\033[K");
}

TEST_F(ProgressTest, NeverWraps) {
  Progress::Options options = Enabled();
  options.columns = 20;
  Progress progress(options, &clock_, Write());
  clock_.AdvanceMillis(1000);
  progress.Add(1);
  EXPECT_EQ(written_.at(0), "\r\033[Kimport  1 B of 100.");
}

TEST_F(ProgressTest, SaysNothingWhenDisabled) {
  {
    Progress::Options options = Enabled();
    options.enabled = false;
    Progress progress(options, &clock_, Write());
    clock_.AdvanceMillis(1000);
    progress.Add(1);
  }
  EXPECT_TRUE(written_.empty());
}

}  // namespace
}  // namespace larder::cli
