// The grace period that puts, sweeps, evictions, the committer and backup
// share, and the pins that keep an epoch readable.
//
//          Enter()  Enter()             Enter()
//   epoch E: |--------|   epoch E+1:      |-----------
//                     ^ Advance() returns E: all inside E have left;
//                       nobody who entered later waited.
#ifndef LARDER_CACHE_EPOCH_LOCK_H_
#define LARDER_CACHE_EPOCH_LOCK_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/clock.h"
#include "cache/mutex.h"

namespace larder::cache {

// Thread-safe. Does no I/O. Not a reader-writer lock: Enter() never waits for
// Advance(), Pin() or a backup.
class EpochLock {
 public:
  // Membership of one epoch; leaves it when destroyed. Move-only. A thread may
  // hold several, but must not call Advance() while it holds one.
  class Guard {
   public:
    Guard() = default;
    Guard(Guard&& other) noexcept
        : lock_(std::exchange(other.lock_, nullptr)),
          epoch_(other.epoch_),
          stripe_(other.stripe_) {}
    Guard& operator=(Guard&& other) noexcept {
      Leave();
      lock_ = std::exchange(other.lock_, nullptr);
      epoch_ = other.epoch_;
      stripe_ = other.stripe_;
      return *this;
    }
    ~Guard() { Leave(); }

    uint64_t epoch() const { return epoch_; }
    // Leaves the epoch early. Idempotent.
    void Leave();

   private:
    friend class EpochLock;
    Guard(EpochLock* lock, uint64_t epoch, uint32_t stripe)
        : lock_(lock), epoch_(epoch), stripe_(stripe) {}
    EpochLock* lock_ = nullptr;
    uint64_t epoch_ = 0;
    uint32_t stripe_ = 0;
  };

  struct PinOptions {
    std::string owner;               // For people: who keeps the epoch.
    int64_t age_ms_max = 3'600'000;  // Past it the pin is aborted.
    // Bytes that may wait for this pin before it is aborted. 0: no limit.
    int64_t deferred_bytes_max = 0;
    // Bytes that may wait before others are short of room, if that is less.
    // 0: unknown.
    int64_t room_bytes = 0;
  };

  // What a pin looks like from outside.
  struct PinInfo {
    std::string owner;
    uint64_t epoch = 0;
    int64_t age_ms = 0;
  };

  // Keeps an epoch's pages and chains from reuse until destroyed or aborted.
  // Thread-safe. Must not outlive the EpochLock.
  class Pin {
   public:
    ~Pin();
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;
    uint64_t epoch() const { return epoch_; }
    // OK while the epoch is kept. Once not OK (kAborted: age or budget) it
    // stays so, and what was read since the last OK must be thrown away.
    absl::Status status() const;
    // The largest share of its age, of its budget or of the room that was used
    // up so far; of age and budget, more than 1 aborts it. Never shrinks.
    double used() const;

   private:
    friend class EpochLock;
    Pin(EpochLock* lock, uint64_t epoch, PinOptions options,
        int64_t born_steady_nanos);
    EpochLock* const lock_;
    const uint64_t epoch_;
    const PinOptions options_;
    const int64_t born_steady_nanos_;
    std::atomic<bool> aborted_{false};
    std::atomic<double> bytes_used_{0};  // The share of budget or room.
    std::string abort_reason_;           // Written before aborted_ is set.
  };

  // The first Enter() joins `first_epoch`, which is at least 1. Borrows
  // `clock`. Guards and pins must be gone before it is destroyed.
  EpochLock(uint64_t first_epoch, const Clock* clock);
  ~EpochLock();

  // Joins the current epoch. Tens of nanoseconds; no waiting.
  Guard Enter();

  // Closes the current epoch and waits until all inside it have left.
  // Returns: the closed epoch.
  // Errors: kDeadlineExceeded after `timeout_ms`; the epoch stays closed, and
  // the next call goes on waiting for that one.
  // One caller at a time; others wait their turn, which counts as waiting.
  absl::StatusOr<uint64_t> Advance(int64_t timeout_ms);

  uint64_t current_epoch() const {
    return epoch_.load(std::memory_order_acquire);
  }

  // Pins `epoch`, which the caller knows to be still whole (the committer
  // pins what it just published, before it releases anything).
  std::unique_ptr<Pin> PinEpoch(uint64_t epoch, PinOptions options);

  // The oldest epoch that a live pin keeps, or UINT64_MAX.
  uint64_t OldestPinnedEpoch() const;

  // Aborts pins past their age, and pins of the oldest epoch whose budget
  // `deferred_bytes` exceeds. A younger pin is judged by the figure that is
  // left once the older ones are gone, so by a later call.
  // Returns how many were aborted.
  int AbortPinsOverLimit(int64_t deferred_bytes);

  // The pins that are not aborted, in no order.
  std::vector<PinInfo> Pins() const;

 private:
  static constexpr uint32_t kStripes = 16;
  struct alignas(64) Stripe {
    // Entrants inside, by the parity of their epoch. Two suffice: Advance()
    // drains an epoch before the one after it can close.
    std::atomic<int64_t> inside[2] = {0, 0};
  };

  void LeaveStripe(uint64_t epoch, uint32_t stripe) ABSL_LOCKS_EXCLUDED(mu_);
  bool Drained(uint64_t epoch) const;
  bool WaitUntilDrained(uint64_t epoch,
                        std::chrono::steady_clock::time_point deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Unpin(const Pin* pin) ABSL_LOCKS_EXCLUDED(pins_mu_);

  const Clock* const clock_;  // For the age of pins; deadlines are real time.
  std::atomic<uint64_t> epoch_;
  Stripe stripes_[kStripes];

  // Set while Advance() blocks, so that leaving takes no mutex otherwise.
  std::atomic<bool> waiting_{false};
  Mutex mu_;
  // An Advance() has its turn.
  bool advancing_ ABSL_GUARDED_BY(mu_) = false;
  // The epoch that is closed and not drained, or 0.
  uint64_t undrained_epoch_ ABSL_GUARDED_BY(mu_) = 0;
  // Somebody left, or a turn ended.
  std::condition_variable_any changed_;

  mutable Mutex pins_mu_;
  // All that exist, aborted ones included.
  std::vector<Pin*> pins_ ABSL_GUARDED_BY(pins_mu_);
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_EPOCH_LOCK_H_
