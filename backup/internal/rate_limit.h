// Keeps a transfer under so many bytes a second.
#ifndef LARDER_BACKUP_INTERNAL_RATE_LIMIT_H_
#define LARDER_BACKUP_INTERNAL_RATE_LIMIT_H_

#include <algorithm>
#include <cstdint>

#include "cache/check.h"

namespace larder::backup_internal {

// Each transfer waits until those before it have had their time. Time in which
// nothing was sent is not made up for, so there are no bursts. Single-owner.
class RateLimit {
 public:
  // `bytes_per_second`: 0: no limit.
  explicit RateLimit(int64_t bytes_per_second)
      : bytes_per_second_(bytes_per_second) {
    LARDER_CHECK(bytes_per_second >= 0);
  }

  // Counts `bytes`, at most 2^32, as sent. Returns: nanoseconds from `now`, a
  // steady time, until they may be.
  int64_t Take(int64_t bytes, int64_t now_nanos) {
    if (bytes_per_second_ == 0) return 0;
    const int64_t start = std::max(next_nanos_, now_nanos);
    next_nanos_ =
        start + static_cast<int64_t>(1e9 * static_cast<double>(bytes) /
                                     static_cast<double>(bytes_per_second_));
    return start - now_nanos;
  }

 private:
  const int64_t bytes_per_second_;
  int64_t next_nanos_ = 0;  // When the bytes taken last have had their time.
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_RATE_LIMIT_H_
