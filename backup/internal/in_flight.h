// Counts the chunks of a backup that are alive, wherever they are.
#ifndef LARDER_BACKUP_INTERNAL_IN_FLIGHT_H_
#define LARDER_BACKUP_INTERNAL_IN_FLIGHT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "backup/format/chunk.h"

namespace larder::backup_internal {

// Thread-safe. Outlives its chunks through shared ownership.
class InFlight : public std::enable_shared_from_this<InFlight> {
 public:
  // A chunk that is counted until its last owner lets go.
  std::shared_ptr<const backup::format::Chunk> Track(
      backup::format::Chunk chunk) {
    const int64_t bytes = static_cast<int64_t>(chunk.bytes.size());
    Raise(&chunks_, 1, &chunks_peak_);
    Raise(&bytes_, bytes, &bytes_peak_);
    return {
        new backup::format::Chunk(std::move(chunk)),
        [self = shared_from_this(), bytes](const backup::format::Chunk* owned) {
          delete owned;
          self->chunks_ -= 1;
          self->bytes_ -= bytes;
        }};
  }

  int64_t chunks_peak() const { return chunks_peak_; }
  int64_t bytes_peak() const { return bytes_peak_; }

 private:
  static void Raise(std::atomic<int64_t>* count, int64_t by,
                    std::atomic<int64_t>* peak) {
    const int64_t now = *count += by;
    int64_t seen = *peak;
    while (seen < now && !peak->compare_exchange_weak(seen, now)) {
    }
  }

  std::atomic<int64_t> chunks_{0};
  std::atomic<int64_t> bytes_{0};
  std::atomic<int64_t> chunks_peak_{0};
  std::atomic<int64_t> bytes_peak_{0};
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_IN_FLIGHT_H_
