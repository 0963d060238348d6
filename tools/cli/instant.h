// Points in time as people write and read them.
#ifndef LARDER_TOOLS_CLI_INSTANT_H_
#define LARDER_TOOLS_CLI_INSTANT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace larder::cli {

// RFC 3339 ("2026-11-26T09:30:00Z", with any offset); "2026-11-26 09:30[:05]"
// in `zone`; "2026-11-26", its first moment there; or a duration ("2h"): so
// long before `now_unix_ms`.
// Returns: milliseconds since the Unix epoch.
// Errors: kInvalidArgument naming the text and what is allowed.
absl::StatusOr<int64_t> ParseInstant(absl::string_view text,
                                     int64_t now_unix_ms, absl::TimeZone zone);

std::string FormatInstant(int64_t unix_ms,
                          absl::TimeZone zone);  // "2026-11-26 09:30:05"

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_INSTANT_H_
