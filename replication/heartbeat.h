// Does something now and then while a long call runs.
#ifndef LARDER_REPLICATION_HEARTBEAT_H_
#define LARDER_REPLICATION_HEARTBEAT_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "cache/mutex.h"

namespace larder::replication {

// Calls `beat` from a thread of its own every `interval_ms`, real time, as long
// as it lives. Single-owner.
class Heartbeat {
 public:
  Heartbeat(int64_t interval_ms, std::function<void()> beat)
      : interval_(interval_ms),
        beat_(std::move(beat)),
        thread_([this] { Run(); }) {}
  ~Heartbeat() {
    {
      cache::MutexLock lock(&mu_);
      stop_ = true;
      stopped_.notify_all();
    }
    thread_.join();
  }
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

 private:
  void Run() {
    cache::MutexLock lock(&mu_);
    auto next = std::chrono::steady_clock::now() + interval_;
    while (!stop_) {
      if (stopped_.wait_until(mu_, next) != std::cv_status::timeout) continue;
      beat_();
      next = std::chrono::steady_clock::now() + interval_;
    }
  }

  const std::chrono::milliseconds interval_;
  const std::function<void()> beat_;
  cache::Mutex mu_;
  std::condition_variable_any stopped_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last: it uses the others.
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_HEARTBEAT_H_
