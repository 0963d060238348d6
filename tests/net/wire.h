// The wire between two hosts, which loses, doubles, delays and swaps packets as
// a test says.
#ifndef LARDER_TESTS_NET_WIRE_H_
#define LARDER_TESTS_NET_WIRE_H_

#include <array>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "cache/mutex.h"

namespace larder::tests {

// Of each direction. A plain value.
struct WireFaults {
  double drop = 0;  // Shares of packets.
  double duplicate = 0;
  // A packet takes a time between these, whatever came before it: so they
  // overtake each other.
  int64_t delay_us_min = 0;
  int64_t delay_us_max = 0;
  int64_t bytes_per_second_max = 0;  // 0: no limit.
};

// Thread-safe. A thread of its own carries the packets; which of them are hurt
// follows from the seed and their order.
class Wire {
 public:
  enum Direction : size_t { kForth = 0, kBack = 1 };
  // A plain value.
  struct Counts {
    int64_t packets = 0;  // That were sent.
    int64_t bytes = 0;
    int64_t lost = 0;
  };

  // Between two descriptors (Host::wire_fd()), which outlive it. kForth is from
  // the first to the second.
  Wire(int first, int second, uint64_t seed);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  void SetFaults(const WireFaults& faults) ABSL_LOCKS_EXCLUDED(mu_);
  // From here on nothing passes in that direction, and nobody hears of it.
  void Cut(Direction direction) ABSL_LOCKS_EXCLUDED(mu_);
  void Mend() ABSL_LOCKS_EXCLUDED(mu_);
  // All TCP connections that there are stay as they are for ever: half open.
  // New ones are not touched.
  void SilenceConnections() ABSL_LOCKS_EXCLUDED(mu_);

  // Returns once so many bytes were sent in that direction in all, or after
  // `ms_max`. Returns: whether they were.
  bool AwaitBytes(Direction direction, int64_t bytes, int64_t ms_max)
      ABSL_LOCKS_EXCLUDED(mu_);
  Counts counts(Direction direction) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Way {
    int from;
    int to;
    bool is_cut = false;
    int64_t free_us = 0;  // When the next packet may leave.
    Counts counts = {};
    std::multimap<int64_t, std::string> on_way = {};  // By their arrival.
  };

  void Carry();
  void Take(Way* way, absl::string_view packet, int64_t now_us)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeAll(Way* way, int64_t now_us) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Returns: when the next one arrives.
  int64_t Deliver(Way* way, int64_t now_us) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool Happens(double share) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  cache::Mutex mu_;
  std::condition_variable_any moved_;
  std::array<Way, 2> ways_ ABSL_GUARDED_BY(mu_);
  WireFaults faults_ ABSL_GUARDED_BY(mu_);
  std::mt19937_64 random_ ABSL_GUARDED_BY(mu_);
  // Whether the connection of these two ports is silent.
  std::map<uint32_t, bool> connections_ ABSL_GUARDED_BY(mu_);
  int wake_[2] = {-1, -1};  // A pipe; its end: end.
  std::thread thread_;
};

}  // namespace larder::tests

#endif  // LARDER_TESTS_NET_WIRE_H_
