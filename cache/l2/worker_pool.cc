#include "cache/l2/worker_pool.h"

#include <algorithm>
#include <atomic>

namespace larder::cache::l2 {

// Lives on its caller's stack, until nobody is in it.
struct WorkerPool::Job {
  void Run() {
    for (size_t i;
         (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      work(i);
    }
  }

  const size_t count;
  const absl::FunctionRef<void(size_t)> work;
  std::atomic<size_t> next{0};
  int helpers = 0;  // Inside Run(). Guarded by the pool's mutex.
};

WorkerPool::~WorkerPool() {
  {
    MutexLock lock(&mu_);
    stop_ = true;
    changed_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::Start() {
  while (threads_.size() < static_cast<size_t>(helpers_)) {
    threads_.emplace_back([this] { Help(); });
  }
}

void WorkerPool::ForEach(size_t count, absl::FunctionRef<void(size_t)> work) {
  Job job{.count = count, .work = work};
  const bool shared = count > 1 && helpers_ > 0;
  if (shared) {
    MutexLock lock(&mu_);
    Start();
    open_.push_back(&job);
    changed_.notify_all();
  }
  job.Run();
  if (!shared) return;
  MutexLock lock(&mu_);
  std::erase(open_, &job);
  while (job.helpers > 0) changed_.wait(mu_);
}

void WorkerPool::Help() {
  MutexLock lock(&mu_);
  while (true) {
    while (open_.empty() && !stop_) changed_.wait(mu_);
    if (stop_) return;
    Job* const job = open_.front();
    ++job->helpers;
    mu_.unlock();
    job->Run();
    mu_.lock();
    // Nothing is left of it; nobody else should come to it.
    std::erase(open_, job);
    if (--job->helpers == 0) changed_.notify_all();
  }
}

}  // namespace larder::cache::l2
