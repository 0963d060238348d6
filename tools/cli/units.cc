#include "tools/cli/units.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace larder::cli {
namespace {

constexpr int64_t kDayMillis = 86'400'000;
constexpr int64_t kDurationMillisMax = 100 * 365 * kDayMillis;

struct Unit {
  absl::string_view name;
  int64_t factor;
};

constexpr Unit kDurationUnits[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", kDayMillis},
};

constexpr Unit kByteUnits[] = {
    {"", 1},
    {"b", 1},
    {"k", int64_t{1} << 10},
    {"kib", int64_t{1} << 10},
    {"m", int64_t{1} << 20},
    {"mib", int64_t{1} << 20},
    {"g", int64_t{1} << 30},
    {"gib", int64_t{1} << 30},
    {"t", int64_t{1} << 40},
    {"tib", int64_t{1} << 40},
    {"kb", 1'000},
    {"mb", 1'000'000},
    {"gb", 1'000'000'000},
    {"tb", 1'000'000'000'000},
};

// Takes the leading characters of `*text` for which `is` holds.
template <typename Is>
absl::string_view Take(absl::string_view* text, Is is) {
  size_t n = 0;
  while (n < text->size() && is((*text)[n])) ++n;
  const absl::string_view taken = text->substr(0, n);
  text->remove_prefix(n);
  return taken;
}

// Takes "<number><unit>" and adds its value to `*sum`; false when it is not
// that, or when the sum exceeds `sum_max`.
template <size_t N>
bool TakeTerm(const Unit (&units)[N], int64_t sum_max, absl::string_view* text,
              int64_t* sum) {
  const auto is_digit = [](unsigned char c) { return absl::ascii_isdigit(c); };
  const auto is_alpha = [](unsigned char c) { return absl::ascii_isalpha(c); };
  int64_t number;
  if (!absl::SimpleAtoi(Take(text, is_digit), &number)) return false;
  const std::string name = absl::AsciiStrToLower(Take(text, is_alpha));
  for (const Unit& unit : units) {
    if (unit.name != name) continue;
    if (number > (sum_max - *sum) / unit.factor) return false;
    *sum += number * unit.factor;
    return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<int64_t> ParseDurationMillis(absl::string_view text) {
  absl::string_view rest = text;
  int64_t millis = 0;
  do {
    if (!TakeTerm(kDurationUnits, kDurationMillisMax, &rest, &millis)) {
      millis = 0;
      break;
    }
  } while (!rest.empty());
  if (millis > 0) return millis;
  return absl::InvalidArgumentError(
      absl::StrCat("'", text,
                   "' is not a duration: write 250ms, 90s, 10m, 1h30m or 7d "
                   "(more than 0, at most 100 years)"));
}

absl::StatusOr<int64_t> ParseBytes(absl::string_view text) {
  absl::string_view rest = text;
  int64_t bytes = 0;
  if (TakeTerm(kByteUnits, std::numeric_limits<int64_t>::max(), &rest,
               &bytes) &&
      rest.empty() && bytes > 0) {
    return bytes;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'", text, "' is not a size: write 4096, 512MiB, 4GiB or 1TB"));
}

absl::StatusOr<uint32_t> ParseShareMillionths(absl::string_view text) {
  absl::string_view number = text;
  double percent = 0;
  // Not what else the parser takes: signs, exponents, "inf".
  if (absl::ConsumeSuffix(&number, "%") &&
      number.find_first_not_of("0123456789.") == absl::string_view::npos &&
      absl::SimpleAtod(number, &percent) && percent >= 1e-4 && percent <= 100) {
    return static_cast<uint32_t>(std::lround(percent * 1e4));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'", text, "' is not a share: write 5% or 0.25% (0.0001% to 100%)"));
}

std::string FormatBytes(int64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes);
  absl::string_view unit;
  for (absl::string_view name : {"KiB", "MiB", "GiB", "TiB"}) {
    unit = name;
    value /= 1024;
    // 1023.95 would print as 1024.0.
    if (value < 1023.95) break;
  }
  return absl::StrFormat("%.1f %s", value, unit);
}

std::string FormatBytesPerSecond(double bytes) {
  const double megabytes = bytes / 1e6;
  return absl::StrFormat("%.*f MB/s", megabytes < 10 ? 1 : 0, megabytes);
}

std::string FormatMillis(int64_t millis) {
  if (millis < 1000) return absl::StrCat(millis, " ms");
  if (millis < 60'000) return absl::StrFormat("%.1f s", millis / 1e3);
  const int64_t seconds = millis / 1000;
  const int64_t minutes = seconds / 60;
  const int64_t hours = minutes / 60;
  if (hours == 0) return absl::StrFormat("%dm %02ds", minutes, seconds % 60);
  if (hours < 48) return absl::StrFormat("%dh %02dm", hours, minutes % 60);
  return absl::StrFormat("%dd %02dh", hours / 24, hours % 24);
}

std::string FormatNanos(int64_t nanos) {
  if (nanos < 1000) return absl::StrCat(nanos, " ns");
  if (nanos < 1'000'000) return absl::StrFormat("%.1f us", nanos / 1e3);
  if (nanos < 1'000'000'000) return absl::StrFormat("%.2f ms", nanos / 1e6);
  return FormatMillis(nanos / 1'000'000);
}

std::string FormatCount(int64_t count) {
  std::string text = absl::StrCat(count);
  const int first_digit = count < 0 ? 1 : 0;
  for (int i = static_cast<int>(text.size()) - 3; i > first_digit; i -= 3) {
    text.insert(static_cast<size_t>(i), 1, ',');
  }
  return text;
}

std::string FormatPlural(int64_t count, absl::string_view noun) {
  return absl::StrCat(FormatCount(count), " ", noun, count == 1 ? "" : "s");
}

}  // namespace larder::cli
