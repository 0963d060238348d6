#include "cache/l2/worker_pool.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace larder::cache::l2 {
namespace {

TEST(WorkerPool, EachPieceIsDoneOnceBeforeItReturns) {
  for (const int helpers : {0, 1, 3}) {
    WorkerPool pool(helpers);
    for (const size_t count : {0, 1, 2, 7, 500}) {
      std::vector<std::atomic<int>> done(count);
      pool.ForEach(count, [&](size_t i) { ++done[i]; });
      for (size_t i = 0; i < count; ++i) {
        EXPECT_EQ(done[i], 1)
            << helpers << " helpers: " << i << " of " << count;
      }
    }
  }
}

TEST(WorkerPool, HelpersTakePart) {
  WorkerPool pool(1);
  std::atomic<int> inside{0};
  // Each of two pieces waits for the other: one thread alone would not end.
  pool.ForEach(2, [&](size_t) {
    ++inside;
    while (inside < 2) std::this_thread::yield();
  });
  EXPECT_EQ(inside, 2);
}

TEST(WorkerPool, CallersDoNotWaitForEachOther) {
  WorkerPool pool(1);
  std::atomic<int> others{0};
  // Pieces that keep the caller and the helper busy until another call is done.
  std::thread other([&] { pool.ForEach(100, [&](size_t) { ++others; }); });
  pool.ForEach(2, [&](size_t) {
    while (others < 100) std::this_thread::yield();
  });
  other.join();
  EXPECT_EQ(others, 100);
}

TEST(WorkerPool, ManyCallersAtOnce) {
  WorkerPool pool(2);
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        int64_t own[5] = {};
        pool.ForEach(5, [&](size_t i) { own[i] = static_cast<int64_t>(i); });
        for (int64_t v : own) sum += v;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 4 * 200 * 10);
}

}  // namespace
}  // namespace larder::cache::l2
