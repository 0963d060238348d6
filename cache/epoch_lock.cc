#include "cache/epoch_lock.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cache/check.h"

namespace larder::cache {
namespace {

// Looks at the stripes before Advance() blocks: a put is over in microseconds,
// a wake-up takes tens of them. About 10 us on the machine of docs/bench.
constexpr int kSpinsMax = 500;
// Keeps `now + timeout` far from the end of the clock.
constexpr int64_t kTimeoutMsMax = int64_t{1000} * 3600 * 24 * 365;

// A number per thread, so that threads spread over the stripes.
uint32_t ThreadNumber() {
  static std::atomic<uint32_t> next{1};
  static thread_local constinit uint32_t number = 0;
  if (number == 0) number = next.fetch_add(1, std::memory_order_relaxed);
  return number;
}

}  // namespace

void EpochLock::Guard::Leave() {
  if (lock_ == nullptr) return;
  std::exchange(lock_, nullptr)->LeaveStripe(epoch_, stripe_);
}

EpochLock::Pin::Pin(EpochLock* lock, uint64_t epoch, PinOptions options,
                    int64_t born_steady_nanos)
    : lock_(lock),
      epoch_(epoch),
      options_(std::move(options)),
      born_steady_nanos_(born_steady_nanos) {}

EpochLock::Pin::~Pin() { lock_->Unpin(this); }

absl::Status EpochLock::Pin::status() const {
  if (!aborted_.load(std::memory_order_acquire)) return absl::OkStatus();
  return absl::AbortedError(abort_reason_);
}

double EpochLock::Pin::used() const {
  const int64_t age_nanos =
      lock_->clock_->NowSteadyNanos() - born_steady_nanos_;
  return std::max(bytes_used_.load(std::memory_order_relaxed),
                  static_cast<double>(age_nanos) / 1e6 /
                      static_cast<double>(options_.age_ms_max));
}

EpochLock::EpochLock(uint64_t first_epoch, const Clock* clock)
    : clock_(clock), epoch_(first_epoch) {
  LARDER_CHECK(first_epoch >= 1);
}

EpochLock::~EpochLock() {
  LARDER_CHECK(Drained(0) && Drained(1));
  MutexLock lock(&pins_mu_);
  LARDER_CHECK(pins_.empty());
}

// Enter() and Advance() each write one of (inside, epoch) and then read the
// other, all sequentially consistent. So either the entrant sees the new epoch
// and backs out, or Advance() sees the entrant.
EpochLock::Guard EpochLock::Enter() {
  const uint32_t stripe = ThreadNumber() % kStripes;
  while (true) {
    const uint64_t epoch = epoch_.load(std::memory_order_acquire);
    stripes_[stripe].inside[epoch & 1].fetch_add(1, std::memory_order_seq_cst);
    if (epoch_.load(std::memory_order_seq_cst) == epoch) {
      return Guard(this, epoch, stripe);
    }
    LeaveStripe(epoch, stripe);
  }
}

// No wake-up is lost. Either this decrement comes before the `waiting_ = true`
// of Advance(), which looks at the stripes after it; or the mutex orders the
// notification after the look that still saw this entrant.
void EpochLock::LeaveStripe(uint64_t epoch, uint32_t stripe) {
  const int64_t before = stripes_[stripe].inside[epoch & 1].fetch_sub(
      1, std::memory_order_seq_cst);
  if (before == 1 && waiting_.load(std::memory_order_seq_cst)) {
    MutexLock lock(&mu_);
    changed_.notify_all();
  }
}

// A stripe seen at zero stays free of members once its epoch is closed: who
// still counts itself in will see the new epoch and back out.
bool EpochLock::Drained(uint64_t epoch) const {
  for (const Stripe& stripe : stripes_) {
    if (stripe.inside[epoch & 1].load(std::memory_order_seq_cst) != 0) {
      return false;
    }
  }
  return true;
}

bool EpochLock::WaitUntilDrained(
    uint64_t epoch, std::chrono::steady_clock::time_point deadline) {
  for (int i = 0; i < kSpinsMax; ++i) {
    if (Drained(epoch)) return true;
  }
  waiting_.store(true, std::memory_order_seq_cst);
  const bool drained =
      changed_.wait_until(mu_, deadline, [&] { return Drained(epoch); });
  waiting_.store(false, std::memory_order_relaxed);
  return drained;
}

absl::StatusOr<uint64_t> EpochLock::Advance(int64_t timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::milliseconds(
                            std::clamp<int64_t>(timeout_ms, 0, kTimeoutMsMax));
  MutexLock lock(&mu_);
  while (advancing_) {
    if (changed_.wait_until(mu_, deadline) == std::cv_status::timeout &&
        advancing_) {
      return absl::DeadlineExceededError(absl::StrCat(
          "epoch lock: another advance is running after ", timeout_ms, " ms"));
    }
  }
  advancing_ = true;
  if (undrained_epoch_ == 0) {
    undrained_epoch_ = epoch_.fetch_add(1, std::memory_order_seq_cst);
  }
  const uint64_t closed = undrained_epoch_;
  const bool drained = WaitUntilDrained(closed, deadline);
  if (drained) undrained_epoch_ = 0;
  advancing_ = false;
  changed_.notify_all();
  if (!drained) {
    return absl::DeadlineExceededError(
        absl::StrCat("epoch lock: epoch ", closed, " still has members after ",
                     timeout_ms, " ms"));
  }
  return closed;
}

std::unique_ptr<EpochLock::Pin> EpochLock::PinEpoch(uint64_t epoch,
                                                    PinOptions options) {
  std::unique_ptr<Pin> pin(
      new Pin(this, epoch, std::move(options), clock_->NowSteadyNanos()));
  MutexLock lock(&pins_mu_);
  pins_.push_back(pin.get());
  return pin;
}

void EpochLock::Unpin(const Pin* pin) {
  MutexLock lock(&pins_mu_);
  const auto it = std::find(pins_.begin(), pins_.end(), pin);
  LARDER_CHECK(it != pins_.end());
  pins_.erase(it);
}

uint64_t EpochLock::OldestPinnedEpoch() const {
  uint64_t oldest = std::numeric_limits<uint64_t>::max();
  MutexLock lock(&pins_mu_);
  for (const Pin* pin : pins_) {
    if (!pin->aborted_.load(std::memory_order_relaxed)) {
      oldest = std::min(oldest, pin->epoch_);
    }
  }
  return oldest;
}

int EpochLock::AbortPinsOverLimit(int64_t deferred_bytes) {
  // Before the ages are looked at: when that removes the oldest epoch, the
  // figure no longer says anything about the rest.
  const uint64_t oldest = OldestPinnedEpoch();
  const int64_t now_nanos = clock_->NowSteadyNanos();
  int aborted = 0;
  MutexLock lock(&pins_mu_);
  for (Pin* pin : pins_) {
    if (pin->aborted_.load(std::memory_order_relaxed)) continue;
    const int64_t age_ms = (now_nanos - pin->born_steady_nanos_) / 1'000'000;
    const int64_t bytes_max = pin->options_.deferred_bytes_max;
    for (const int64_t limit : {bytes_max, pin->options_.room_bytes}) {
      if (pin->epoch_ != oldest || limit <= 0) continue;
      const double used =
          static_cast<double>(deferred_bytes) / static_cast<double>(limit);
      if (used > pin->bytes_used_.load(std::memory_order_relaxed)) {
        pin->bytes_used_.store(used, std::memory_order_relaxed);
      }
    }
    std::string excess;
    if (age_ms > pin->options_.age_ms_max) {
      excess = absl::StrCat("age_ms ", age_ms, " exceeds ",
                            pin->options_.age_ms_max);
    } else if (pin->epoch_ == oldest && bytes_max > 0 &&
               deferred_bytes > bytes_max) {
      excess = absl::StrCat("deferred_bytes ", deferred_bytes, " exceeds ",
                            bytes_max);
    } else {
      continue;
    }
    pin->abort_reason_ = absl::StrCat("pin of epoch ", pin->epoch_, " by ",
                                      pin->options_.owner, ": ", excess);
    pin->aborted_.store(true, std::memory_order_release);
    ++aborted;
  }
  return aborted;
}

std::vector<EpochLock::PinInfo> EpochLock::Pins() const {
  const int64_t now_nanos = clock_->NowSteadyNanos();
  std::vector<PinInfo> pins;
  MutexLock lock(&pins_mu_);
  for (const Pin* pin : pins_) {
    if (pin->aborted_.load(std::memory_order_relaxed)) continue;
    pins.push_back({pin->options_.owner, pin->epoch_,
                    (now_nanos - pin->born_steady_nanos_) / 1'000'000});
  }
  return pins;
}

}  // namespace larder::cache
