// LMDB as a store of the benchmarks.
#ifndef LARDER_BENCH_STORES_LMDB_H_
#define LARDER_BENCH_STORES_LMDB_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/store.h"

namespace larder::bench {

struct LmdbOptions {
  std::string dir;        // Created.
  int64_t bytes_max = 0;  // Of its map.
};

// One transaction a put, without syncs (MDB_NOSYNC), which is what `interval`
// durability compares with; one read transaction, renewed for each get.
// LMDB verifies nothing that it reads.
absl::StatusOr<std::unique_ptr<Store>> OpenLmdb(const LmdbOptions& options);

// Another way to read `lmdb`, which is OpenLmdb()'s and outlives it: the value
// is used where it is mapped, and not copied out. Named "lmdb, zero-copy".
std::unique_ptr<Store> ZeroCopyLmdb(Store* lmdb);

// Copies `lmdb`, which is OpenLmdb()'s, into `dir`, which is created:
// mdb_env_copyfd, since mdb_env_copy writes past the page cache.
absl::Status BackUpLmdb(Store* lmdb, const std::string& dir);

}  // namespace larder::bench

#endif  // LARDER_BENCH_STORES_LMDB_H_
