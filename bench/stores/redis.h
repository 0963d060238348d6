// Redis as a store of the benchmarks.
#ifndef LARDER_BENCH_STORES_REDIS_H_
#define LARDER_BENCH_STORES_REDIS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "bench/store.h"

namespace larder::bench {

// Starts a redis-server that keeps everything in memory and writes nothing,
// with a unix socket in `dir` (created), and talks to it through hiredis. The
// server ends with the store, and with the thread that called.
// Errors: kNotFound when no server is installed; kUnavailable when it does not
// answer.
absl::StatusOr<std::unique_ptr<Store>> OpenRedis(const std::string& dir);

}  // namespace larder::bench

#endif  // LARDER_BENCH_STORES_REDIS_H_
