// RocksDB as a store of the benchmarks.
#ifndef LARDER_BENCH_STORES_ROCKSDB_H_
#define LARDER_BENCH_STORES_ROCKSDB_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/store.h"

namespace larder::bench {

struct RocksDbOptions {
  std::string dir;     // Created.
  bool blobs = false;  // BlobDB: values from 512 bytes up in blob files.
  bool sync = false;   // Each put.
  bool wal = true;     // False: what no flush wrote is lost with the process.
};

// As it comes, with Bloom filters of 10 bits a key and without compression;
// it verifies the checksums of what it reads. Reads take the pinned value, and
// do not copy it again. Thread-safe. Named "rocksdb" or "rocksdb blobdb", and
// ", no WAL" behind it.
absl::StatusOr<std::unique_ptr<Store>> OpenRocksDb(
    const RocksDbOptions& options);

// Has RocksDB's BackupEngine back up `rocksdb`, which is OpenRocksDb()'s, into
// `dir`, which is created: as it comes, without syncs.
absl::Status BackUpRocksDb(Store* rocksdb, const std::string& dir);

}  // namespace larder::bench

#endif  // LARDER_BENCH_STORES_ROCKSDB_H_
