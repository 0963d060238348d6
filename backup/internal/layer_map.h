// Finds records of one dump by their names, without reading those before them.
#ifndef LARDER_BACKUP_INTERNAL_LAYER_MAP_H_
#define LARDER_BACKUP_INTERNAL_LAYER_MAP_H_

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/blob_place.h"
#include "backup/internal/frame_files.h"
#include "backup/internal/frame_places.h"
#include "backup/internal/pack_table.h"
#include "backup/internal/records_chunk.h"

namespace larder::backup_internal {

// A stretch of a layer whose Records chunks cannot be read.
struct LayerGap {
  // It lies within these, which may be readable themselves.
  BlobPlace from;
  std::optional<BlobPlace> until;  // Nothing: to the last place.
  // Records, of a delta ranges, that are in it.
  uint64_t missing = 0;
  // What Names chunks tell of it: records, and ranges of a delta (from, until).
  std::vector<BlobPlace> names;
  std::vector<std::pair<BlobPlace, BlobPlace>> ranges;
  bool told = false;  // Those are all.
  absl::Status reason;

  // Whether it may have told about `place`, which lies in the stretch.
  bool Concerns(const BlobPlace& place) const;
};

// The records of a dump are in order, and its packs are listed in the manifest:
// so a binary search finds the chunk that tells about a name. First over the
// packs, by their first Records chunk, then within one. That reads a number of
// chunks that grows with the logarithm of the dump.
//
// Damage is no error but a gap. An archive that is forged, or whose namespaces
// are not in byte order (as docs/formats/dump.md allows, and no writer does),
// costs misses: what a record is called is checked by who takes it.
//
// Single-owner. Memory: kChunksMax chunks of records, kStartsMax names,
// those of a gap, and what PackTables takes.
class LayerMap {
 public:
  // One chunk with its place in the dump. Shared with the map's memory of them.
  struct Chunk {
    int pack = 0;
    size_t entry = 0;  // In the pack's table.
    RecordsChunk records;
    // How far Locate() came: it goes on with entry `next_entry` of pack
    // `next_pack`, unless all is located.
    bool located = false;
    int next_pack = 0;
    size_t next_entry = 0;
    absl::Status frames_lost;  // Why some frames' places are not known.
  };
  using ChunkPtr = std::shared_ptr<Chunk>;

  // Borrows all; `cancellation` may be null. `source`: its index in the dump.
  LayerMap(const backup::Archive* archive,
           const backup::format::Manifest* manifest, uint16_t source,
           FrameFiles* frames, const backup::Cancellation* cancellation);

  // The last readable chunk that starts at or before `place`; null: none does.
  // Errors, here and below: kCancelled; kFailedPrecondition (a newer format);
  // what the file system says.
  absl::StatusOr<ChunkPtr> LastNotBehind(const BlobPlace& place);

  // What follows a chunk (null: what the dump starts with).
  struct Following {
    std::shared_ptr<const LayerGap> gap;  // Null: nothing is lost in between.
    ChunkPtr next;                        // Null: the dump ends there.
  };
  absl::StatusOr<Following> After(const ChunkPtr& chunk);

  // What the layer says about a place.
  struct Answer {
    ChunkPtr chunk;  // That tells about it; null: none does.
    std::shared_ptr<const LayerGap> gap;  // Or that may have; null: none.
  };
  absl::StatusOr<Answer> Ask(const BlobPlace& place);

  // Finds where the frames of record `i` of the chunk are. What it does is
  // never done again: the next record goes on behind it.
  absl::Status Locate(Chunk* chunk, size_t i);

  bool is_delta() const { return is_delta_; }

 private:
  static constexpr size_t kChunksMax = 4;
  static constexpr size_t kStartsMax = 65'536;
  // Of a gap, and as many ranges; then it is not told what all of it is.
  static constexpr size_t kNamesMax = 65'536;

  // Where in the dump a Records chunk is.
  struct Spot {
    int pack = 0;
    size_t entry = 0;
    friend auto operator<=>(const Spot&, const Spot&) = default;
  };
  // Null: it cannot be read. Errors as above.
  absl::StatusOr<ChunkPtr> Load(Spot spot, absl::Status* why);
  // Whether the first readable chunk of [spot, end) starts at or before
  // `place`, and where it is; nothing: there is none.
  absl::StatusOr<std::optional<std::pair<Spot, bool>>> FirstReadable(
      Spot spot, Spot end, const BlobPlace& place);
  // The Records chunk behind, in this pack or a later one; nothing: none.
  absl::StatusOr<std::optional<Spot>> NextSpot(Spot spot);
  absl::StatusOr<std::shared_ptr<const LayerGap>> GapBetween(
      const ChunkPtr& before, const ChunkPtr& next, absl::Status reason);
  absl::Status TakeNames(const TableEntry& entry, int pack,
                         uint64_t behind_sequence, LayerGap* gap);
  absl::Status LocateIn(const TableEntry& entry, int pack, Chunk* chunk);
  // The index of a chunk of frames, and how many bytes of frames stand before
  // it. `sealed`: null for one in the clear.
  absl::StatusOr<std::string> ReadIndex(const TableEntry& entry, int pack,
                                        const SealedChunk* sealed,
                                        uint64_t* frames_bytes);

  const backup::format::Manifest* const manifest_;
  const uint16_t source_;
  const bool is_delta_;
  FrameFiles* const frames_;
  PackTables tables_;

  // The newest last. By sequence.
  std::list<ChunkPtr> chunks_;
  struct Start {
    bool readable = false;
    absl::Status why;
    BlobPlace low;
  };
  void NoteStart(uint64_t sequence, Start start);
  absl::flat_hash_map<uint64_t, Start> starts_;  // By sequence.
  // What was asked last, for who goes through in order.
  ChunkPtr asked_last_;
  ChunkPtr last_;
  std::optional<Following> after_last_;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_LAYER_MAP_H_
