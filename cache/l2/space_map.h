// Which units of one L2 file are in use: the conservative allocation map.
#ifndef LARDER_CACHE_L2_SPACE_MAP_H_
#define LARDER_CACHE_L2_SPACE_MAP_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cache/l2/file.h"
#include "cache/mutex.h"

namespace larder::cache::l2 {

// A run of units.
struct Extent {
  uint64_t first = 0;
  uint64_t units = 0;
  friend bool operator==(const Extent&, const Extent&) = default;
};
// Nearly always one extent: allocation prefers contiguous runs.
using Extents = absl::InlinedVector<Extent, 1>;

// One bit a unit, in sectors of the file `space` (docs/formats/l2.md, "space").
// Two lanes share the file: even sectors map `blobs`, odd ones map `meta`.
//
// Open() reads nothing: the first call that needs to know anything reads all
// sectors once, and counts (docs/adr/0015-the-map-stays-on-disk.md). In memory
// are eight bytes for each sector, the bits of those that changed since the
// last flush and of some thousand others, and for each one changed since Open()
// its inherited bits, until ForgetInherited().
//
// The invariant (design.md, L2 invariant 4): on disk a unit is marked used
// before anything is written to it, so a crash leaves at most units that are
// marked and not referenced. Allocate() therefore writes the sectors that it
// marks before it returns; releases are written with the next flush. So that
// not each small chain costs a write, up to kAheadUnits free units behind it
// are marked on disk along with it: the next chain finds its marks there. The
// next flush takes the rest of them back.
//
// A sector that fails its checksum, was never written (all zero: a hole that
// growing the other lane left behind in a shortened file), cannot be read, or
// that the file is too short for, is taken as wholly used: nothing live can be
// overwritten, and what is not live is found again as orphaned.
//
// Thread-safe. Writes sectors while holding its mutex, so that no sector is
// ever overwritten by an older state of itself. Never syncs. Borrows `space`.
class SpaceMap {
 public:
  enum class Lane { kBlobs = 0, kMeta = 1 };

  static constexpr uint64_t kSectorBytes = 512;
  static constexpr uint64_t kSectorHeaderBytes = 16;
  // Units marked ahead, on disk only. Source: 16 chains of 16 KiB. A crash may
  // leave so many orphaned beyond what was allocated, for each place where
  // chains went since the last flush.
  static constexpr uint64_t kAheadUnits = 2048;
  // 3,968 units a sector.
  static constexpr uint64_t kUnitsPerSector =
      (kSectorBytes - kSectorHeaderBytes) * 8;
  static constexpr uint64_t kWordsPerSector = kUnitsPerSector / 64;

  // The lane's sectors for `capacity_units` units; grows `space` as needed.
  // `fresh`: ignores what is in the file and writes all units as free.
  static absl::StatusOr<std::unique_ptr<SpaceMap>> Open(File* space, Lane lane,
                                                        uint64_t capacity_units,
                                                        bool fresh);

  // Marks `units` (> 0) units used, in as few extents as it can and at most
  // `extents_max`, searching onward from where the last allocation ended, and
  // writes the marks.
  // Errors: kResourceExhausted (nothing marked); what File says (nothing
  // stays marked in memory, though the disk may keep the mark).
  absl::StatusOr<Extents> Allocate(uint64_t units, int extents_max)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Like Allocate(), for many single units at once (pages of a commit), with
  // each sector written once. Takes the next free units, wherever they are.
  absl::StatusOr<std::vector<uint64_t>> AllocateUnits(uint64_t count)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Marks units used that are known to be in use (rebuild, reserved units);
  // some may be marked already, and stay inherited or not as they were. Not
  // written until FlushDirty().
  void MarkUsed(Extent extent) ABSL_LOCKS_EXCLUDED(mu_);

  // Marks used units free. Not written until FlushDirty() or an Allocate() in
  // the same sector.
  // Returns: how many of them were free already, and stay so. Of what somebody
  // owns that is none, unless an earlier process lost a sector on its way to
  // the disk: one of an older state looks as sound as the newest, and then two
  // may own what it did not have.
  uint64_t Release(Extent extent) ABSL_LOCKS_EXCLUDED(mu_);

  // Says that `extent` is accounted for (committed, then freed, waiting in
  // quarantine): it no longer counts as inherited.
  // Returns: how many units of it were not marked, as above. Now they are:
  // nobody gets them before Release().
  uint64_t Disown(Extent extent) ABSL_LOCKS_EXCLUDED(mu_);

  // Writes the sectors that changed before the call. Does not sync.
  absl::Status FlushDirty() ABSL_LOCKS_EXCLUDED(mu_);

  // Raises the capacity, growing `space` as needed; new units are free, and
  // written so before it returns. After an error the capacity is as before.
  absl::Status Grow(uint64_t capacity_units) ABSL_LOCKS_EXCLUDED(mu_);

  // Calls `visit` for runs of units that are used and *inherited*: marked when
  // the map was opened, and neither released nor disowned since. Starts at
  // `first`, looks at no more than `units_max` (> 0) units, joins neighbours.
  // Returns: the unit to go on from; the capacity when done.
  // `visit` runs without the lock.
  uint64_t ForEachInheritedRun(uint64_t first, uint64_t units_max,
                               absl::FunctionRef<void(Extent)> visit) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // Says that all that is inherited is in use: nothing counts as inherited any
  // more.
  void ForgetInherited() ABSL_LOCKS_EXCLUDED(mu_);

  bool IsUsed(uint64_t unit) const ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t capacity_units() const ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t used_units() const ABSL_LOCKS_EXCLUDED(mu_);
  // Sectors that were unreadable and taken as used.
  uint64_t damaged_sectors() const ABSL_LOCKS_EXCLUDED(mu_);
  // Sectors whose bits are in memory, used or inherited.
  size_t sectors_in_memory() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Sectors that stay in memory although they are clean: 2 MiB, for 2 GiB of
  // `blobs`. Source: a search of a fragmented map looks at some 500.
  static constexpr size_t kHeldSectorsMax = 4096;

  // Bit u of word u / 64 is unit u of the sector.
  using Words = std::array<uint64_t, kWordsPerSector>;
  struct Sector {
    // Bits at and past the capacity are set here, so that no search finds them,
    // and clear in the file.
    Words used;
    bool dirty = false;
  };
  struct Summary {
    uint32_t free_units = 0;
    uint32_t checksum = 0;  // The lower half of that in the file.
  };

  // Of what the file has or, `fresh`, of nothing yet.
  SpaceMap(File* space, Lane lane, uint64_t capacity_units, bool fresh)
      : space_(space),
        lane_(lane),
        capacity_units_(capacity_units),
        loaded_(fresh),
        inherits_(!fresh) {}

  // Counts what is used, once.
  void EnsureLoaded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The bits that the file has of the sector, and the lower half of its
  // checksum. False: it is damaged, and `*words` are all set.
  bool ReadSector(uint64_t sector, Words* words, uint32_t* checksum) const;
  // Brings the sector into memory. It stays there until the next call, or for
  // as long as it is dirty.
  Sector& Hold(uint64_t sector) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropClean() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The same, about to change.
  Sector& Change(uint64_t sector) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // A copy of its used bits; those past the capacity are clear.
  Words UsedIn(uint64_t sector) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Words InheritedIn(uint64_t sector) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Keeps what it inherited apart from what is used from here on.
  Words& KeepInherited(uint64_t sector) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The bits of the sector's units that the capacity includes.
  uint64_t CapacityMask(uint64_t sector, uint64_t word) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The first unit in [from, end) that is used, or is not; or `end`.
  uint64_t FindUsed(uint64_t from, uint64_t end, bool used) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SetCapacity(uint64_t capacity_units) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t FileOffset(uint64_t sector) const;
  // Makes the file long enough for so many sectors of this lane.
  absl::Status ReserveFile(uint64_t sectors);
  absl::Status WriteSector(uint64_t sector) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status MarkAndWrite(absl::Span<const Extent> extents)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the marks are on disk already; takes them.
  bool TakeAhead(const Extents& extents) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The free units behind `last`, in its sector.
  Extent AheadOf(Extent last) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CheckExtent(Extent extent) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Both return how many units were so already.
  uint64_t SetUsed(Extent extent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t SetFree(Extent extent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The first free run in [from, end), cut off at `units_max`; 0 units: none.
  Extent NextFreeRun(uint64_t from, uint64_t end, uint64_t units_max) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Extents FindExtents(uint64_t units, size_t extents_max) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Full(uint64_t units) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MoveCursor(uint64_t unit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  File* const space_;
  const Lane lane_;
  mutable Mutex mu_;
  uint64_t capacity_units_ ABSL_GUARDED_BY(mu_);
  // Where the search for free units begins; < capacity, or 0.
  uint64_t cursor_ ABSL_GUARDED_BY(mu_) = 0;
  // Free, and marked on disk: in one sector, which is dirty; or none.
  Extent ahead_ ABSL_GUARDED_BY(mu_);

  // All below: once it is loaded. Mutable: reading brings sectors into memory.
  mutable bool loaded_ ABSL_GUARDED_BY(mu_);
  mutable uint64_t damaged_sectors_ ABSL_GUARDED_BY(mu_) = 0;
  mutable uint64_t used_units_ ABSL_GUARDED_BY(mu_) = 0;
  // By sector: so that searches skip full ones, and what the file has instead
  // of what was read or written last is found out.
  mutable std::vector<Summary> summaries_ ABSL_GUARDED_BY(mu_);
  mutable absl::flat_hash_map<uint64_t, std::unique_ptr<Sector>> held_
      ABSL_GUARDED_BY(mu_);
  // At so many, those that are clean are dropped.
  mutable size_t held_max_ ABSL_GUARDED_BY(mu_) = kHeldSectorsMax;
  // Of sectors that changed since Open(); of others, what is used is inherited.
  absl::flat_hash_map<uint64_t, std::unique_ptr<Words>> inherited_
      ABSL_GUARDED_BY(mu_);
  bool inherits_ ABSL_GUARDED_BY(mu_);
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_SPACE_MAP_H_
