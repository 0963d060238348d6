// Durations, sizes and counts as people write and read them.
#ifndef LARDER_TOOLS_CLI_UNITS_H_
#define LARDER_TOOLS_CLI_UNITS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace larder::cli {

// "250ms", "90s", "1h30m", "7d": whole numbers, each with its unit.
// Returns: milliseconds, > 0 and at most 100 years.
// Errors: kInvalidArgument naming the text and what is allowed.
absl::StatusOr<int64_t> ParseDurationMillis(absl::string_view text);

// "4096", "512MiB", "4G", "1TB": KiB, MiB, GiB, TiB and the bare letters are
// powers of 1024; kB, MB, GB, TB of 1000. Upper or lower case.
// Returns: bytes, > 0. Errors: kInvalidArgument, as above.
absl::StatusOr<int64_t> ParseBytes(absl::string_view text);

// "5%", "0.25%".
// Returns: millionths, 1 to 1,000,000. Errors: kInvalidArgument, as above.
absl::StatusOr<uint32_t> ParseShareMillionths(absl::string_view text);

std::string FormatBytes(int64_t bytes);          // "83.1 MiB"
std::string FormatBytesPerSecond(double bytes);  // "412 MB/s", of 1000
std::string FormatMillis(int64_t millis);        // "1h 02m", "9.8 s"
std::string FormatNanos(int64_t nanos);          // "87 us", "1.20 ms"
std::string FormatCount(int64_t count);          // "12,345"
std::string FormatPlural(int64_t count, absl::string_view noun);  // "1 blob"

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_UNITS_H_
