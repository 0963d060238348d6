#include "cache/l2/space_map.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cache/check.h"
#include "cache/l2/hash.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

constexpr uint64_t kWordsPerSector = SpaceMap::kWordsPerSector;

// Read at once when all are counted, of both lanes.
constexpr size_t kLoadSectors = 512;

// docs/formats/l2.md, "space": all numbers little endian.
//   offset  size  meaning
//        0     8  XXH3-64 of bytes 8 to 511
//        8     4  number of the sector within its lane
//       12     4  magic: "LSPB" (blobs) or "LSPM" (meta)
//       16   496  bits; unit u of the sector is bit u % 8 of byte u / 8
struct SectorImage {
  uint64_t checksum;
  uint32_t sector;
  char magic[4];
  std::array<uint64_t, kWordsPerSector> words;
};
static_assert(sizeof(SectorImage) == SpaceMap::kSectorBytes);
static_assert(offsetof(SectorImage, words) == SpaceMap::kSectorHeaderBytes);
static_assert(std::endian::native == std::endian::little);

constexpr size_t kMagicBytes = 4;
constexpr char kMagics[2][kMagicBytes + 1] = {"LSPB", "LSPM"};

// The search for one contiguous run gives up after so many units once a few of
// the runs met suffice: 32 MiB of 128-byte units. Where it takes more of them,
// it first looks eight times as far.
constexpr size_t kFewRuns = 8;
constexpr uint64_t kSearchUnitsForFew = uint64_t{1} << 18;
constexpr uint64_t kSearchUnitsForMany = 8 * kSearchUnitsForFew;

constexpr uint64_t kAllOnes = ~uint64_t{0};

const char* MagicOf(SpaceMap::Lane lane) {
  return kMagics[static_cast<int>(lane)];
}

uint64_t ChecksumOf(const SectorImage& image) {
  const char* bytes = reinterpret_cast<const char*>(&image);
  return Checksum64(
      {bytes + sizeof(image.checksum), sizeof(image) - sizeof(image.checksum)});
}

absl::string_view BytesOf(const SectorImage& image) {
  return absl::string_view(reinterpret_cast<const char*>(&image),
                           sizeof(image));
}

void Seal(SpaceMap::Lane lane, uint64_t sector, SectorImage& image) {
  image.sector = static_cast<uint32_t>(sector);
  std::memcpy(image.magic, MagicOf(lane), kMagicBytes);
  image.checksum = ChecksumOf(image);
}

bool IsIntact(SpaceMap::Lane lane, uint64_t sector, const SectorImage& image) {
  return image.checksum == ChecksumOf(image) && image.sector == sector &&
         std::memcmp(image.magic, MagicOf(lane), kMagicBytes) == 0;
}

uint64_t SectorsFor(uint64_t units) {
  return (units + SpaceMap::kUnitsPerSector - 1) / SpaceMap::kUnitsPerSector;
}

// Steps through the words that an extent touches. (Not a visitor: Clang does
// not see through a lambda that the mutex is held.)
class WordsOf {
 public:
  explicit WordsOf(Extent extent)
      : unit_(extent.first), end_(extent.first + extent.units) {}

  bool Next() {
    if (unit_ == end_) return false;
    const uint64_t at = unit_ / 64;
    sector = at / kWordsPerSector;
    word = at % kWordsPerSector;
    const uint64_t word_end = std::min(end_, (at + 1) * 64);
    mask = (kAllOnes >> (64 - (word_end - unit_))) << (unit_ % 64);
    unit_ = word_end;
    return true;
  }

  uint64_t sector = 0;
  uint64_t word = 0;  // Of the sector.
  uint64_t mask = 0;  // The extent's bits of that word.

 private:
  uint64_t unit_;
  const uint64_t end_;
};

// The first bit in [from, end) of a sector's words that is `value`, or `end`.
uint64_t FindBit(const std::array<uint64_t, kWordsPerSector>& words,
                 uint64_t from, uint64_t end, bool value) {
  if (from >= end) return end;
  const uint64_t flip = value ? 0 : kAllOnes;
  uint64_t word = from / 64;
  uint64_t bits = (words[word] ^ flip) & (kAllOnes << (from % 64));
  while (bits == 0) {
    ++word;
    if (word * 64 >= end) return end;
    bits = words[word] ^ flip;
  }
  return std::min(end, word * 64 + std::countr_zero(bits));
}

// Keeps the largest runs it is given.
class LargestRuns {
 public:
  explicit LargestRuns(size_t runs_max) : runs_max_(runs_max) {}

  void Add(Extent run) {
    // Nearly always, once there are many: keeps a fragmented file affordable.
    if (runs_.size() == runs_max_ && run.units <= runs_.front().units) return;
    units_ += run.units;
    runs_.push_back(run);
    std::push_heap(runs_.begin(), runs_.end(), Larger);
    if (runs_.size() <= runs_max_) return;
    std::pop_heap(runs_.begin(), runs_.end(), Larger);
    units_ -= runs_.back().units;
    runs_.pop_back();
  }
  uint64_t units() const { return units_; }

  // As few of them as hold `units`, in the order of the file. Empty: too few.
  Extents Take(uint64_t units) {
    Extents taken;
    if (units_ < units) return taken;
    std::sort(runs_.begin(), runs_.end(), Larger);
    for (const Extent& run : runs_) {
      if (units == 0) break;
      taken.push_back({run.first, std::min(run.units, units)});
      units -= taken.back().units;
    }
    std::sort(taken.begin(), taken.end(), [](const Extent& a, const Extent& b) {
      return a.first < b.first;
    });
    return taken;
  }

 private:
  // As the order of a heap: its top is the smallest run.
  static bool Larger(const Extent& a, const Extent& b) {
    return a.units > b.units;
  }

  const size_t runs_max_;
  std::vector<Extent> runs_;
  uint64_t units_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SpaceMap>> SpaceMap::Open(
    File* space, Lane lane, uint64_t capacity_units, bool fresh) {
  std::unique_ptr<SpaceMap> map(
      new SpaceMap(space, lane, fresh ? 0 : capacity_units, fresh));
  LARDER_RETURN_IF_ERROR(fresh ? map->Grow(capacity_units)
                               : map->ReserveFile(SectorsFor(capacity_units)));
  return map;
}

void SpaceMap::EnsureLoaded() const {
  if (loaded_) return;
  loaded_ = true;
  const uint64_t sectors = SectorsFor(capacity_units_);
  LARDER_CHECK(sectors <= std::numeric_limits<uint32_t>::max());
  summaries_.resize(sectors);
  std::vector<SectorImage> images(kLoadSectors);
  for (uint64_t first = 0; first < sectors; first += kLoadSectors / 2) {
    const uint64_t count =
        std::min<uint64_t>(kLoadSectors / 2, sectors - first);
    // From our first one to our last one, with those of the other lane between.
    const bool read =
        space_
            ->ReadAt(FileOffset(first),
                     absl::MakeSpan(reinterpret_cast<char*>(images.data()),
                                    (2 * count - 1) * kSectorBytes))
            .ok();
    for (uint64_t sector = first; sector < first + count; ++sector) {
      const SectorImage& image = images[2 * (sector - first)];
      Words words;
      uint32_t checksum = static_cast<uint32_t>(image.checksum);
      bool rewrite = false;
      if (read && IsIntact(lane_, sector, image)) {
        words = image.words;
      } else if (!ReadSector(sector, &words, &checksum)) {
        ++damaged_sectors_;  // Alone, it could have been readable.
        rewrite = true;
      }
      uint32_t used = 0, units = 0;
      for (uint64_t word = 0; word < kWordsPerSector; ++word) {
        const uint64_t mask = CapacityMask(sector, word);
        // A power cut may take a file's growth and leave the marks in it, which
        // must not outlive the next growth.
        rewrite = rewrite || (words[word] & ~mask) != 0;
        used += static_cast<uint32_t>(std::popcount(words[word] & mask));
        units += static_cast<uint32_t>(std::popcount(mask));
        words[word] |= ~mask;
      }
      used_units_ += used;
      summaries_[sector] = {units - used, checksum};
      if (!rewrite) continue;
      held_[sector] = std::make_unique<Sector>(Sector{words, /*dirty=*/true});
    }
  }
}

bool SpaceMap::ReadSector(uint64_t sector, Words* words,
                          uint32_t* checksum) const {
  SectorImage image;
  const absl::Status read = space_->ReadAt(
      FileOffset(sector),
      absl::MakeSpan(reinterpret_cast<char*>(&image), sizeof(image)));
  if (read.ok() && IsIntact(lane_, sector, image)) {
    *words = image.words;
    *checksum = static_cast<uint32_t>(image.checksum);
    return true;
  }
  words->fill(kAllOnes);
  return false;
}

uint64_t SpaceMap::CapacityMask(uint64_t sector, uint64_t word) const {
  const uint64_t first_unit = (sector * kWordsPerSector + word) * 64;
  if (first_unit >= capacity_units_) return 0;
  const uint64_t units = capacity_units_ - first_unit;
  return units < 64 ? kAllOnes >> (64 - units) : kAllOnes;
}

SpaceMap::Sector& SpaceMap::Hold(uint64_t sector) const {
  if (const auto it = held_.find(sector); it != held_.end()) return *it->second;
  if (held_.size() >= held_max_) DropClean();
  auto held = std::make_unique<Sector>();
  Summary& summary = summaries_[sector];
  uint32_t checksum;
  // Not what was read or written last: damage, or a write that never came,
  // whose marks are not in it.
  if (!ReadSector(sector, &held->used, &checksum) ||
      checksum != summary.checksum) {
    held->used.fill(kAllOnes);
    held->dirty = true;
    ++damaged_sectors_;
    used_units_ += std::exchange(summary.free_units, 0);
  }
  for (uint64_t word = 0; word < kWordsPerSector; ++word) {
    held->used[word] |= ~CapacityMask(sector, word);
  }
  return *(held_[sector] = std::move(held));
}

void SpaceMap::DropClean() const {
  absl::erase_if(held_, [](const auto& held) { return !held.second->dirty; });
  // Where most are dirty, not again for each one more.
  held_max_ = std::max(kHeldSectorsMax, 2 * held_.size());
}

SpaceMap::Sector& SpaceMap::Change(uint64_t sector) {
  Sector& held = Hold(sector);
  held.dirty = true;
  if (inherits_) KeepInherited(sector);
  return held;
}

SpaceMap::Words& SpaceMap::KeepInherited(uint64_t sector) {
  std::unique_ptr<Words>& inherited = inherited_[sector];
  if (inherited == nullptr) inherited = std::make_unique<Words>(UsedIn(sector));
  return *inherited;
}

SpaceMap::Words SpaceMap::UsedIn(uint64_t sector) const {
  Words words = Hold(sector).used;
  for (uint64_t word = 0; word < kWordsPerSector; ++word) {
    words[word] &= CapacityMask(sector, word);
  }
  return words;
}

SpaceMap::Words SpaceMap::InheritedIn(uint64_t sector) const {
  const auto it = inherited_.find(sector);
  return it != inherited_.end() ? *it->second : UsedIn(sector);
}

uint64_t SpaceMap::FindUsed(uint64_t from, uint64_t end, bool used) const {
  while (from < end) {
    const uint64_t sector = from / kUnitsPerSector;
    const uint64_t first = sector * kUnitsPerSector;
    const uint64_t sector_end = std::min(end, first + kUnitsPerSector);
    // Whole sectors need no look: of those past the capacity, none is free.
    const uint64_t free = summaries_[sector].free_units;
    if (used ? free < kUnitsPerSector : free > 0) {
      const uint64_t found =
          FindBit(Hold(sector).used, from - first, sector_end - first, used);
      if (first + found < sector_end) return first + found;
    }
    from = sector_end;
  }
  return end;
}

void SpaceMap::SetCapacity(uint64_t capacity_units) {
  const uint64_t sectors = SectorsFor(capacity_units);
  LARDER_CHECK(sectors <= std::numeric_limits<uint32_t>::max());
  LARDER_CHECK(capacity_units >= capacity_units_);
  const uint64_t before = capacity_units_;
  // The last sector so far, whose bits past the capacity become free ones, as
  // the file has them.
  Sector* const last =
      before % kUnitsPerSector != 0 ? &Hold(before / kUnitsPerSector) : nullptr;
  capacity_units_ = capacity_units;
  for (uint64_t sector = before / kUnitsPerSector; sector < sectors; ++sector) {
    const uint64_t first = std::max(before, sector * kUnitsPerSector);
    const uint64_t end =
        std::min(capacity_units, (sector + 1) * kUnitsPerSector);
    summaries_[sector].free_units += static_cast<uint32_t>(end - first);
    if (sector != before / kUnitsPerSector || last == nullptr) continue;
    for (WordsOf w({first, end - first}); w.Next();) {
      last->used[w.word] &= ~w.mask;
    }
  }
}

uint64_t SpaceMap::FileOffset(uint64_t sector) const {
  return (2 * sector + static_cast<uint64_t>(lane_)) * kSectorBytes;
}

absl::Status SpaceMap::ReserveFile(uint64_t sectors) {
  // The lanes are separate objects over one file: without a common lock, one
  // could look at the size, and then cut off what the other just added.
  static Mutex resize_mu;
  const uint64_t size_bytes =
      sectors == 0 ? 0 : FileOffset(sectors - 1) + kSectorBytes;
  MutexLock lock(&resize_mu);
  if (space_->Size() >= size_bytes) return absl::OkStatus();
  return space_->Resize(size_bytes);
}

absl::Status SpaceMap::WriteSector(uint64_t sector) {
  Sector& held = Hold(sector);
  SectorImage image;
  for (uint64_t word = 0; word < kWordsPerSector; ++word) {
    image.words[word] = held.used[word] & CapacityMask(sector, word);
  }
  const bool has_ahead =
      ahead_.units > 0 && ahead_.first / kUnitsPerSector == sector;
  if (has_ahead) {
    for (WordsOf w(ahead_); w.Next();) image.words[w.word] |= w.mask;
  }
  Seal(lane_, sector, image);
  LARDER_RETURN_IF_ERROR(space_->WriteAt(FileOffset(sector), BytesOf(image)));
  held.dirty = has_ahead;
  summaries_[sector].checksum = static_cast<uint32_t>(image.checksum);
  return absl::OkStatus();
}

absl::Status SpaceMap::MarkAndWrite(absl::Span<const Extent> extents) {
  std::vector<uint64_t> sectors;
  for (const Extent& extent : extents) {
    SetUsed(extent);
    // A sector may have been found damaged just now, and all of it be
    // inherited.
    for (WordsOf w(extent); inherits_ && w.Next();) {
      KeepInherited(w.sector)[w.word] &= ~w.mask;
    }
    const uint64_t last = (extent.first + extent.units - 1) / kUnitsPerSector;
    for (uint64_t s = extent.first / kUnitsPerSector; s <= last; ++s) {
      sectors.push_back(s);
    }
  }
  std::sort(sectors.begin(), sectors.end());
  sectors.erase(std::unique(sectors.begin(), sectors.end()), sectors.end());
  for (const uint64_t sector : sectors) {
    const absl::Status written = WriteSector(sector);
    if (written.ok()) continue;
    // Leaves every sector dirty: the disk may keep any of the marks, or none.
    for (const Extent& extent : extents) SetFree(extent);
    ahead_ = {};
    return written;
  }
  return absl::OkStatus();
}

void SpaceMap::CheckExtent(Extent extent) const {
  LARDER_CHECK(extent.units > 0);
  LARDER_CHECK(extent.units <= capacity_units_);
  LARDER_CHECK(extent.first <= capacity_units_ - extent.units);
}

uint64_t SpaceMap::SetUsed(Extent extent) {
  uint64_t added = 0;
  for (WordsOf w(extent); w.Next();) {
    uint64_t& used = Change(w.sector).used[w.word];
    const auto bits = static_cast<uint32_t>(std::popcount(w.mask & ~used));
    used |= w.mask;
    added += bits;
    summaries_[w.sector].free_units -= bits;
  }
  used_units_ += added;
  return extent.units - added;
}

uint64_t SpaceMap::SetFree(Extent extent) {
  uint64_t freed = 0;
  for (WordsOf w(extent); w.Next();) {
    uint64_t& used = Change(w.sector).used[w.word];
    const auto bits = static_cast<uint32_t>(std::popcount(w.mask & used));
    used &= ~w.mask;
    if (inherits_) KeepInherited(w.sector)[w.word] &= ~w.mask;
    freed += bits;
    summaries_[w.sector].free_units += bits;
  }
  used_units_ -= freed;
  return extent.units - freed;
}

Extent SpaceMap::NextFreeRun(uint64_t from, uint64_t end,
                             uint64_t units_max) const {
  const uint64_t first = FindUsed(from, end, false);
  const uint64_t run_end =
      FindUsed(first, first + std::min(units_max, end - first), true);
  return {first, run_end - first};
}

Extents SpaceMap::FindExtents(uint64_t units, size_t extents_max) const {
  LargestRuns few(std::min(extents_max, kFewRuns));
  LargestRuns largest(extents_max);
  // The second pass ends at the cursor, or at the end of the free run around
  // the cursor, which the first pass sees from its middle on only.
  uint64_t second_end = cursor_;
  const bool in_run =
      cursor_ > 0 && FindUsed(cursor_ - 1, cursor_, false) != cursor_;
  for (int pass = 0; pass < 2; ++pass) {
    const uint64_t begin = pass == 0 ? cursor_ : 0;
    const uint64_t end = pass == 0 ? capacity_units_ : second_end;
    for (uint64_t from = begin; from < end;) {
      const Extent run = NextFreeRun(from, end, units);
      if (run.units == 0) break;
      if (run.units == units) return {run};
      from = run.first + run.units;
      if (pass == 0 && in_run && run.first == cursor_) {
        second_end = from;
        continue;
      }
      few.Add(run);
      largest.Add(run);
      const uint64_t searched = from - begin;
      if (searched > kSearchUnitsForFew && few.units() >= units) {
        return few.Take(units);
      }
      if (searched > kSearchUnitsForMany && largest.units() >= units) {
        return largest.Take(units);
      }
    }
  }
  return largest.Take(units);
}

absl::Status SpaceMap::Full(uint64_t units) const {
  return absl::ResourceExhaustedError(absl::StrCat(
      space_->path(), ": lane ", absl::string_view(MagicOf(lane_)),
      ": allocate ", units, " units: ", capacity_units_ - used_units_, " of ",
      capacity_units_, " are free"));
}

void SpaceMap::MoveCursor(uint64_t unit) {
  cursor_ = unit < capacity_units_ ? unit : 0;
}

bool SpaceMap::TakeAhead(const Extents& extents) {
  if (extents.size() != 1) return false;
  const Extent& e = extents[0];
  const uint64_t ahead_end = ahead_.first + ahead_.units;
  if (e.first < ahead_.first || e.first + e.units > ahead_end) return false;
  SetUsed(e);
  ahead_ = {e.first + e.units, ahead_end - (e.first + e.units)};
  return true;
}

Extent SpaceMap::AheadOf(Extent last) const {
  const uint64_t first = last.first + last.units;
  const uint64_t sector_end =
      ((first - 1) / kUnitsPerSector + 1) * kUnitsPerSector;
  const uint64_t end = std::min(sector_end, first + kAheadUnits);
  return {first, FindUsed(first, end, true) - first};
}

absl::StatusOr<Extents> SpaceMap::Allocate(uint64_t units, int extents_max) {
  LARDER_CHECK(units > 0);
  LARDER_CHECK(extents_max > 0);
  MutexLock lock(&mu_);
  EnsureLoaded();
  if (units > capacity_units_ - used_units_) return Full(units);
  Extents extents = FindExtents(units, static_cast<size_t>(extents_max));
  if (extents.empty()) return Full(units);
  if (!TakeAhead(extents)) {
    // The sector with the old ones is dirty: a flush takes them back.
    ahead_ = AheadOf(extents.back());
    LARDER_RETURN_IF_ERROR(MarkAndWrite(extents));
  }
  MoveCursor(extents.back().first + extents.back().units);
  return extents;
}

absl::StatusOr<std::vector<uint64_t>> SpaceMap::AllocateUnits(uint64_t count) {
  std::vector<uint64_t> units;
  units.reserve(count);
  std::vector<Extent> extents;
  MutexLock lock(&mu_);
  EnsureLoaded();
  if (count > capacity_units_ - used_units_) return Full(count);
  // Behind the cursor, and then from the start of the file up to it.
  for (const auto& [begin, end] :
       {std::pair(cursor_, capacity_units_), std::pair(uint64_t{0}, cursor_)}) {
    for (uint64_t from = begin; units.size() < count;) {
      const Extent run = NextFreeRun(from, end, count - units.size());
      if (run.units == 0) break;
      extents.push_back(run);
      from = run.first + run.units;
      for (uint64_t unit = run.first; unit < from; ++unit) {
        units.push_back(unit);
      }
    }
  }
  // A sector may have been found damaged just now.
  if (units.size() < count) return Full(count);
  LARDER_RETURN_IF_ERROR(MarkAndWrite(extents));
  if (count > 0) MoveCursor(units.back() + 1);
  return units;
}

void SpaceMap::MarkUsed(Extent extent) {
  MutexLock lock(&mu_);
  EnsureLoaded();
  CheckExtent(extent);
  SetUsed(extent);
}

uint64_t SpaceMap::Release(Extent extent) {
  MutexLock lock(&mu_);
  EnsureLoaded();
  CheckExtent(extent);
  return SetFree(extent);
}

uint64_t SpaceMap::Disown(Extent extent) {
  MutexLock lock(&mu_);
  EnsureLoaded();
  CheckExtent(extent);
  bool is_marked = true;
  for (WordsOf w(extent); w.Next();) {
    is_marked &= (Hold(w.sector).used[w.word] & w.mask) == w.mask;
    if (inherits_) KeepInherited(w.sector)[w.word] &= ~w.mask;
  }
  return is_marked ? 0 : extent.units - SetUsed(extent);
}

absl::Status SpaceMap::FlushDirty() {
  std::vector<uint64_t> dirty;
  {
    MutexLock lock(&mu_);
    ahead_ = {};
    for (const auto& [sector, held] : held_) {
      if (held->dirty) dirty.push_back(sector);
    }
  }
  std::sort(dirty.begin(), dirty.end());
  // Not the whole flush under the mutex: allocations go on in between.
  for (const uint64_t sector : dirty) {
    MutexLock lock(&mu_);
    if (!Hold(sector).dirty) continue;
    LARDER_RETURN_IF_ERROR(WriteSector(sector));
  }
  MutexLock lock(&mu_);
  if (held_.size() > kHeldSectorsMax) DropClean();
  return absl::OkStatus();
}

absl::Status SpaceMap::Grow(uint64_t capacity_units) {
  const uint64_t sectors = SectorsFor(capacity_units);
  MutexLock lock(&mu_);
  EnsureLoaded();
  LARDER_RETURN_IF_ERROR(ReserveFile(sectors));
  // A power cut may have left marks in it, of units that it had before.
  const uint64_t last = capacity_units_ / kUnitsPerSector;
  if (capacity_units_ % kUnitsPerSector != 0 && Hold(last).dirty) {
    LARDER_RETURN_IF_ERROR(WriteSector(last));
  }
  SectorImage image = {};
  std::vector<Summary> added;
  for (uint64_t s = SectorsFor(capacity_units_); s < sectors; ++s) {
    Seal(lane_, s, image);
    LARDER_RETURN_IF_ERROR(space_->WriteAt(FileOffset(s), BytesOf(image)));
    added.push_back({0, static_cast<uint32_t>(image.checksum)});
  }
  summaries_.insert(summaries_.end(), added.begin(), added.end());
  SetCapacity(capacity_units);
  return absl::OkStatus();
}

uint64_t SpaceMap::ForEachInheritedRun(
    uint64_t first, uint64_t units_max,
    absl::FunctionRef<void(Extent)> visit) const {
  LARDER_CHECK(units_max > 0);
  std::vector<Extent> runs;
  uint64_t end;
  {
    MutexLock lock(&mu_);
    if (first >= capacity_units_ || !inherits_) return capacity_units_;
    EnsureLoaded();
    end = first + std::min(units_max, capacity_units_ - first);
    for (uint64_t unit = first; unit < end;) {
      const uint64_t sector = unit / kUnitsPerSector;
      const uint64_t from = sector * kUnitsPerSector;
      const uint64_t sector_end = std::min(end, from + kUnitsPerSector);
      const Words inherited = InheritedIn(sector);
      while (unit < sector_end) {
        const uint64_t run_first =
            from + FindBit(inherited, unit - from, sector_end - from, true);
        unit = from +
               FindBit(inherited, run_first - from, sector_end - from, false);
        if (unit == run_first) continue;
        if (!runs.empty() &&
            runs.back().first + runs.back().units == run_first) {
          runs.back().units += unit - run_first;
        } else {
          runs.push_back({run_first, unit - run_first});
        }
      }
    }
  }
  for (const Extent& run : runs) visit(run);
  return end;
}

void SpaceMap::ForgetInherited() {
  MutexLock lock(&mu_);
  inherits_ = false;
  inherited_ = {};
}

bool SpaceMap::IsUsed(uint64_t unit) const {
  MutexLock lock(&mu_);
  EnsureLoaded();
  CheckExtent({unit, 1});
  WordsOf w({unit, 1});
  w.Next();
  return (Hold(w.sector).used[w.word] & w.mask) != 0;
}

uint64_t SpaceMap::capacity_units() const {
  MutexLock lock(&mu_);
  return capacity_units_;
}

uint64_t SpaceMap::used_units() const {
  MutexLock lock(&mu_);
  EnsureLoaded();
  return used_units_;
}

uint64_t SpaceMap::damaged_sectors() const {
  MutexLock lock(&mu_);
  EnsureLoaded();
  return damaged_sectors_;
}

size_t SpaceMap::sectors_in_memory() const {
  MutexLock lock(&mu_);
  return held_.size() + inherited_.size();
}

}  // namespace larder::cache::l2
