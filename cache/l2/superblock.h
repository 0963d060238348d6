// The root of everything in an L2: what one commit published.
// Bytes: docs/formats/l2.md, "superblock".
#ifndef LARDER_CACHE_L2_SUPERBLOCK_H_
#define LARDER_CACHE_L2_SUPERBLOCK_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/hlc.h"
#include "cache/l2/file.h"
#include "cache/l2/page.h"

namespace larder::cache::l2 {

// Pages 0 to 3 of `meta`. Epoch E is written to pages 2 * (E % 2) and the one
// after it: a torn write leaves the epoch before, one flipped bit its twin.
inline constexpr uint64_t kSuperblockPages = 4;
inline constexpr uint32_t kFormatVersion = 2;

// A UUID: one history of commits.
using Lineage = std::array<uint8_t, 16>;
// Restores of restores that an L2 knows of: a night's work each, two months.
inline constexpr size_t kAncestorsMax = 64;

// A plain value.
struct Superblock {
  Lineage lineage{};
  // What this L2 was restored from, and that from before it; the nearest first.
  std::vector<Lineage> ancestors;
  uint64_t epoch = 0;
  Hlc hlc;  // Not before any mutation that the epoch holds.
  ChildRef records, due, age, system;
  uint64_t record_count = 0;
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;
  absl::uint128 content_digest = 0;
  uint64_t meta_pages = 0;  // Size of `meta`.
  uint64_t blob_units = 0;  // Size of `blobs`.
  uint32_t next_namespace_id = 1;
  // Written at Durability::kNone: after a power cut neither what it reaches nor
  // the allocation map need be there.
  bool unsynced = false;
};

std::string EncodeSuperblock(const Superblock& superblock);
// Errors: kDataLoss (checksum, magic, impossible field), kFailedPrecondition
// (a newer format version).
absl::StatusOr<Superblock> DecodeSuperblock(absl::string_view page);

// Reads the superblock in `page` of `meta`; `*has_magic`: whether one was there
// in whatever state.
// Errors: as DecodeSuperblock(), and what File says; they name the place.
absl::StatusOr<Superblock> ReadSuperblock(const File& meta, uint64_t page,
                                          bool* has_magic);

// Picks the newest sound superblock of `meta`.
// Errors: kFailedPrecondition when none is sound and one has a newer format,
// or when this is no L2; kDataLoss when all are damaged.
absl::StatusOr<Superblock> ReadNewestSuperblock(const File& meta);
// Writes both copies of superblock.epoch's pair. Does not sync.
absl::Status WriteSuperblock(const Superblock& superblock, File* meta);

// Makes all four pages this superblock, so that no other one can be found
// again; syncs.
absl::Status ReplaceSuperblocks(const Superblock& superblock, File* meta);

// A random one; drawn from `seed` unless that is 0.
Lineage NewLineage(uint64_t seed);
// Lineages as UUID text.
std::string LineageText(const Lineage& lineage);
// Nothing when `text` is not what LineageText() makes.
std::optional<Lineage> ParseLineage(absl::string_view text);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_SUPERBLOCK_H_
