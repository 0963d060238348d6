// Asks a running backup, restore or verification to stop.
#ifndef LARDER_BACKUP_CANCELLATION_H_
#define LARDER_BACKUP_CANCELLATION_H_

#include <atomic>

#include "absl/status/status.h"

namespace larder::backup {

// Thread-safe; Cancel() may be called from a signal handler. Noticed between
// two chunks, and within 50 ms by whoever waits.
class Cancellation {
 public:
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  // The same as what others look at.
  const std::atomic<bool>* flag() const { return &cancelled_; }

 private:
  std::atomic<bool> cancelled_{false};
  static_assert(std::atomic<bool>::is_always_lock_free);
};

// kCancelled once `cancellation` (may be null: never) was asked to stop.
inline absl::Status CheckCancelled(const Cancellation* cancellation) {
  if (cancellation != nullptr && cancellation->cancelled()) {
    return absl::CancelledError("stopped on request");
  }
  return absl::OkStatus();
}

}  // namespace larder::backup

#endif  // LARDER_BACKUP_CANCELLATION_H_
