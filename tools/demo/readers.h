// Threads that read all the time, check what they get, and time it.
#ifndef LARDER_TOOLS_DEMO_READERS_H_
#define LARDER_TOOLS_DEMO_READERS_H_

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "tools/demo/latency.h"
#include "tools/demo/stage.h"

namespace larder::demo {

// Reads files that were imported, some far more often than others, and holds
// what it gets against the checksum of the file that the blob's version names.
// Single-owner. Borrows `stage`, whose cache and corpus stay as they are until
// the readers have stopped.
class Readers {
 public:
  explicit Readers(Stage* stage) : stage_(stage) {}
  ~Readers() { Stop(); }

  void Start(int threads);
  void Stop();

  // The first `count` files of the corpus are there to be read.
  void Publish(int64_t count) { published_.store(count); }
  // Where the times go from now on; null: nowhere.
  void RecordTo(LatencyHistogram* histogram) { histogram_.store(histogram); }

  int64_t gets() const { return gets_.load(); }
  // Gets whose bytes were not those of the file. Must stay 0.
  int64_t wrong() const { return wrong_.load(); }

 private:
  void Run(uint64_t seed);
  void ReadOne(int64_t index);

  Stage* const stage_;
  std::vector<std::thread> threads_;
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> published_{0};
  std::atomic<LatencyHistogram*> histogram_{nullptr};
  std::atomic<int64_t> gets_{0};
  std::atomic<int64_t> wrong_{0};
};

}  // namespace larder::demo

#endif  // LARDER_TOOLS_DEMO_READERS_H_
