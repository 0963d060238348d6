// Threads that change the cache all the time: puts, deletes, invalidations,
// and sweeps.
#ifndef LARDER_TOOLS_DEMO_STORM_H_
#define LARDER_TOOLS_DEMO_STORM_H_

#include <atomic>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "cache/mutex.h"
#include "sweeper/blob_cache_sweeper.h"
#include "tools/demo/stage.h"

namespace larder::demo {

struct StormCounts {
  int64_t puts = 0;
  int64_t put_bytes = 0;
  int64_t deletes = 0;
  int64_t invalidations = 0;
  int64_t sweeps = 0;  // Rounds.
  int64_t swept = 0;   // Blobs that they removed.
};

// One thread that writes, at most kBytesPerSecond, and one that sweeps round
// after round; the model learns of every change. Single-owner; counts are
// thread-safe. Borrows `stage`, whose cache stays as it is until Stop().
class Storm {
 public:
  static constexpr int64_t kBytesPerSecond = int64_t{32} << 20;

  explicit Storm(Stage* stage) : stage_(stage) {}
  ~Storm() { Stop(); }

  // Errors: when the files to write cannot be read.
  absl::Status Start();
  void Stop();

  StormCounts counts() const ABSL_LOCKS_EXCLUDED(mu_);
  // The first error that a write or a sweep met.
  absl::Status status() const ABSL_LOCKS_EXCLUDED(mu_);
  // Whether a round of sweeps has removed something and is not through.
  bool sweeping() const { return sweeping_.load(); }
  // No new round starts until this is called with false.
  void HoldSweeps(bool hold) { hold_.store(hold); }

 private:
  struct Content {
    int32_t file;
    std::string bytes;
  };

  void Write();
  absl::Status WriteOne(std::mt19937_64* random, int64_t* bytes);
  void Sweep();
  absl::Status SweepRound(sweeper::BlobCacheSweeper* sweeper);
  void Record(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  Stage* const stage_;
  std::vector<Content> pool_;  // Small files, in memory.
  std::thread writer_;
  std::thread sweeper_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> sweeping_{false};
  std::atomic<bool> hold_{false};
  mutable cache::Mutex mu_;
  StormCounts counts_ ABSL_GUARDED_BY(mu_);
  absl::Status status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_STORM_H_
