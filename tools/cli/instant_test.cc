#include "tools/cli/instant.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace larder::cli {
namespace {

// 2026-11-26 09:30:05 UTC.
constexpr int64_t kInstant = 1'795'685'405'000;

absl::TimeZone TwoHoursEast() { return absl::FixedTimeZone(2 * 60 * 60); }

int64_t Parse(absl::string_view text) {
  const auto parsed = ParseInstant(text, kInstant, TwoHoursEast());
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.value_or(-1);
}

TEST(ParseInstant, TakesRfc3339WithItsOwnZone) {
  EXPECT_EQ(Parse("2026-11-26T09:30:05Z"), kInstant);
  EXPECT_EQ(Parse("2026-11-26T10:30:05+01:00"), kInstant);
  EXPECT_EQ(Parse("2026-11-26T09:30:05.25Z"), kInstant + 250);
}

TEST(ParseInstant, TakesLocalTimeWhoseMissingPartsAreZero) {
  EXPECT_EQ(Parse("2026-11-26 11:30:05"), kInstant);
  EXPECT_EQ(Parse("2026-11-26 11:30"), kInstant - 5'000);
  EXPECT_EQ(Parse("2026-11-26"), kInstant - (11 * 3600 + 30 * 60 + 5) * 1000);
}

TEST(ParseInstant, TakesADurationAsSoLongAgo) {
  EXPECT_EQ(Parse("2h"), kInstant - 7'200'000);
  EXPECT_EQ(Parse("1h30m"), kInstant - 5'400'000);
}

TEST(ParseInstant, RefusesTheRest) {
  for (const char* text :
       {"", "now", "2026", "2026-13-01", "2026-02-30", " 2026-11-26",
        "2026-11-26T09:30:05", "2026-11-26 25:00", "26.11.2026", "2h ago",
        "infinite-past", "-2h", "2026-11-26 09:30:05 more"}) {
    EXPECT_EQ(ParseInstant(text, kInstant, TwoHoursEast()).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(FormatInstant, IsReadBackAsTheSame) {
  EXPECT_EQ(FormatInstant(kInstant, TwoHoursEast()), "2026-11-26 11:30:05");
  EXPECT_EQ(Parse(FormatInstant(kInstant, TwoHoursEast())), kInstant);
}

}  // namespace
}  // namespace larder::cli
