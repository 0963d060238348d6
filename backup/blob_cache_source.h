// The blob cache as a source of a backup.
#ifndef LARDER_BACKUP_BLOB_CACHE_SOURCE_H_
#define LARDER_BACKUP_BLOB_CACHE_SOURCE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backup/source.h"
#include "cache/epoch_lock.h"
#include "cache/snapshot.h"

namespace larder::backup {

// Dumps a snapshot of L2, or what of it changed since an epoch of the same
// lineage that the sink holds. Generations and tombstones always, twice (damage
// to one copy costs nothing); records and frames with
// SourceRequest::include_blob_cache. Frames are forwarded as L2 holds them.
//
// A blob that L2 itself finds damaged is left out and listed as a problem. The
// view fails when the pin is taken away (kAborted).
//
// Frames are read once, for all dumps that need them; metadata once for each.
//
// Memory, for each dump: one read of 64 records, one range of records
// (Options), one frame chunk; a blob of any size passes frame by frame.
class BlobCacheSource : public SnapshotSource {
 public:
  struct Options {
    std::string name = "cache";
    bool required = false;
    cache::EpochLock::PinOptions pin = {.owner = "backup"};
    // A range ends at whichever comes first. Smaller ranges lose less to a
    // damaged chunk and compress worse.
    int64_t range_records_max = 1024;
    int64_t range_metadata_bytes = 256 << 10;
    // Unchanged records that one chunk of a delta vouches for, at 8 bytes each.
    int64_t range_kept_max = 16'384;
    // A frame chunk is sent once it holds so much.
    int64_t frame_chunk_bytes = 1 << 20;
  };
  // Usually BlobCache::TakeSnapshot.
  using TakeSnapshotFn =
      std::function<absl::StatusOr<std::unique_ptr<cache::Snapshot>>(
          const cache::EpochLock::PinOptions&)>;

  BlobCacheSource(TakeSnapshotFn take_snapshot, Options options)
      : take_snapshot_(std::move(take_snapshot)),
        options_(std::move(options)) {}

  const std::string& name() const override { return options_.name; }
  bool required() const override { return options_.required; }
  absl::StatusOr<std::unique_ptr<SourceView>> Open(
      const SourceRequest& request) override;

 private:
  const TakeSnapshotFn take_snapshot_;
  const Options options_;
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_BLOB_CACHE_SOURCE_H_
