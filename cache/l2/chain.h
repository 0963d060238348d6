// The bytes of one blob as L2 stores them: its frames, mostly one, behind a
// header block where the record cannot say all that is to be said.
// Bytes: docs/formats/l2.md, "chain".
//
//   record --checksum--> the one frame
//   record --checksum--> header block --checksums--> frames
//
// The record vouches for the first and, through the header block, for all, so
// no byte is returned that the committed tree does not vouch for, and a part
// can be read without the rest. Nothing in a chain says where it lies, so the
// same blob has the same chain, and the same checksum, in every L2.
#ifndef LARDER_CACHE_L2_CHAIN_H_
#define LARDER_CACHE_L2_CHAIN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/blob.h"
#include "cache/l2/file.h"
#include "cache/l2/record.h"
#include "cache/l2/space_map.h"
#include "cache/snapshot.h"

namespace larder::cache::l2 {

// Compression is kept only when it saves at least this share (design.md, 3.1).
inline constexpr double kCompressionSavingMin = 0.05;

inline constexpr uint32_t kChainMagic = 0x3148434c;  // "LCH1"
inline constexpr size_t kChainFixedBytes = 40;
inline constexpr size_t kChainFrameBytes = 16;
// Most bytes a header block can have: all frames of the largest blob, and the
// attributes' strings at their limits.
inline constexpr uint64_t kHeaderBytesMax =
    kChainFixedBytes + (kBlobBytesMax / kFrameRawBytes) * kChainFrameBytes +
    (kTagsMax + kDependenciesMax) * (kTagBytesMax + 2) + kMetadataBytesMax +
    kMetadataKeysMax * 2 * 3 + 16;

// What a header block says. A plain value.
struct ChainHeader {
  uint64_t name_hash = 0;  // NameHash() of whose chain it is.
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;
  std::vector<Frame> frames;
  std::vector<std::string> tags;
  std::vector<std::string> dependencies;
  std::vector<std::pair<std::string, std::string>> metadata;
};

// What stands before the frames: nothing when the record can say it all (one
// frame or none, and no tags, dependencies or metadata).
std::string EncodeChainHeader(const ChainHeader& header);
// Checks everything: limits, sums, order of sizes, no byte left over.
// Errors: kDataLoss.
absl::StatusOr<ChainHeader> DecodeChainHeader(absl::string_view bytes);
// Whether frames and sizes are possible; DecodeChainHeader() asks it, too.
// Errors: kDataLoss.
absl::Status CheckFrames(const ChainHeader& header);

// The record of a chain with this header, encoded as `encoded`: all but its
// HLC, its times of access and its place.
Record MakeRecord(const BlobAttributes& attributes, const ChainHeader& header,
                  absl::string_view encoded);
// The same of a chain that is this one frame.
Record MakePlainRecord(const BlobAttributes& attributes, const Frame& frame);

// The one frame of a chain without a header block.
// Requires: record.header_bytes is 0, record.raw_bytes is not.
Frame FrameOf(const Record& record);

// Compresses `raw` (1 to kFrameRawBytes bytes) when that pays; `level` 0:
// never. What to store is `*packed` if the frame is zstd's, else `raw`.
// Thread-safe: one zstd context a thread.
Frame EncodeFrame(absl::string_view raw, int level, std::string* packed);

// A blob cut into frames, each compressed when that pays.
struct EncodedFrames {
  std::vector<Frame> frames;
  // What to store for each frame; points into `owned` or into the input.
  std::vector<absl::string_view> stored;
  std::vector<std::string> owned;
  uint64_t stored_bytes = 0;
};
// Borrows `bytes`. Thread-safe.
EncodedFrames EncodeFrames(absl::string_view bytes, int level);

// Writes the raw bytes of one frame to `out`, frame.raw_bytes of them.
// `stored` must already match frame.checksum (VerifyFrame).
// Errors: kDataLoss; then what `out` holds means nothing.
absl::Status DecodeFrame(const Frame& frame, absl::string_view stored,
                         char* out);
// Errors: kDataLoss with found and expected.
absl::Status VerifyFrame(const Frame& frame, absl::string_view stored);

// Reads bytes of chains. A cheap value; borrows the file. Thread-safe.
class ChainReader {
 public:
  // How to read. Views are for gets: no copy. Copies are for what reads all of
  // a large L2 once (snapshots, verify): a view would map it page by page into
  // the process, and its resident size would grow with the L2.
  enum class Access { kView, kCopy };

  // `record` must outlive the reader.
  ChainReader(const File* blobs, const Record* record, Access access)
      : blobs_(blobs), record_(record), access_(access) {}

  // Bytes [offset, offset + length) of the chain: a view of `blobs` (or of the
  // record, when inline) where that is asked for and they lie in one piece,
  // else a copy in `*scratch`.
  // Errors: kDataLoss when the chain or the file ends before.
  absl::StatusOr<absl::string_view> Bytes(uint64_t offset, uint64_t length,
                                          std::string* scratch) const;

  // Appends a copy of them to `*out`. The same errors; then `*out` may hold a
  // part.
  absl::Status AppendTo(uint64_t offset, uint64_t length,
                        std::string* out) const;

  // Reads, verifies and decodes the header block, or says what it would.
  // `name_hash`: NameHash() of whose the chain should be.
  absl::StatusOr<ChainHeader> Header(uint64_t name_hash) const;

 private:
  bool Holds(uint64_t offset, uint64_t length) const {
    return length <= record_->chain_bytes() &&
           offset <= record_->chain_bytes() - length;
  }

  const File* blobs_;
  const Record* record_;
  Access access_;
};

// Writes `data` at `offset` of the chain that `extents` holds.
absl::Status WriteChainBytes(File* blobs, const Extents& extents,
                             uint64_t offset, absl::string_view data);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_CHAIN_H_
