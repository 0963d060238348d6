// How a BlobCache is opened.
#ifndef LARDER_CACHE_OPTIONS_H_
#define LARDER_CACHE_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "cache/clock.h"
#include "cache/l2/file.h"

namespace larder::cache {

// What an acknowledged put survives. Deletes and invalidations survive a
// process kill at every level (design.md, L2 invariant 5).
//   level      process killed                      power cut
//   kNone      puts since the last commit are lost anything may be lost, down
//                                                  to the whole cache; nothing
//                                                  wrong is ever served;
//                                                  opening looks at every
//                                                  record
//   kInterval  puts since the last commit (at most puts and invalidations
//              the interval) are lost              since the last commit
//   kEveryPut  nothing                             nothing
// What GetOrLoad() loaded can be loaded again: it waits for no commit, and is
// lost at kEveryPut as at kInterval.
enum class Durability : uint8_t { kNone, kInterval, kEveryPut };

struct BlobCacheOptions {
  // Directory of the durable tier, created when absent. Empty: L1 only.
  std::string l2_path = {};
  // Fail with kNotFound instead of creating the directory.
  bool l2_must_exist = false;

  int64_t l1_bytes_max = int64_t{256} << 20;
  // Bounds the disk: pages and chains as allocated, not payload.
  // At least kL2BytesMin.
  int64_t l2_bytes_max = int64_t{4} << 30;
  int32_t l1_shards = 64;  // A power of two.
  int32_t namespaces_max = 256;

  Durability durability = Durability::kInterval;
  int64_t commit_interval_ms = 1000;
  // Runs the committer in a thread of its own. Without it, commits happen in
  // Flush(), snapshots, and puts that need space or kEveryPut: for tests and
  // for one-shot tools.
  bool background_commits = true;
  // How long a commit waits for mutations that are under way to leave its
  // epoch. They take milliseconds; one that does not is stuck, and the commit
  // fails with kDeadlineExceeded.
  int64_t epoch_timeout_ms = 30'000;

  int32_t zstd_level = 1;
  // How many threads decompress one large blob, the caller's among them.
  int32_t decode_threads = 2;
  // Blobs below this many bytes are not compressed.
  int64_t compress_bytes_min = 1024;

  Clock* clock = nullptr;                 // Null: SystemClock().
  l2::FileSystem* file_system = nullptr;  // Null: PosixFileSystem().
  uint64_t random_seed = 0;               // 0: from the system.
};

// Below this an L2 cannot hold its own trees through a commit.
inline constexpr int64_t kL2BytesMin = int64_t{8} << 20;

}  // namespace larder::cache

#endif  // LARDER_CACHE_OPTIONS_H_
