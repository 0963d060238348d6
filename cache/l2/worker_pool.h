// Threads that help a caller with the pieces of one call.
#ifndef LARDER_CACHE_L2_WORKER_POOL_H_
#define LARDER_CACHE_L2_WORKER_POOL_H_

#include <condition_variable>
#include <cstddef>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "cache/mutex.h"

namespace larder::cache::l2 {

// Thread-safe. Callers never wait for a helper that is busy elsewhere: each
// does its own pieces, and helpers take what they come to.
class WorkerPool {
 public:
  // Starts its threads when they are first needed.
  explicit WorkerPool(int helpers) : helpers_(helpers) {}
  // No call may be under way.
  ~WorkerPool();

  // Calls `work` with 0 to count - 1, each once, in any order, here and on
  // helpers. Returns when all calls have returned. `work` must not call this.
  void ForEach(size_t count, absl::FunctionRef<void(size_t)> work);

 private:
  struct Job;
  void Start() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Help();

  const int helpers_;
  Mutex mu_;
  std::condition_variable_any changed_;
  std::vector<Job*> open_ ABSL_GUARDED_BY(mu_);  // May have pieces left.
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_WORKER_POOL_H_
