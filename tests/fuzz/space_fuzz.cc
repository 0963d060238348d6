// The allocation map over any bytes of `space`: a damaged sector is wholly
// used, no unit is handed out twice, and what was handed out is still marked
// when the map is opened again.
//
// Input: u8 flags, u16 capacity of blobs, u16 capacity of meta; u8 count, so
// many sectors of the file, each u8 flags, u16 size, so many bytes; then
// operations: u8 what to do (twice its number, and the lane), u16 where, u16
// how many.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/check.h"
#include "cache/l2/coding.h"
#include "cache/l2/file.h"
#include "cache/l2/hash.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2/space_map.h"
#include "tests/fuzz/input.h"

namespace larder::cache::l2 {
namespace {

constexpr char kPath[] = "/space";
// A sector of a lane, and a part: more only takes longer.
constexpr uint64_t kCapacityMax = SpaceMap::kUnitsPerSector + 200;
constexpr uint64_t kGrowthMax = 5000;
constexpr uint64_t kAtOnceMax = 300;
constexpr size_t kSectorsMax = 6;  // Of the input; both lanes have four.
constexpr int kOpsMax = 64;

constexpr uint8_t kFresh = 1 << 0;  // Of the input.
// Of a sector: its bytes are its bits, and it gets the right header; what is
// missing of them is set.
constexpr uint8_t kSealed = 1 << 0;
constexpr uint8_t kFilled = 1 << 1;

// docs/formats/l2.md, "space".
constexpr size_t kSectorBytes = SpaceMap::kSectorBytes;
constexpr size_t kBitsAt = SpaceMap::kSectorHeaderBytes;
constexpr absl::string_view kMagics[] = {"LSPB", "LSPM"};

// Takes numbers off the front of the input; what is missing is zero.
class Numbers {
 public:
  explicit Numbers(absl::string_view input) : input_(input) {}

  bool empty() const { return input_.empty(); }
  uint8_t TakeU8() {
    if (input_.empty()) return 0;
    const auto byte = static_cast<uint8_t>(input_[0]);
    input_.remove_prefix(1);
    return byte;
  }
  uint16_t TakeU16() {
    const uint16_t low = TakeU8();
    return static_cast<uint16_t>(low | TakeU8() << 8);
  }
  absl::string_view TakeBytes(size_t size) {
    const absl::string_view bytes = input_.substr(0, size);
    input_.remove_prefix(bytes.size());
    return bytes;
  }

 private:
  absl::string_view input_;
};

// What the header of sector `at` of the file has to be.
std::string HeaderOf(size_t at, absl::string_view sector) {
  std::string rest;
  AppendFixed32(&rest, static_cast<uint32_t>(at / 2));
  absl::StrAppend(&rest, kMagics[at % 2], sector.substr(kBitsAt));
  std::string header;
  AppendFixed64(&header, Checksum64(rest));
  return header + rest.substr(0, kBitsAt - header.size());
}

std::string TakeFile(Numbers* input) {
  std::string file;
  const size_t sectors = input->TakeU8() % (kSectorsMax + 1);
  for (size_t at = 0; at < sectors; ++at) {
    const uint8_t flags = input->TakeU8();
    const absl::string_view bytes = input->TakeBytes(input->TakeU16());
    const bool sealed = (flags & kSealed) != 0;
    std::string sector(sealed ? kBitsAt : 0, '\0');
    absl::StrAppend(&sector, bytes);
    sector.resize(kSectorBytes, (flags & kFilled) != 0 ? '\xff' : '\0');
    if (sealed) sector.replace(0, kBitsAt, HeaderOf(at, sector));
    file += sector;
  }
  return file;
}

// One lane, and what must be so of it.
class LaneModel {
 public:
  LaneModel(SpaceMap::Lane lane, uint64_t capacity)
      : lane_(lane), units_(capacity) {}

  // What `file` says, or all free when `fresh`.
  void Expect(absl::string_view file, bool fresh) {
    damaged_ = 0;
    free_ = units_.size();
    for (size_t first = 0; first < units_.size();
         first += SpaceMap::kUnitsPerSector) {
      const size_t at =
          2 * (first / SpaceMap::kUnitsPerSector) + static_cast<size_t>(lane_);
      const absl::string_view sector =
          file.substr(std::min(file.size(), at * kSectorBytes), kSectorBytes);
      const bool damaged = sector.size() < kSectorBytes ||
                           sector.substr(0, kBitsAt) != HeaderOf(at, sector);
      if (damaged && !fresh) ++damaged_;
      const size_t end =
          std::min(units_.size(), first + SpaceMap::kUnitsPerSector);
      for (size_t unit = first; unit < end; ++unit) {
        const size_t u = unit - first;
        const bool used =
            !fresh &&
            (damaged || (sector[kBitsAt + u / 8] >> (u % 8) & 1) != 0);
        units_[unit] = {.used = used, .inherited = used};
        if (used) --free_;
      }
    }
  }

  void Open(File* file, bool fresh) {
    auto map = SpaceMap::Open(file, lane_, units_.size(), fresh);
    LARDER_CHECK(map.ok());
    map_ = *std::move(map);
  }

  void CheckAll() const {
    CheckCounts();
    std::vector<char> inherited(units_.size());
    for (uint64_t unit = 0; unit < units_.size();) {
      unit = map_->ForEachInheritedRun(unit, 1000, [&](Extent run) {
        LARDER_CHECK(run.units > 0 && run.first + run.units <= units_.size());
        std::fill_n(inherited.begin() + static_cast<ptrdiff_t>(run.first),
                    run.units, 1);
      });
    }
    for (size_t u = 0; u < units_.size(); ++u) {
      LARDER_CHECK((inherited[u] != 0) == units_[u].inherited);
    }
  }

  void Flush() {
    LARDER_CHECK(map_->FlushDirty().ok());
    for (Unit& unit : units_) unit.unwritten = false;
  }
  // `file` must have marks of all that was handed out; takes over what it has.
  void ExpectAfterKill(absl::string_view file) {
    const std::vector<Unit> before = units_;
    map_ = nullptr;
    Expect(file, /*fresh=*/false);
    for (size_t u = 0; u < before.size(); ++u) {
      LARDER_CHECK(units_[u].used || !before[u].used || before[u].unwritten);
    }
  }
  // After a flush they are the same.
  void ExpectAfterFlush(absl::string_view file) {
    const std::vector<Unit> before = units_;
    ExpectAfterKill(file);
    LARDER_CHECK(damaged_ == 0);
    for (size_t u = 0; u < before.size(); ++u) {
      LARDER_CHECK(units_[u].used == before[u].used);
    }
  }

  void Allocate(uint64_t units, int extents_max) {
    const absl::StatusOr<Extents> extents = map_->Allocate(units, extents_max);
    if (!extents.ok()) {
      // Enough may be free, in more extents than that.
      LARDER_CHECK(absl::IsResourceExhausted(extents.status()));
      LARDER_CHECK(units > free_ || extents_max < static_cast<int>(units));
      return;
    }
    LARDER_CHECK(std::ssize(*extents) <= extents_max);
    uint64_t found = 0;
    for (const Extent& extent : *extents) {
      Take(extent);
      found += extent.units;
    }
    LARDER_CHECK(found == units);
  }
  void AllocateUnits(uint64_t count) {
    const auto units = map_->AllocateUnits(count);
    LARDER_CHECK(units.ok() == (count <= free_));
    if (!units.ok()) {
      LARDER_CHECK(absl::IsResourceExhausted(units.status()));
      return;
    }
    LARDER_CHECK(units->size() == count);
    for (const uint64_t unit : *units) Take({unit, 1});
  }
  void Release(uint64_t from, uint64_t units_max) {
    const Extent extent = UsedRun(from, units_max);
    if (extent.units == 0) return;
    map_->Release(extent);
    Set(extent, {.used = false, .inherited = false});
  }
  void Disown(uint64_t from, uint64_t units_max) {
    const Extent extent = UsedRun(from, units_max);
    if (extent.units == 0) return;
    map_->Disown(extent);
    for (uint64_t u = extent.first; u < extent.first + extent.units; ++u) {
      units_[u].inherited = false;
    }
  }
  void MarkUsed(uint64_t from, uint64_t units) {
    from %= units_.size();
    units = std::min(1 + units, units_.size() - from);
    map_->MarkUsed({from, units});
    for (uint64_t u = from; u < from + units; ++u) {
      if (units_[u].used) continue;
      Set({u, 1}, {.used = true, .inherited = false, .unwritten = true});
    }
  }
  void Grow(uint64_t units) {
    const uint64_t capacity =
        std::max(units_.size(),
                 std::min(units_.size() + units % kGrowthMax, kCapacityMax));
    LARDER_CHECK(map_->Grow(capacity).ok());
    free_ += capacity - units_.size();
    units_.resize(capacity);
  }
  void CheckCounts() const {
    LARDER_CHECK(map_->capacity_units() == units_.size());
    LARDER_CHECK(map_->used_units() == units_.size() - free_);
    LARDER_CHECK(map_->damaged_sectors() == damaged_);
  }

 private:
  struct Unit {
    bool used = false;
    bool inherited = false;
    bool unwritten = false;  // A kill may take its mark.
  };

  // Requires: all of `extent` is used, or none is.
  void Set(Extent extent, Unit unit) {
    if (units_[extent.first].used) free_ += extent.units;
    if (unit.used) free_ -= extent.units;
    std::fill_n(units_.begin() + static_cast<ptrdiff_t>(extent.first),
                extent.units, unit);
  }
  // Was handed out.
  void Take(Extent extent) {
    LARDER_CHECK(extent.units > 0 && extent.first < units_.size());
    LARDER_CHECK(extent.units <= units_.size() - extent.first);
    for (uint64_t u = extent.first; u < extent.first + extent.units; ++u) {
      LARDER_CHECK(!units_[u].used);
    }
    LARDER_CHECK(map_->IsUsed(extent.first));
    LARDER_CHECK(map_->IsUsed(extent.first + extent.units - 1));
    Set(extent, {.used = true, .inherited = false});
  }
  // The first used ones from `from` on; none: 0 units.
  Extent UsedRun(uint64_t from, uint64_t units_max) const {
    from %= units_.size();
    while (from < units_.size() && !units_[from].used) ++from;
    uint64_t end = from;
    while (end < units_.size() && units_[end].used && end - from <= units_max) {
      ++end;
    }
    return {from, end - from};
  }

  const SpaceMap::Lane lane_;
  std::vector<Unit> units_;
  uint64_t free_ = 0;
  uint64_t damaged_ = 0;
  std::unique_ptr<SpaceMap> map_;
};

class Space {
 public:
  explicit Space(Numbers* input)
      : fresh_((input->TakeU8() & kFresh) != 0),
        lanes_{{SpaceMap::Lane::kBlobs, 1 + input->TakeU16() % kCapacityMax},
               {SpaceMap::Lane::kMeta, 1 + input->TakeU16() % kCapacityMax}} {
    OpenFile(/*create=*/true);
    const std::string bytes = TakeFile(input);
    LARDER_CHECK(file_->Resize(bytes.size()).ok());
    LARDER_CHECK(file_->WriteAt(0, bytes).ok());
    for (LaneModel& lane : lanes_) lane.Expect(bytes, fresh_);
    OpenLanes(fresh_);
  }

  void Do(uint8_t what, uint16_t where, uint16_t how_many) {
    LaneModel& lane = lanes_[what & 1];
    // The numbers are those of cache_seeds.cc, too.
    switch ((what >> 1) % 8) {
      case 0:
        lane.Allocate(1 + how_many % kCapacityMax, 1 + where % 16);
        break;
      case 1:
        lane.AllocateUnits(how_many % kAtOnceMax);
        break;
      case 2:
        lane.Release(where, how_many);
        break;
      case 3:
        lane.Disown(where, how_many);
        break;
      case 4:
        lane.MarkUsed(where, how_many);
        break;
      case 5:
        lane.Grow(how_many);
        break;
      case 6:
        lane.Flush();
        break;
      case 7:
        OpenAgain(/*flush=*/where % 2 == 0);
        break;
    }
    for (const LaneModel& each : lanes_) each.CheckCounts();
  }

  void Finish() {
    for (const LaneModel& lane : lanes_) lane.CheckAll();
    OpenAgain(/*flush=*/false);
    OpenAgain(/*flush=*/true);
  }

 private:
  void OpenFile(bool create) {
    auto file = disk_.Open(
        kPath,
        {.create = create, .size_bytes_max = kSectorsMax * kSectorBytes});
    LARDER_CHECK(file.ok());
    file_ = *std::move(file);
  }
  void OpenLanes(bool fresh) {
    for (LaneModel& lane : lanes_) lane.Open(file_.get(), fresh);
    for (const LaneModel& lane : lanes_) lane.CheckAll();
  }
  // In another process, after a kill or an orderly end.
  void OpenAgain(bool flush) {
    if (flush) {
      for (LaneModel& lane : lanes_) lane.Flush();
    }
    std::string bytes(file_->Size(), '\0');
    LARDER_CHECK(file_->ReadAt(0, absl::MakeSpan(bytes)).ok());
    for (LaneModel& lane : lanes_) {
      flush ? lane.ExpectAfterFlush(bytes) : lane.ExpectAfterKill(bytes);
    }
    file_ = nullptr;
    disk_.KillProcess();
    OpenFile(/*create=*/false);
    OpenLanes(/*fresh=*/false);
  }

  const bool fresh_;
  SimulatedDisk disk_;
  std::unique_ptr<File> file_;  // Dies before the disk, behind the lanes.
  LaneModel lanes_[2];
};

}  // namespace
}  // namespace larder::cache::l2

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace larder::cache::l2;  // NOLINT(google-build-using-namespace)
  Numbers input(larder::tests::Input(data, size));
  Space space(&input);
  for (int op = 0; op < kOpsMax && !input.empty(); ++op) {
    const uint8_t what = input.TakeU8();
    const uint16_t where = input.TakeU16();
    space.Do(what, where, input.TakeU16());
  }
  space.Finish();
  return 0;
}
