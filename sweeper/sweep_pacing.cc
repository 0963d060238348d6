#include "sweeper/sweep_pacing.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace larder::sweeper {
namespace {

std::optional<int64_t> Scaled(std::optional<int64_t> value,
                              int32_t scale_log2) {
  if (!value.has_value() || *value <= 0) return value;
  if (scale_log2 <= 0) {
    return std::max<int64_t>(1, *value >> std::min(-scale_log2, 62));
  }
  const int32_t up = std::min(scale_log2, 62);
  const int64_t most = std::numeric_limits<int64_t>::max() >> up;
  return *value > most ? std::numeric_limits<int64_t>::max() : *value << up;
}

}  // namespace

int32_t NextScaleLog2(const PacingOptions& options, const PacingInput& input) {
  const bool suffers =
      options.p99_micros_max > 0 && input.p99_micros > options.p99_micros_max;
  int32_t next = input.scale_log2;
  if (suffers) {
    if (input.debt < options.debt_high) --next;
  } else if (input.truncated || input.debt > 0) {
    ++next;
  } else if (next != 0) {
    next += next > 0 ? -1 : 1;
  }
  return std::clamp(next, options.scale_log2_min, options.scale_log2_max);
}

SweepLimit ScaledLimit(const SweepLimit& limit, int32_t scale_log2) {
  SweepLimit scaled = limit;
  scaled.entries = Scaled(limit.entries, scale_log2);
  scaled.millis = Scaled(limit.millis, scale_log2);
  return scaled;
}

}  // namespace larder::sweeper
