// Time as the cache sees it, so that tests own it.
#ifndef LARDER_CACHE_CLOCK_H_
#define LARDER_CACHE_CLOCK_H_

#include <atomic>
#include <cstdint>

namespace larder::cache {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Wall clock, milliseconds since the Unix epoch. May step back.
  virtual int64_t NowUnixMillis() const = 0;
  // Nanoseconds of a clock that never steps back; its zero is arbitrary.
  virtual int64_t NowSteadyNanos() const = 0;
};

// The machine's clocks. Lives for the whole process.
Clock* SystemClock();

// A clock that moves only when it is told to.
class ManualClock : public Clock {
 public:
  explicit ManualClock(int64_t unix_millis) : unix_millis_(unix_millis) {}
  int64_t NowUnixMillis() const override { return unix_millis_.load(); }
  int64_t NowSteadyNanos() const override {
    return unix_millis_.load() * 1'000'000;
  }
  void AdvanceMillis(int64_t delta_millis) { unix_millis_ += delta_millis; }

 private:
  std::atomic<int64_t> unix_millis_;
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_CLOCK_H_
