// pread and pwrite of one file: the floor of what a store can cost.
#ifndef LARDER_BENCH_STORES_RAW_H_
#define LARDER_BENCH_STORES_RAW_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "bench/store.h"

namespace larder::bench {

// Values one after another in the file `path`, which is created; where each is
// stands in a hash table in memory. Reads copy into one buffer.
absl::StatusOr<std::unique_ptr<Store>> OpenRaw(const std::string& path);

}  // namespace larder::bench

#endif  // LARDER_BENCH_STORES_RAW_H_
