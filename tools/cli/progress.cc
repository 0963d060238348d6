#include "tools/cli/progress.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/cli/units.h"

namespace larder::cli {
namespace {

constexpr int64_t kRedrawNanos = 100'000'000;
// Before this a rate is noise.
constexpr int64_t kRateNanosMin = 500'000'000;
constexpr absl::string_view kClearLine = "\r\033[K";

}  // namespace

Progress::Progress(Options options, const cache::Clock* clock, Write write)
    : options_(std::move(options)),
      clock_(clock),
      write_(std::move(write)),
      start_nanos_(clock->NowSteadyNanos()),
      bytes_total_(options_.bytes_total),
      drawn_nanos_(start_nanos_) {}

Progress::~Progress() { Clear(); }

void Progress::Add(int64_t bytes) {
  if (!options_.enabled) return;
  cache::MutexLock lock(&mu_);
  bytes_done_ += bytes;
  MaybeDraw();
}

void Progress::Set(int64_t bytes_done, int64_t bytes_total) {
  if (!options_.enabled) return;
  cache::MutexLock lock(&mu_);
  bytes_done_ = bytes_done;
  bytes_total_ = bytes_total;
  MaybeDraw();
}

void Progress::Clear() {
  cache::MutexLock lock(&mu_);
  if (!visible_) return;
  write_(kClearLine);
  visible_ = false;
}

void Progress::MaybeDraw() {
  const int64_t now = clock_->NowSteadyNanos();
  if (now - drawn_nanos_ < kRedrawNanos) return;
  drawn_nanos_ = now;
  visible_ = true;
  write_(absl::StrCat(kClearLine, Line(now - start_nanos_)));
}

std::string Progress::Line(int64_t elapsed_nanos) const {
  std::string line =
      absl::StrCat(options_.label, "  ", FormatBytes(bytes_done_));
  if (bytes_total_ > 0) {
    const double share =
        std::min(1.0, static_cast<double>(bytes_done_) / bytes_total_);
    absl::StrAppendFormat(&line, " of %s  %d%%", FormatBytes(bytes_total_),
                          static_cast<int>(share * 100));
  }
  if (elapsed_nanos >= kRateNanosMin) {
    const double rate = bytes_done_ / (elapsed_nanos / 1e9);
    absl::StrAppend(&line, "  ", FormatBytesPerSecond(rate));
    const int64_t bytes_left = bytes_total_ - bytes_done_;
    if (bytes_left > 0 && rate >= 1) {
      // A day is the longest that is worth a figure.
      const double millis = std::min(8.64e7, bytes_left / rate * 1e3);
      absl::StrAppend(&line, "  ", FormatMillis(static_cast<int64_t>(millis)),
                      " left");
    }
  }
  // A line that wraps could not be cleared.
  const auto columns_max = static_cast<size_t>(std::max(1, options_.columns));
  if (line.size() >= columns_max) line.resize(columns_max - 1);
  return line;
}

}  // namespace larder::cli
