#include "tools/cli/instant.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tools/cli/units.h"

namespace larder::cli {

absl::StatusOr<int64_t> ParseInstant(absl::string_view text,
                                     int64_t now_unix_ms, absl::TimeZone zone) {
  if (const auto ago = ParseDurationMillis(text); ago.ok()) {
    return now_unix_ms - *ago;
  }
  // The parser takes white space around, and "infinite-past".
  const bool starts_well =
      !text.empty() && absl::ascii_isdigit(static_cast<unsigned char>(text[0]));
  absl::Time time;
  std::string error;
  for (const absl::string_view format :
       {"%Y-%m-%dT%H:%M:%E*S%Ez", "%Y-%m-%d %H:%M:%E*S", "%Y-%m-%d %H:%M",
        "%Y-%m-%d"}) {
    if (starts_well && absl::ParseTime(format, text, zone, &time, &error)) {
      return absl::ToUnixMillis(time);
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'", text,
      "' is not a time: write 2026-11-26T09:30:00Z, '2026-11-26 09:30', "
      "2026-11-26 or 2h (ago)"));
}

std::string FormatInstant(int64_t unix_ms, absl::TimeZone zone) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMillis(unix_ms),
                          zone);
}

}  // namespace larder::cli
