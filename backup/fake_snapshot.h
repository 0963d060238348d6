// A cache in memory, for tests: what a snapshot of it holds, and what a loader
// made of one.
#ifndef LARDER_BACKUP_FAKE_SNAPSHOT_H_
#define LARDER_BACKUP_FAKE_SNAPSHOT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/blob_cache_source.h"
#include "cache/l2/file.h"
#include "cache/snapshot.h"

namespace larder::backup {

using BlobKey = std::pair<std::string, std::string>;  // Namespace, key.

// What a cache holds, by value. Thread-compatible.
struct FakeCache {
  struct Blob {
    cache::StoredRecord record;
    std::vector<std::string> frames;
  };

  cache::SnapshotInfo info;  // Counts and digest are filled by Snapshot().
  std::map<BlobKey, Blob> blobs;
  // Keys in each range of a delta; all of them count as changed.
  size_t delta_range_keys = 3;
  // Faults of snapshots of it.
  std::set<BlobKey> damaged_headers;  // StoredRecord::status.
  std::set<std::pair<BlobKey, size_t>> damaged_frames;
  int64_t frames_until_abort = -1;  // Pin lost after so many; -1: never.
  int64_t frames_read = 0;          // From all snapshots so far.
  double used = 0;                  // Snapshot::used().
  // Frames that are made when read rather than kept.
  std::function<std::string(size_t frame)> make_frame;

  FakeCache();
  // Adds a blob of frames of `frame_bytes`, written at `hlc`.
  void Put(const std::string& ns, const std::string& key,
           absl::string_view bytes, uint64_t hlc, size_t frame_bytes = 1000);
  // Adds one of `frames` frames from make_frame, all of `frame_bytes`.
  void PutGenerated(const std::string& ns, const std::string& key,
                    size_t frames, size_t frame_bytes);
  std::string Bytes(const BlobKey& key) const;  // Of all frames.
  absl::uint128 Digest() const;

  // Borrows this.
  std::unique_ptr<cache::Snapshot> Snapshot();
  BlobCacheSource::TakeSnapshotFn Taker() {
    return [this](const auto&) { return Snapshot(); };
  }
  // Loads into `*this`, and leaves a file in the directory `path`.
  std::unique_ptr<cache::L2Loader> Loader(const std::string& path,
                                          cache::l2::FileSystem* file_system,
                                          const cache::SnapshotInfo& source);
};

// `count` blobs in two namespaces, of sizes around `bytes`.
FakeCache MakeFakeCache(int count, size_t bytes);
// `bytes` that zstd cannot compress, the same for the same seed.
std::string RandomBytes(uint64_t seed, size_t bytes);

}  // namespace larder::backup

#endif  // LARDER_BACKUP_FAKE_SNAPSHOT_H_
