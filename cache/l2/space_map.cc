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

constexpr uint64_t kWordsPerSector = SpaceMap::kUnitsPerSector / 64;

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
    word = unit_ / 64;
    const uint64_t word_end = std::min(end_, (word + 1) * 64);
    mask = (kAllOnes >> (64 - (word_end - unit_))) << (unit_ % 64);
    unit_ = word_end;
    return true;
  }
  uint64_t sector() const { return word / kWordsPerSector; }

  uint64_t word = 0;
  uint64_t mask = 0;  // The extent's bits of that word.

 private:
  uint64_t unit_;
  const uint64_t end_;
};

// The first unit in [from, end) whose bit is `value`, or `end`.
uint64_t FindBit(const std::vector<uint64_t>& words, uint64_t from,
                 uint64_t end, bool value) {
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
  std::unique_ptr<SpaceMap> map(new SpaceMap(space, lane));
  LARDER_RETURN_IF_ERROR(fresh ? map->Grow(capacity_units)
                               : map->Load(capacity_units));
  return map;
}

absl::Status SpaceMap::Load(uint64_t capacity_units) {
  const uint64_t sectors = SectorsFor(capacity_units);
  MutexLock lock(&mu_);
  SetCapacity(capacity_units);
  for (uint64_t sector = 0; sector < sectors; ++sector) {
    LARDER_RETURN_IF_ERROR(LoadSector(sector));
  }
  return ReserveFile(sectors);
}

absl::Status SpaceMap::LoadSector(uint64_t sector) {
  SectorImage image;
  const absl::Status read = space_->ReadAt(
      FileOffset(sector),
      absl::MakeSpan(reinterpret_cast<char*>(&image), sizeof(image)));
  const bool unreadable = absl::IsOutOfRange(read) || absl::IsDataLoss(read);
  if (!read.ok() && !unreadable) return read;
  const bool damaged = unreadable || !IsIntact(lane_, sector, image);
  if (damaged) {
    ++damaged_sectors_;
    dirty_[sector] = true;
  }
  for (uint64_t i = 0; i < kWordsPerSector; ++i) {
    const uint64_t word = sector * kWordsPerSector + i;
    const uint64_t stored = damaged ? kAllOnes : image.words[i];
    // What is set already lies past the capacity. A power cut may take a file's
    // growth and leave the marks in it, which must not outlive the next growth.
    if ((stored & used_[word]) != 0) dirty_[sector] = true;
    const uint64_t bits = stored & ~used_[word];
    used_[word] |= bits;
    inherited_[word] |= bits;
    used_units_ += std::popcount(bits);
    free_in_sector_[sector] -= std::popcount(bits);
  }
  return absl::OkStatus();
}

void SpaceMap::SetCapacity(uint64_t capacity_units) {
  const uint64_t sectors = SectorsFor(capacity_units);
  LARDER_CHECK(sectors <= std::numeric_limits<uint32_t>::max());
  LARDER_CHECK(capacity_units >= capacity_units_);
  used_.resize(sectors * kWordsPerSector, kAllOnes);
  inherited_.resize(sectors * kWordsPerSector, 0);
  free_in_sector_.resize(sectors, 0);
  dirty_.resize(sectors, false);
  for (WordsOf w({capacity_units_, capacity_units - capacity_units_});
       w.Next();) {
    used_[w.word] &= ~w.mask;
    free_in_sector_[w.sector()] += std::popcount(w.mask);
  }
  capacity_units_ = capacity_units;
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
  SectorImage image;
  for (uint64_t i = 0; i < kWordsPerSector; ++i) {
    const uint64_t word = sector * kWordsPerSector + i;
    const uint64_t first_unit = word * 64;
    uint64_t mask = kAllOnes;
    if (first_unit >= capacity_units_) {
      mask = 0;
    } else if (capacity_units_ - first_unit < 64) {
      mask = kAllOnes >> (64 - (capacity_units_ - first_unit));
    }
    image.words[i] = used_[word] & mask;
  }
  const bool has_ahead =
      ahead_.units > 0 && ahead_.first / kUnitsPerSector == sector;
  if (has_ahead) {
    for (WordsOf w(ahead_); w.Next();) {
      image.words[w.word - sector * kWordsPerSector] |= w.mask;
    }
  }
  Seal(lane_, sector, image);
  LARDER_RETURN_IF_ERROR(space_->WriteAt(FileOffset(sector), BytesOf(image)));
  dirty_[sector] = has_ahead;
  return absl::OkStatus();
}

absl::Status SpaceMap::MarkAndWrite(absl::Span<const Extent> extents) {
  std::vector<uint64_t> sectors;
  for (const Extent& extent : extents) {
    SetUsed(extent);
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

void SpaceMap::SetUsed(Extent extent) {
  for (WordsOf w(extent); w.Next();) {
    const int added = std::popcount(w.mask & ~used_[w.word]);
    used_[w.word] |= w.mask;
    used_units_ += added;
    free_in_sector_[w.sector()] -= added;
    dirty_[w.sector()] = true;
  }
}

void SpaceMap::SetFree(Extent extent) {
  for (WordsOf w(extent); w.Next();) {
    LARDER_CHECK((used_[w.word] & w.mask) == w.mask);
    used_[w.word] &= ~w.mask;
    inherited_[w.word] &= ~w.mask;
    free_in_sector_[w.sector()] += std::popcount(w.mask);
    dirty_[w.sector()] = true;
  }
  used_units_ -= extent.units;
}

uint64_t SpaceMap::NextFree(uint64_t from, uint64_t end) const {
  while (from < end) {
    const uint64_t sector = from / kUnitsPerSector;
    const uint64_t sector_end = (sector + 1) * kUnitsPerSector;
    if (free_in_sector_[sector] > 0) {
      const uint64_t search_end = std::min(end, sector_end);
      const uint64_t found = FindBit(used_, from, search_end, false);
      if (found < search_end) return found;
    }
    from = sector_end;
  }
  return end;
}

Extent SpaceMap::NextFreeRun(uint64_t from, uint64_t end,
                             uint64_t units_max) const {
  const uint64_t first = NextFree(from, end);
  const uint64_t run_end =
      FindBit(used_, first, first + std::min(units_max, end - first), true);
  return {first, run_end - first};
}

Extents SpaceMap::FindExtents(uint64_t units, size_t extents_max) const {
  LargestRuns few(std::min(extents_max, kFewRuns));
  LargestRuns largest(extents_max);
  // The second pass ends at the cursor, or at the end of the free run around
  // the cursor, which the first pass sees from its middle on only.
  uint64_t second_end = cursor_;
  const bool in_run = cursor_ > 0 && NextFree(cursor_ - 1, cursor_) != cursor_;
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
  return {first, FindBit(used_, first, end, true) - first};
}

absl::StatusOr<Extents> SpaceMap::Allocate(uint64_t units, int extents_max) {
  LARDER_CHECK(units > 0);
  LARDER_CHECK(extents_max > 0);
  MutexLock lock(&mu_);
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
  if (count > capacity_units_ - used_units_) return Full(count);
  uint64_t from = cursor_;
  while (units.size() < count) {
    const Extent run = NextFreeRun(from, capacity_units_, count - units.size());
    if (run.units == 0) {
      from = 0;  // Wraps once: enough units are free in all.
      continue;
    }
    extents.push_back(run);
    from = run.first + run.units;
    for (uint64_t unit = run.first; unit < from; ++unit) units.push_back(unit);
  }
  LARDER_RETURN_IF_ERROR(MarkAndWrite(extents));
  MoveCursor(from);
  return units;
}

void SpaceMap::MarkUsed(Extent extent) {
  MutexLock lock(&mu_);
  CheckExtent(extent);
  SetUsed(extent);
}

void SpaceMap::Release(Extent extent) {
  MutexLock lock(&mu_);
  CheckExtent(extent);
  SetFree(extent);
}

void SpaceMap::Disown(Extent extent) {
  MutexLock lock(&mu_);
  CheckExtent(extent);
  for (WordsOf w(extent); w.Next();) {
    LARDER_CHECK((used_[w.word] & w.mask) == w.mask);
    inherited_[w.word] &= ~w.mask;
  }
}

absl::Status SpaceMap::FlushDirty() {
  {
    MutexLock lock(&mu_);
    ahead_ = {};
  }
  // Not the whole flush under the mutex: allocations go on in between.
  for (uint64_t sector = 0;; ++sector) {
    MutexLock lock(&mu_);
    if (sector >= dirty_.size()) return absl::OkStatus();
    if (dirty_[sector]) LARDER_RETURN_IF_ERROR(WriteSector(sector));
  }
}

absl::Status SpaceMap::Grow(uint64_t capacity_units) {
  const uint64_t sectors = SectorsFor(capacity_units);
  MutexLock lock(&mu_);
  LARDER_RETURN_IF_ERROR(ReserveFile(sectors));
  SectorImage image = {};
  for (uint64_t s = SectorsFor(capacity_units_); s < sectors; ++s) {
    Seal(lane_, s, image);
    LARDER_RETURN_IF_ERROR(space_->WriteAt(FileOffset(s), BytesOf(image)));
  }
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
    if (first >= capacity_units_) return capacity_units_;
    end = first + std::min(units_max, capacity_units_ - first);
    for (uint64_t unit = first; unit < end;) {
      const uint64_t run_first = FindBit(inherited_, unit, end, true);
      unit = FindBit(inherited_, run_first, end, false);
      if (unit > run_first) runs.push_back({run_first, unit - run_first});
    }
  }
  for (const Extent& run : runs) visit(run);
  return end;
}

bool SpaceMap::IsUsed(uint64_t unit) const {
  MutexLock lock(&mu_);
  CheckExtent({unit, 1});
  return (used_[unit / 64] >> (unit % 64) & 1) != 0;
}

uint64_t SpaceMap::capacity_units() const {
  MutexLock lock(&mu_);
  return capacity_units_;
}

uint64_t SpaceMap::used_units() const {
  MutexLock lock(&mu_);
  return used_units_;
}

}  // namespace larder::cache::l2
