// L2's metadata of one blob, and the keys of the three trees that hold it.
// Bytes: docs/formats/l2.md, "record".
#ifndef LARDER_CACHE_L2_RECORD_H_
#define LARDER_CACHE_L2_RECORD_H_

#include <cstdint>
#include <string>

#include "absl/container/fixed_array.h"
#include "absl/container/inlined_vector.h"
#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/hlc.h"
#include "cache/l2/space_map.h"
#include "cache/policy.h"

namespace larder::cache::l2 {

// Raw bytes of every frame of a blob but its last. Source: a 64 KiB read out
// of 64 MiB then decodes at most two frames, 0.8 % of the blob, and zstd
// loses under 1 % of ratio to 1 MiB frames on text.
inline constexpr uint32_t kFrameRawBytes = 256 * 1024;
// Blobs whose chain (header block and frames) is no longer sit in the leaf.
// Source: seven such records still share a 4 KiB page.
inline constexpr size_t kInlineBytesMax = 512;
// The most pieces that a chain may lie in.
inline constexpr int kExtentsMax = 128;
// The least rank that an EvictionClock gives: above every HLC up to the year
// 4199. What was restored, or put before there were ranks, has its HLC for one:
// it goes first, the oldest first, unless it is read.
inline constexpr uint64_t kRankMin = uint64_t{1} << 62;
// The unit of `blobs`. Source: it wastes 6 % at 1 KiB on average; larger units
// miss the space bar there, smaller ones cost map bits.
inline constexpr uint64_t kUnitBytes = 128;

// A plain value. Either `extents` or `inline_chain` holds the chain.
//
// A blob of one frame without tags, dependencies and metadata needs no header
// block: the record says all that it would. Nearly all blobs are like that.
struct Record {
  // Not defaulted: what makes one in place would fill it with zeros first.
  Record() {}  // NOLINT(modernize-use-equals-default)

  Hlc hlc;  // Of the put.
  // Place in the age tree: EvictionClock's, so at least kRankMin, or the HLC.
  uint64_t rank = 0;
  Expiry expiry;
  int64_t last_access_unix_ms = 0;  // As known when the record was written.
  uint64_t version = 0;
  uint8_t priority = 128;
  L1Admission l1_admission = L1Admission::kAuto;
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;  // Frames, without the header block.
  uint32_t header_bytes = 0;  // Of the chain's header block; 0: it has none.
  // XXH3-64 of the header block or, without one, of the frame as stored.
  uint64_t payload_checksum = 0;
  bool frame_is_zstd = false;  // Without a header block: of its one frame.
  absl::InlinedVector<uint64_t, 2> invalidation_hashes;
  Extents extents;
  std::string inline_chain;

  uint64_t chain_bytes() const { return header_bytes + stored_bytes; }
  uint64_t allocated_units() const {
    uint64_t units = 0;
    for (const Extent& e : extents) units += e.units;
    return units;
  }
};

// Whether the chain may sit in the leaf: it is short, and the whole entry
// fits however its times grow.
bool FitsInline(absl::string_view record_key, const Record& record);

// In how many pieces its chain may lie: 8, and more for one that is so large
// that each is still some KiB, as long as the entry fits. A put that finds no
// such room evicts.
int ExtentsMaxOf(absl::string_view record_key, const Record& record);

std::string EncodeRecord(const Record& record);
// Errors: kDataLoss saying which field is wrong. Checks every field against
// its limit and the fields against each other.
absl::StatusOr<Record> DecodeRecord(absl::string_view bytes);
// The same without a copy; `*record` must be as it was made, and means nothing
// after an error.
absl::Status DecodeRecord(absl::string_view bytes, Record* record);
// The HLC alone. False: there is none.
bool DecodeHlc(absl::string_view bytes, Hlc* hlc);
// Whether reads may have put off the end of its idle TTL since it was put. Of
// an encoded record, by its flags alone.
bool MayHaveBeenPutOff(absl::string_view bytes);

// Key of the records tree: namespace id (big endian), then the key.
inline constexpr size_t kNamespaceIdBytes = 4;
std::string RecordKey(uint32_t ns_id, absl::string_view key);
// The same, for the length of a lookup: on the stack unless it is long.
class LookupKey {
 public:
  LookupKey(uint32_t ns_id, absl::string_view key);
  absl::string_view view() const { return {bytes_.data(), bytes_.size()}; }

 private:
  absl::FixedArray<char, 128> bytes_;
};
bool SplitRecordKey(absl::string_view record_key, uint32_t* ns_id,
                    absl::string_view* key);

// Key of the due tree (`at` = DueAtUnixMillis) and of the age tree (`at` =
// rank): `at` big endian, then the record key.
std::string OrderedKey(uint64_t at, absl::string_view record_key);
bool SplitOrderedKey(absl::string_view ordered_key, uint64_t* at,
                     absl::string_view* record_key);
// Value of the age tree: which put of the key it is of. Ranks do not tell,
// since a process may give again what one before it gave.
std::string EncodeAgeEntry(const Record& record);

// What the due tree says of a record, so that a sweep need not look it up.
struct DueEntry {
  // Reads put its time off: only the record and its last access tell.
  bool idle_limited = false;
  uint64_t disk_bytes = 0;  // What its removal gives back.
};
DueEntry DueEntryOf(const Record& record);
std::string EncodeDueEntry(const DueEntry& entry);
// Errors: kDataLoss.
absl::StatusOr<DueEntry> DecodeDueEntry(absl::string_view bytes);

// Bytes of `blobs`, or of the leaf, that the record's chain takes.
uint64_t DiskBytes(const Record& record);

// What `record` adds to the content digest: independent of where its chain
// lies, of namespace ids, and of when it was read.
absl::uint128 DigestTerm(absl::string_view ns, absl::string_view key,
                         const Record& record);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_RECORD_H_
