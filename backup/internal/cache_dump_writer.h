// Writes what one dump is to have of a snapshot of a cache.
#ifndef LARDER_BACKUP_INTERNAL_CACHE_DUMP_WRITER_H_
#define LARDER_BACKUP_INTERNAL_CACHE_DUMP_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backup/format/dump.pb.h"
#include "backup/source.h"
#include "cache/snapshot.h"

namespace larder::backup_internal {

// Finds the records that the dump needs, itself, and takes their frames from
// its owner, who so reads those once that several dumps need:
//
//   ReadOn() until there is a current() record, or done()
//   per frame of it: append to *FrameRoom(), then TookFrame()
//   EndRecord()
//
// Single-owner. Memory: one read of 64 records, one range of them (Limits), one
// chunk of frames.
class CacheDumpWriter {
 public:
  // As BlobCacheSource::Options has them.
  struct Limits {
    int64_t range_records = 0;
    int64_t range_metadata_bytes = 0;
    int64_t range_kept = 0;
    int64_t frame_chunk_bytes = 0;
  };

  // Everything that the snapshot holds or, with a `base`, what changed since.
  // Borrows `snapshot` and `dump`.
  CacheDumpWriter(const cache::Snapshot* snapshot, const Limits& limits,
                  std::optional<cache::DeltaBase> base,
                  backup::SourceDump* dump);

  // Whether that was all, or nobody wants the dump any more.
  bool done() const { return (at_end_ && !begun_) || !wanted_; }
  // In order of their names; the same pointer until EndRecord().
  const cache::StoredRecord* current() const {
    return begun_ && next_ < records_.size() ? &records_[next_] : nullptr;
  }

  // A short step towards the next record. Requires: !done(), no current().
  // Errors: of the snapshot; of the dump.
  absl::Status ReadOn();

  // All of the current record, frame by frame in their order. An error ends the
  // dump.
  std::string* FrameRoom();
  absl::Status TookFrame(size_t bytes);
  // No more of its frames can be read, and why.
  void LoseFrames(absl::string_view why);
  void EndRecord();

 private:
  absl::Status ReadRecords();
  absl::Status ReadDelta();
  absl::Status BeginDelta(std::vector<cache::DeltaRange> ranges);
  // Takes the record into the range, if it is sound and a dump can hold it.
  bool AddRecord(cache::StoredRecord record);
  absl::Status BeginUpTo(const std::string& high);
  absl::Status Begin();
  absl::Status EndRange();
  absl::Status FlushFrames();
  absl::Status EmitNames();
  bool IsFull() const;
  void Problem(absl::string_view what);

  const cache::Snapshot* const snapshot_;
  const Limits limits_;
  const std::optional<cache::DeltaBase> base_;
  backup::SourceDump* const dump_;
  backup::format::SourceTotals* const totals_;

  // What was read, and how far. `at_end_`: the range is the last one.
  cache::Snapshot::Position position_;
  std::vector<cache::StoredRecord> read_;
  size_t taken_ = 0;  // Of `read_`.
  bool at_end_ = false;
  std::string low_;  // Where the next range of a full dump starts.

  // The range: collected, then begun, then its records' frames, then its names.
  std::vector<cache::StoredRecord> records_;
  backup::format::Records message_;
  size_t range_bytes_ = 0;
  bool begun_ = false;
  uint64_t sequence_ = 0;  // Of its Records chunk.
  size_t next_ = 0;        // The current record.

  bool wanted_ = true;  // As the dump said behind the last chunk.
  // The chunk of frames that is being filled, or empty.
  std::string frames_;
  backup::format::FramesIndex index_;
  // Of the current record in that chunk; null: none yet.
  backup::format::FrameRun* run_ = nullptr;
  uint32_t frames_taken_ = 0;  // Of the current record.
  bool lost_ = false;          // LoseFrames() was called for it.
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_CACHE_DUMP_WRITER_H_
