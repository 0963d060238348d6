// How much one sweep may do.
#ifndef LARDER_SWEEPER_SWEEP_LIMIT_H_
#define LARDER_SWEEPER_SWEEP_LIMIT_H_

#include <atomic>
#include <cstdint>
#include <optional>

namespace larder::sweeper {

// Whatever fires first ends the sweep; by default nothing does. A plain value.
//
//   SweepLimit{.entries = 1000}                   SweepLimit{.millis = 5}
//   SweepLimit{.entries = 1000, .millis = 5}
struct SweepLimit {
  std::optional<int64_t> entries = std::nullopt;  // To look at. 0: none.
  std::optional<int64_t> millis = std::nullopt;   // By the sweeper's clock.
  // Ends the sweep within one slice when it becomes true. Borrowed.
  const std::atomic<bool>* stop = nullptr;

  bool bounded() const {
    return entries.has_value() || millis.has_value() || stop != nullptr;
  }
};

}  // namespace larder::sweeper

#endif  // LARDER_SWEEPER_SWEEP_LIMIT_H_
