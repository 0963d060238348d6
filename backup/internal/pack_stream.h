// Reads the chunks of a snapshot back from its packs, past any damage.
#ifndef LARDER_BACKUP_INTERNAL_PACK_STREAM_H_
#define LARDER_BACKUP_INTERNAL_PACK_STREAM_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/format/dump_seal.h"
#include "cache/l2/file.h"

namespace larder::backup_internal {

// What comes next in a stream.
struct StreamItem {
  enum class Kind { kChunk, kGap, kEnd };
  Kind kind = Kind::kEnd;
  // kChunk: verified and decoded; no payload when the filter refused it.
  backup::format::ChunkHeader header;
  std::string payload;
  std::string pack;         // The name of its pack.
  uint64_t payload_at = 0;  // Where the payload starts in that.
  // kGap: chunks [first, first + count) cannot be read; `reason` names file,
  // offset, found and expected.
  uint64_t gap_first = 0;
  uint64_t gap_count = 0;
  absl::Status reason;
};

// Every sequence number of the snapshot comes once and in order, in a chunk or
// in a gap. A chunk whose header is damaged is skipped by looking for the next
// header that is sound and of this stream, so it costs no other chunk.
//
// Nothing behind the size that the manifest gives a pack is read. Bytes that
// are read in vain, as payloads that prove wrong and in search of a header,
// come to at most kWastedMax times that size, which no accident reaches; then
// the rest of the pack is a gap.
//
// Single-owner. Borrows archive, manifest and cancellation (may be null).
// Memory: one chunk, stored and decoded.
class PackStream {
 public:
  // Says whether the payload of a chunk is wanted; empty: of all.
  using FilterFn = std::function<bool(const backup::format::ChunkHeader&)>;
  // Told everything wrong, also what costs no chunk.
  using ProblemFn = std::function<void(const absl::Status&)>;

  PackStream(const backup::Archive* archive,
             const backup::format::Manifest* manifest, FilterFn filter,
             ProblemFn problem, const backup::Cancellation* cancellation);

  // Starts with the pack at this index of the manifest. Before any Next().
  void StartAt(int pack);

  // Payloads that are sealed are checked as they are stored, and not opened:
  // items have none. Takes no key. Before any Next().
  void KeepSealed() { keep_sealed_ = true; }

  // Errors: kFailedPrecondition (a newer format; unknown critical chunk; a
  // sealed payload without the key), kCancelled, and what the file system says
  // other than absent, damaged or cut short.
  absl::StatusOr<StreamItem> Next();

  // Of packs, read or passed over.
  int64_t bytes_done() const { return bytes_done_; }
  // Over the headers of all chunks so far but the trailer's.
  absl::uint128 stream_digest() const { return digest_.Digest(); }

 private:
  // A header and where it stands.
  struct Found {
    backup::format::ChunkHeader header;
    std::string bytes;
    uint64_t offset = 0;
  };

  static constexpr uint64_t kWastedMax = 4;

  uint64_t sequence_end() const;  // Of the pack.
  uint64_t bytes_end() const;     // Of what is there of the pack.
  absl::Status OpenPack();
  void ClosePack();
  absl::Status ReadHeader(uint64_t offset, Found* found) const;
  // Counts the bytes passed over in `wasted_`.
  absl::StatusOr<bool> FindNext(uint64_t from, Found* found);
  absl::StatusOr<StreamItem> Resync(const absl::Status& reason);
  absl::StatusOr<StreamItem> TakeChunk(Found found);
  absl::StatusOr<std::string> TakePayload(const Found& found);
  StreamItem Gap(uint64_t end, const absl::Status& reason);
  absl::Status At(uint64_t offset, const absl::Status& status) const;

  const backup::Archive* const archive_;
  const backup::format::Manifest* const manifest_;
  const FilterFn filter_;
  const ProblemFn problem_;
  const backup::Cancellation* const cancellation_;
  const backup::format::DumpSeal seal_;
  bool keep_sealed_ = false;

  int pack_index_ = -1;
  const backup::format::Pack* pack_ = nullptr;
  std::unique_ptr<cache::l2::File> file_;  // Null: the pack cannot be read.
  absl::Status open_status_;               // Why.
  uint64_t offset_ = 0;                    // Of the next chunk in the pack.
  uint64_t search_from_ = 0;  // Where to look for it when it is not there.
  uint64_t sequence_ = 0;     // Of the next chunk.
  uint64_t wasted_ = 0;       // Bytes of the pack read in vain.
  std::unique_ptr<Found> resynced_;  // Found behind a gap.
  // Of the bytes of the pack so far, while they were all read in order.
  backup::format::StreamingChecksum128 pack_checksum_;
  bool pack_checksum_valid_ = false;
  backup::format::StreamingChecksum128 digest_;
  int64_t bytes_done_ = 0;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_PACK_STREAM_H_
