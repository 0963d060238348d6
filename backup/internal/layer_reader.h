// Reads the records of one dump in order, and where their frames lie, without
// reading the frames.
#ifndef LARDER_BACKUP_INTERNAL_LAYER_READER_H_
#define LARDER_BACKUP_INTERNAL_LAYER_READER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/blob_place.h"
#include "backup/internal/frame_places.h"
#include "backup/internal/kept_ranges.h"
#include "backup/internal/pack_stream.h"
#include "cache/l2/file.h"

namespace larder::backup_internal {

// Strict: damage of what it reads is an error. It does not look at frames;
// their checksums are in the records. But those of a sealed dump have to be
// read with what tells where they are. Records whose frames the source could
// not read are left out.
//
// The places of sealed frames are not to be read from: nothing opens them.
//
// Single-owner. Memory: one Records chunk and what goes with it.
class LayerReader {
 public:
  // Borrows all; `cancellation` may be null. `source`: its index in the dump.
  LayerReader(const backup::Archive* archive,
              const backup::format::Manifest* manifest, uint16_t source,
              const backup::Cancellation* cancellation);

  // Up to where the layer has told what it says: at a record, or, in a delta,
  // at the end of the ranges of a chunk.
  struct Head {
    bool at_end = false;
    PlacedRecord* record = nullptr;  // Until Advance().
    BlobPlace place;
  };
  // Errors: kDataLoss; kCancelled; what the file system says.
  absl::StatusOr<Head> Peek();
  // Moves behind the head.
  void Advance();

  // Whether an older layer's record at `place`, which is not behind the head,
  // is gone as of this one. False for a full dump, which has none below.
  bool Hides(const BlobPlace& place, uint64_t fingerprint);

 private:
  absl::Status ReadChunk();
  absl::Status TakeRecords(const StreamItem& item);
  absl::Status TakeFrames(const StreamItem& item);
  absl::StatusOr<std::string> ReadAt(const StreamItem& item, uint64_t offset,
                                     uint64_t bytes);
  absl::Status Bad(const StreamItem& item, absl::string_view what) const;

  const backup::Archive* const archive_;
  const backup::format::Manifest* const manifest_;
  const uint16_t source_;
  const bool is_delta_;
  absl::Status problem_;
  PackStream stream_;
  std::optional<StreamItem> ahead_;  // The Records chunk after this one.
  bool started_ = false;
  bool at_end_ = false;
  // Of the pack that was read last.
  std::string file_name_;
  std::unique_ptr<cache::l2::File> file_;

  // Of the chunk.
  uint64_t sequence_ = 0;
  std::vector<PlacedRecord> records_;
  std::vector<uint32_t> frames_seen_;  // Of each record.
  size_t at_ = 0;                      // In `records_`.
  std::vector<KeptRange> ranges_;
  size_t range_at_ = 0;
  BlobPlace last_;  // The end of the last range, or the last record.
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_LAYER_READER_H_
