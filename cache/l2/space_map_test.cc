#include "cache/l2/space_map.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/l2/file.h"
#include "gtest/gtest.h"

namespace larder::cache::l2 {
namespace {

using Lane = SpaceMap::Lane;
constexpr uint64_t kSector = SpaceMap::kSectorBytes;
constexpr uint64_t kPerSector = SpaceMap::kUnitsPerSector;

// `space` in memory: what was written survives any "kill". Thread-compatible.
class MemoryFile : public File {
 public:
  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override {
    ++reads;
    if (offset + out.size() > bytes.size()) return absl::OutOfRangeError("");
    std::memcpy(out.data(), bytes.data() + offset, out.size());
    return absl::OkStatus();
  }
  absl::Status WriteAt(uint64_t offset, absl::string_view data) override {
    EXPECT_LE(offset + data.size(), bytes.size());
    if (writes_left == 0) return absl::ResourceExhaustedError("full");
    --writes_left;
    ++writes;
    std::memcpy(bytes.data() + offset, data.data(), data.size());
    return absl::OkStatus();
  }
  absl::Status Sync() override { return absl::OkStatus(); }
  absl::Status Resize(uint64_t size_bytes) override {
    bytes.resize(size_bytes);
    return absl::OkStatus();
  }
  uint64_t Size() const override { return bytes.size(); }
  absl::StatusOr<const char*> View(uint64_t offset, uint64_t) const override {
    return bytes.data() + offset;
  }
  const std::string& path() const override { return path_; }

  std::string bytes;
  mutable int64_t reads = 0;
  int64_t writes = 0;
  int64_t writes_left = -1;  // Negative: no limit.

 private:
  const std::string path_ = "dir/space";
};

std::unique_ptr<SpaceMap> OpenMap(File* file, uint64_t capacity, bool fresh,
                                  Lane lane = Lane::kBlobs) {
  auto map = SpaceMap::Open(file, lane, capacity, fresh);
  EXPECT_TRUE(map.ok()) << map.status();
  return *std::move(map);
}

Extents Of(std::initializer_list<Extent> extents) { return Extents(extents); }

std::vector<Extent> InheritedRuns(const SpaceMap& map, uint64_t step) {
  std::vector<Extent> runs;
  for (uint64_t unit = 0; unit < map.capacity_units();) {
    const uint64_t next = map.ForEachInheritedRun(
        unit, step, [&](Extent run) { runs.push_back(run); });
    EXPECT_GT(next, unit);
    unit = next;
  }
  return runs;
}

TEST(SpaceMapTest, AllocatesOnwardAndWraps) {
  MemoryFile file;
  auto map = OpenMap(&file, 10, true);
  EXPECT_EQ(*map->Allocate(4, 1), Of({{0, 4}}));
  EXPECT_EQ(*map->Allocate(4, 1), Of({{4, 4}}));
  map->Release({0, 4});
  EXPECT_EQ(*map->Allocate(2, 1), Of({{8, 2}}));
  EXPECT_EQ(*map->Allocate(3, 1), Of({{0, 3}}));
  EXPECT_EQ(map->used_units(), 9u);
  EXPECT_EQ(map->Allocate(2, 8).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(map->Allocate(2, 8).status().message(),
            "dir/space: lane LSPB: allocate 2 units: 1 of 10 are free");
  EXPECT_EQ(*map->Allocate(1, 1), Of({{3, 1}}));
  EXPECT_EQ(map->used_units(), 10u);
}

TEST(SpaceMapTest, FindsTheRunThatStraddlesTheCursor) {
  MemoryFile file;
  auto map = OpenMap(&file, 20, true);
  EXPECT_EQ(*map->Allocate(10, 1), Of({{0, 10}}));
  map->Release({5, 5});
  map->MarkUsed({13, 7});
  // Free: 5 to 12, the cursor at 10 in its middle.
  EXPECT_EQ(*map->Allocate(8, 1), Of({{5, 8}}));
}

TEST(SpaceMapTest, GathersTheLargestRuns) {
  MemoryFile file;
  auto map = OpenMap(&file, 100, true);
  map->MarkUsed({0, 100});
  map->Release({10, 5});
  map->Release({20, 3});
  map->Release({30, 9});
  map->Release({50, 4});
  EXPECT_EQ(map->Allocate(15, 2).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(map->used_units(), 79u);
  EXPECT_EQ(*map->Allocate(13, 8), Of({{10, 4}, {30, 9}}));
  EXPECT_EQ(*map->Allocate(8, 3), Of({{14, 1}, {20, 3}, {50, 4}}));
}

// The free run around the cursor is one run, not two.
TEST(SpaceMapTest, GathersTheRunAroundTheCursorOnce) {
  MemoryFile file;
  auto map = OpenMap(&file, 30, true);
  ASSERT_TRUE(map->Allocate(10, 1).ok());
  map->Release({6, 4});
  map->MarkUsed({14, 16});
  map->Release({20, 3});
  // Free: 6 to 13, 20 to 22; the cursor at 10.
  EXPECT_EQ(*map->Allocate(11, 2), Of({{6, 8}, {20, 3}}));
}

// Small holes that lie near are no reason to leave a run, or a few, that lie
// farther off. What lies very far is not looked for.
TEST(SpaceMapTest, ManyPiecesAreTakenOnlyWhereFewAreVeryFar) {
  constexpr uint64_t kFar = uint64_t{1} << 20;
  constexpr uint64_t kVeryFar = uint64_t{1} << 22;
  const auto allocate = [](std::initializer_list<Extent> free) {
    MemoryFile file;
    auto map = OpenMap(&file, 2 * kVeryFar, true);
    map->MarkUsed({0, 2 * kVeryFar});
    for (uint64_t i = 0; i < 100; ++i) map->Release({1'000 * i, 1});
    for (const Extent& run : free) map->Release(run);
    return *map->Allocate(40, 128);
  };
  EXPECT_EQ(allocate({{kFar, 40}}), Of({{kFar, 40}}));
  EXPECT_EQ(allocate({{kFar, 25}, {kFar + 30, 15}}),
            Of({{kFar, 25}, {kFar + 30, 15}}));
  EXPECT_EQ(allocate({{kVeryFar, 1}, {kVeryFar + 10, 40}}).size(), 40);
}

TEST(SpaceMapTest, AllocateWritesEachMarkedSectorOnce) {
  MemoryFile file;
  auto map = OpenMap(&file, 4 * kPerSector, true);
  EXPECT_EQ(file.bytes.size(), 7 * kSector);  // Six between, one of ours last.
  file.writes = 0;
  ASSERT_TRUE(map->Allocate(kPerSector + 1, 1).ok());
  EXPECT_EQ(file.writes, 2);
  map->Release({0, 1});
  map->Release({2, 1});
  EXPECT_EQ(file.writes, 2);
  EXPECT_EQ(map->AllocateUnits(2 * kPerSector).value().size(), 2 * kPerSector);
  EXPECT_EQ(file.writes, 5);
  ASSERT_TRUE(map->FlushDirty().ok());
  EXPECT_EQ(file.writes, 7);  // The first one, and the second's marks ahead.
  ASSERT_TRUE(map->FlushDirty().ok());
  EXPECT_EQ(file.writes, 7);
}

// What follows finds its marks on disk; a flush takes back what nobody took.
TEST(SpaceMapTest, MarksAheadSaveWritesUntilAFlush) {
  constexpr uint64_t kAhead = SpaceMap::kAheadUnits;
  MemoryFile file;
  auto map = OpenMap(&file, kPerSector, true);
  const auto marked = [&] {
    return OpenMap(&file, kPerSector, false)->used_units();
  };
  file.writes = 0;
  ASSERT_TRUE(map->Allocate(100, 1).ok());
  EXPECT_EQ(marked(), 100 + kAhead);
  EXPECT_EQ(map->used_units(), 100);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(map->Allocate(kAhead / 4, 1).ok());
  }
  EXPECT_EQ(file.writes, 1);
  EXPECT_EQ(marked(), 100 + kAhead);
  // Up to the end of the sector.
  ASSERT_TRUE(map->Allocate(1, 1).ok());
  EXPECT_EQ(file.writes, 2);
  EXPECT_EQ(marked(), kPerSector);
  ASSERT_TRUE(map->FlushDirty().ok());
  EXPECT_EQ(file.writes, 3);
  EXPECT_EQ(marked(), 101 + kAhead);
  // What the flush took back must be marked again.
  ASSERT_TRUE(map->Allocate(1, 1).ok());
  EXPECT_EQ(file.writes, 4);
  EXPECT_EQ(marked(), kPerSector);
}

TEST(SpaceMapTest, MarksAheadThatWereNotWrittenAreNotCountedOn) {
  MemoryFile file;
  auto map = OpenMap(&file, kPerSector, true);
  file.writes_left = 0;
  EXPECT_FALSE(map->Allocate(10, 1).ok());
  file.writes_left = -1;
  file.writes = 0;
  ASSERT_TRUE(map->Allocate(10, 1).ok());
  EXPECT_EQ(file.writes, 1);
}

TEST(SpaceMapTest, AllocateUnitsTakesHolesAndWraps) {
  MemoryFile file;
  auto map = OpenMap(&file, 8, true);
  ASSERT_TRUE(map->Allocate(6, 1).ok());
  map->Release({1, 1});
  map->Release({3, 1});
  EXPECT_EQ(map->AllocateUnits(3).value(), (std::vector<uint64_t>{6, 7, 1}));
  EXPECT_EQ(map->AllocateUnits(2).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(map->AllocateUnits(0).value(), std::vector<uint64_t>{});
  EXPECT_EQ(map->AllocateUnits(1).value(), std::vector<uint64_t>{3});
}

TEST(SpaceMapTest, FailedWriteLeavesNothingMarked) {
  MemoryFile file;
  auto map = OpenMap(&file, 2 * kPerSector, true);
  file.writes_left = 1;
  EXPECT_FALSE(map->Allocate(kPerSector + 1, 1).ok());
  EXPECT_EQ(map->used_units(), 0u);
  EXPECT_FALSE(map->AllocateUnits(1).ok());
  EXPECT_EQ(map->used_units(), 0u);
  // The disk kept the first mark: conservative, and repaired by a flush.
  EXPECT_EQ(OpenMap(&file, 2 * kPerSector, false)->used_units(), kPerSector);
  file.writes_left = -1;
  ASSERT_TRUE(map->FlushDirty().ok());
  EXPECT_EQ(OpenMap(&file, 2 * kPerSector, false)->used_units(), 0u);
}

TEST(SpaceMapTest, FailedGrowKeepsTheCapacity) {
  MemoryFile file;
  auto map = OpenMap(&file, 100, true);
  file.writes_left = 0;
  EXPECT_FALSE(map->Grow(kPerSector * 2).ok());
  EXPECT_EQ(map->capacity_units(), 100u);
  EXPECT_TRUE(map->Grow(kPerSector).ok()) << "no new sector, nothing to write";
  EXPECT_EQ(map->capacity_units(), kPerSector);
}

TEST(SpaceMapTest, LanesShareTheFile) {
  MemoryFile file;
  auto blobs = OpenMap(&file, 3 * kPerSector, true, Lane::kBlobs);
  auto meta = OpenMap(&file, kPerSector, true, Lane::kMeta);
  ASSERT_TRUE(blobs->Allocate(2 * kPerSector, 1).ok());
  ASSERT_TRUE(meta->Allocate(7, 1).ok());
  ASSERT_TRUE(meta->Grow(5 * kPerSector).ok());
  ASSERT_TRUE(meta->FlushDirty().ok());
  EXPECT_EQ(OpenMap(&file, 3 * kPerSector, false, Lane::kBlobs)->used_units(),
            2 * kPerSector);
  meta = OpenMap(&file, 5 * kPerSector, false, Lane::kMeta);
  EXPECT_EQ(meta->used_units(), 7u);
  EXPECT_EQ(meta->damaged_sectors(), 0u);
}

// One lane that fills a shortened file up must not make the other lane's lost
// sectors look free.
TEST(SpaceMapTest, SectorsOfAShortenedFileAreTakenAsUsed) {
  MemoryFile file;
  OpenMap(&file, 2 * kPerSector, true, Lane::kBlobs);
  ASSERT_TRUE(OpenMap(&file, 2 * kPerSector, true, Lane::kMeta)
                  ->Allocate(2 * kPerSector, 1)
                  .ok());
  ASSERT_TRUE(file.Resize(kSector + 100).ok());
  for (int round = 0; round < 2; ++round) {
    auto blobs = OpenMap(&file, 2 * kPerSector, false, Lane::kBlobs);
    EXPECT_EQ(blobs->used_units(), kPerSector);
    EXPECT_EQ(blobs->damaged_sectors(), 1u);
    auto meta = OpenMap(&file, 2 * kPerSector, false, Lane::kMeta);
    EXPECT_EQ(meta->used_units(), 2 * kPerSector);
    EXPECT_EQ(meta->damaged_sectors(), 2u);
  }
  auto blobs = OpenMap(&file, 2 * kPerSector, false, Lane::kBlobs);
  EXPECT_EQ(InheritedRuns(*blobs, 1 << 20),
            (std::vector<Extent>{{kPerSector, kPerSector}}));
  blobs->Release({kPerSector, kPerSector});
  ASSERT_TRUE(blobs->FlushDirty().ok());
  blobs = OpenMap(&file, 2 * kPerSector, false, Lane::kBlobs);
  EXPECT_EQ(blobs->used_units(), 0u);
  EXPECT_EQ(blobs->damaged_sectors(), 0u);
}

TEST(SpaceMapTest, EveryDamagedByteIsSeen) {
  MemoryFile file;
  OpenMap(&file, 2 * kPerSector, true);
  const std::string intact = file.bytes;
  for (uint64_t byte = 0; byte < kSector; ++byte) {
    file.bytes[2 * kSector + byte] ^= 0x10;
    auto map = OpenMap(&file, kPerSector + 100, false);
    EXPECT_EQ(map->damaged_sectors(), 1u) << byte;
    EXPECT_EQ(map->used_units(), 100u);
    file.bytes = intact;
  }
}

TEST(SpaceMapTest, MisplacedSectorsAreDamaged) {
  MemoryFile file;
  OpenMap(&file, 2 * kPerSector, true, Lane::kBlobs);
  OpenMap(&file, 2 * kPerSector, true, Lane::kMeta);
  // Sector 0 of the blobs over sector 0 of the meta lane, and over sector 1.
  std::memcpy(file.bytes.data() + kSector, file.bytes.data(), kSector);
  std::memcpy(file.bytes.data() + 2 * kSector, file.bytes.data(), kSector);
  EXPECT_EQ(OpenMap(&file, 2 * kPerSector, false, Lane::kBlobs)->used_units(),
            kPerSector);
  EXPECT_EQ(OpenMap(&file, 2 * kPerSector, false, Lane::kMeta)->used_units(),
            kPerSector);
}

TEST(SpaceMapTest, GrowGivesFreeUnitsWhateverTheFileHeld) {
  MemoryFile file;
  {
    auto map = OpenMap(&file, 3 * kPerSector, true);
    ASSERT_TRUE(map->Allocate(3 * kPerSector, 1).ok());
  }
  auto map = OpenMap(&file, kPerSector + 10, false);
  EXPECT_EQ(map->used_units(), kPerSector + 10);
  ASSERT_TRUE(map->Grow(3 * kPerSector).ok());
  EXPECT_EQ(map->used_units(), kPerSector + 10);
  EXPECT_EQ(*map->Allocate(kPerSector, 1), Of({{kPerSector + 10, kPerSector}}));
  ASSERT_TRUE(map->FlushDirty().ok());
  map = OpenMap(&file, 3 * kPerSector, false);
  EXPECT_EQ(map->used_units(), 2 * kPerSector + 10);
}

// A power cut that takes the growth of `blobs` may leave its marks in `space`.
TEST(SpaceMapTest, MarksPastTheCapacityAreGoneWithTheNextGrowth) {
  MemoryFile file;
  {
    auto map = OpenMap(&file, 200, true);
    ASSERT_TRUE(map->Allocate(200, 1).ok());
  }
  {
    auto map = OpenMap(&file, 150, false);
    ASSERT_TRUE(map->Grow(200).ok());
    EXPECT_EQ(map->used_units(), 150);
  }
  EXPECT_EQ(OpenMap(&file, 200, false)->used_units(), 150);
}

TEST(SpaceMapTest, InheritedUntilReleasedOrDisowned) {
  MemoryFile file;
  {
    auto map = OpenMap(&file, 1000, true);
    ASSERT_TRUE(map->Allocate(300, 1).ok());
    ASSERT_TRUE(map->FlushDirty().ok());
    EXPECT_TRUE(InheritedRuns(*map, 7).empty());
  }
  auto map = OpenMap(&file, 1000, false);
  map->Disown({100, 50});
  map->Release({200, 30});
  ASSERT_TRUE(map->Allocate(10, 1).ok());
  map->MarkUsed({290, 20});
  EXPECT_EQ(InheritedRuns(*map, 1 << 20),
            (std::vector<Extent>{{0, 100}, {150, 50}, {230, 70}}));
  uint64_t units = 0;
  for (const Extent& run : InheritedRuns(*map, 7)) units += run.units;
  EXPECT_EQ(units, 220u);
  EXPECT_EQ(map->ForEachInheritedRun(5000, 1, [](Extent) { FAIL(); }), 1000u);
}

TEST(SpaceMapTest, ForgottenAllAtOnce) {
  MemoryFile file;
  ASSERT_TRUE(OpenMap(&file, 1000, true)->Allocate(500, 1).ok());
  auto map = OpenMap(&file, 1000, false);
  map->Release({0, 10});
  EXPECT_FALSE(InheritedRuns(*map, 1000).empty());
  map->ForgetInherited();
  EXPECT_TRUE(InheritedRuns(*map, 1000).empty());
  EXPECT_TRUE(map->IsUsed(100));
  map->Release({10, 10});
  ASSERT_TRUE(map->Allocate(5, 1).ok());
  EXPECT_TRUE(InheritedRuns(*map, 1000).empty());
}

// An open reads nothing, and what is kept of the map follows what changes.
TEST(SpaceMapTest, TheMapStaysInTheFile) {
  constexpr uint64_t kSectors = 20'000;
  MemoryFile file;
  ASSERT_TRUE(OpenMap(&file, kSectors * kPerSector, true)
                  ->Allocate(kSectors * kPerSector, 1)
                  .ok());
  file.reads = 0;
  auto map = OpenMap(&file, kSectors * kPerSector, false);
  EXPECT_EQ(file.reads, 0);
  EXPECT_EQ(map->used_units(), kSectors * kPerSector);
  EXPECT_LE(file.reads, 100);
  EXPECT_EQ(map->sectors_in_memory(), 0u);
  for (uint64_t sector = 0; sector < kSectors; ++sector) {
    map->Release({sector * kPerSector + 7, 1});
  }
  map->ForgetInherited();
  EXPECT_EQ(map->sectors_in_memory(), kSectors);
  ASSERT_TRUE(map->FlushDirty().ok());
  EXPECT_LE(map->sectors_in_memory(), 4096u);
  for (uint64_t sector = 0; sector < kSectors; ++sector) {
    EXPECT_FALSE(map->IsUsed(sector * kPerSector + 7));
    EXPECT_TRUE(map->IsUsed(sector * kPerSector + 8));
    EXPECT_LE(map->sectors_in_memory(), 4096u);
  }
}

// A write that never came, or damage, behind the first look: all of the sector
// is used, so that nothing that lives in it is given away.
TEST(SpaceMapTest, ASectorThatIsNotWhatWasWrittenIsTakenAsUsed) {
  constexpr uint64_t kSectors = 5000;
  for (const bool lost_write : {false, true}) {
    MemoryFile file;
    auto map = OpenMap(&file, kSectors * kPerSector, true);
    const std::string before = file.bytes.substr(0, kSector);
    ASSERT_TRUE(map->Allocate(100, 1).ok());
    ASSERT_TRUE(map->FlushDirty().ok());
    if (lost_write) {
      file.bytes.replace(0, kSector, before);
    } else {
      file.bytes[300] ^= 1;
    }
    EXPECT_EQ(map->used_units(), 100u);
    // Others drive it out of memory.
    for (uint64_t sector = 1; sector < kSectors; ++sector) {
      EXPECT_FALSE(map->IsUsed(sector * kPerSector));
    }
    EXPECT_TRUE(map->IsUsed(kPerSector - 1));
    EXPECT_EQ(map->used_units(), kPerSector);
    EXPECT_EQ(map->damaged_sectors(), 1u);
    map->Release({0, 100});
    // All others first, so that only what was released is left.
    ASSERT_TRUE(map->Allocate((kSectors - 1) * kPerSector, 1).ok());
    EXPECT_FALSE(map->AllocateUnits(101).ok());
    EXPECT_EQ(*map->Allocate(100, 1), Of({{0, 100}}));
  }
}

// A sector that is wholly free is taken without a look at it.
TEST(SpaceMapTest, WhatIsAllocatedInADamagedSectorIsNotInherited) {
  MemoryFile file;
  OpenMap(&file, 2 * kPerSector, true);
  auto map = OpenMap(&file, 2 * kPerSector, false);
  EXPECT_EQ(map->used_units(), 0u);
  file.bytes[2 * kSector + 300] ^= 1;
  EXPECT_EQ(*map->Allocate(kPerSector + 100, 1), Of({{0, kPerSector + 100}}));
  EXPECT_EQ(map->damaged_sectors(), 1u);
  EXPECT_EQ(InheritedRuns(*map, 1 << 20),
            (std::vector<Extent>{{kPerSector + 100, kPerSector - 100}}));
  map->Release({kPerSector + 100, kPerSector - 100});
  EXPECT_EQ(map->used_units(), kPerSector + 100);
}

TEST(SpaceMapTest, ThreadsGetDisjointUnits) {
  MemoryFile file;
  auto map = OpenMap(&file, 2 * kPerSector, true);
  std::vector<std::vector<Extent>> taken(4);
  std::vector<std::thread> threads;
  for (auto& mine : taken) {
    threads.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        mine.push_back(map->Allocate(1 + i % 5, 1).value()[0]);
        if (i % 3 == 0) {
          map->Release(mine.back());
          mine.pop_back();
        }
        if (i % 50 == 0) {
          EXPECT_TRUE(map->FlushDirty().ok());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<bool> seen(2 * kPerSector);
  uint64_t units = 0;
  for (const auto& mine : taken) {
    for (const Extent& extent : mine) {
      for (uint64_t i = 0; i < extent.units; ++i, ++units) {
        EXPECT_FALSE(seen[extent.first + i]);
        seen[extent.first + i] = true;
      }
    }
  }
  EXPECT_EQ(map->used_units(), units);
}

// Of a lost sector, which looks like any other.
TEST(SpaceMapTest, WhatIsGivenBackAndNotMarkedIsCounted) {
  MemoryFile file;
  auto map = OpenMap(&file, 100, true);
  map->MarkUsed({10, 10});
  EXPECT_EQ(map->Release({10, 5}), 0);
  EXPECT_EQ(map->Release({10, 5}), 5);
  EXPECT_EQ(map->used_units(), 5);
  EXPECT_EQ(map->Disown({14, 2}), 1);
  EXPECT_EQ(map->used_units(), 6);
  EXPECT_TRUE(map->IsUsed(14));
  EXPECT_EQ(map->Disown({14, 2}), 0);
  EXPECT_EQ(map->Release({14, 2}), 0);
  EXPECT_EQ(map->used_units(), 4);
  EXPECT_EQ(map->Release({14, 3}), 2);
  EXPECT_EQ(map->used_units(), 3);
}

TEST(SpaceMapDeathTest, OwnBugsDie) {
  MemoryFile file;
  auto map = OpenMap(&file, 100, true);
  EXPECT_DEATH(map->Release({99, 2}), "CHECK failed");
  EXPECT_DEATH(map->MarkUsed({UINT64_MAX, 2}), "CHECK failed");
  EXPECT_DEATH(map->IsUsed(100), "CHECK failed");
  EXPECT_DEATH(map->Allocate(0, 1).IgnoreError(), "CHECK failed");
}

// Random operations on one lane against one bool a unit.
class SpaceMapModel {
 public:
  explicit SpaceMapModel(uint64_t seed)
      : random_(seed), used_(900 + Draw(2 * kPerSector)) {
    inherited_.resize(used_.size());
    map_ = OpenMap(&file_, used_.size(), true);
    other_ = OpenMap(&file_, 100, true, Lane::kMeta);
  }

  void Step() {
    switch (Draw(16)) {
      case 0:
        return Reopen(Draw(3) == 0);
      case 1:
        return Grow();
      case 2:
        ASSERT_TRUE(map_->FlushDirty().ok());
        unflushed_.clear();
        return;
      case 3:
        return MarkUsed();
      case 4:
        return Disown();
      case 5:
        return FailToAllocate();
      case 6:
      case 7:
        return AllocateUnits();
      case 8:
      case 9:
      case 10:
        return Release();
      default:
        return Allocate();
    }
  }

  void Compare() const {
    ASSERT_EQ(map_->capacity_units(), used_.size());
    ASSERT_EQ(map_->used_units(), CountUsed());
    for (uint64_t unit = 0; unit < used_.size(); ++unit) {
      ASSERT_EQ(map_->IsUsed(unit), used_[unit]) << unit;
    }
    std::vector<bool> inherited(used_.size());
    for (const Extent& run : InheritedRuns(*map_, 1 + used_.size() / 3)) {
      for (uint64_t i = 0; i < run.units; ++i) inherited[run.first + i] = true;
    }
    ASSERT_EQ(inherited, inherited_);
    ASSERT_EQ(other_->used_units(), 0u);
  }

 private:
  uint64_t Draw(uint64_t end) { return random_() % end; }
  uint64_t CountUsed() const {
    return static_cast<uint64_t>(std::count(used_.begin(), used_.end(), true));
  }
  // A random run of units that are all `used`, or of no units.
  Extent DrawRun(bool used) {
    const uint64_t first = Draw(used_.size());
    const uint64_t units_max = 1 + Draw(200);
    uint64_t units = 0;
    while (units < units_max && first + units < used_.size() &&
           used_[first + units] == used) {
      ++units;
    }
    return {first, units};
  }
  void Take(Extent extent) {
    ASSERT_GT(extent.units, 0u);
    for (uint64_t i = 0; i < extent.units; ++i) {
      ASSERT_FALSE(used_.at(extent.first + i));
      used_[extent.first + i] = true;
    }
  }
  uint64_t LongestFreeRun() const {
    uint64_t longest = 0;
    uint64_t run = 0;
    for (const bool used : used_) {
      run = used ? 0 : run + 1;
      longest = std::max(longest, run);
    }
    return longest;
  }

  void Allocate() {
    const uint64_t units = 1 + Draw(Draw(4) == 0 ? 1500 : 40);
    const int extents_max = 1 + static_cast<int>(Draw(4));
    const uint64_t longest = LongestFreeRun();
    const auto extents = map_->Allocate(units, extents_max);
    if (!extents.ok()) {
      ASSERT_EQ(extents.status().code(), absl::StatusCode::kResourceExhausted);
      ASSERT_LT(longest, units);
      return;
    }
    ASSERT_LE(extents->size(), static_cast<size_t>(extents_max));
    if (longest >= units) {
      ASSERT_EQ(extents->size(), 1u);
    }
    uint64_t sum = 0;
    for (const Extent& extent : *extents) {
      Take(extent);
      sum += extent.units;
    }
    ASSERT_EQ(sum, units);
    // Marks ahead of it, if it wrote any.
    const uint64_t end = extents->back().first + extents->back().units;
    unflushed_.push_back(
        {end, std::min(SpaceMap::kAheadUnits, used_.size() - end)});
  }
  void AllocateUnits() {
    const uint64_t count = Draw(100);
    const bool fits = count <= used_.size() - CountUsed();
    const auto units = map_->AllocateUnits(count);
    ASSERT_EQ(units.ok(), fits) << units.status();
    if (!fits) return;
    ASSERT_EQ(units->size(), count);
    for (const uint64_t unit : *units) Take({unit, 1});
  }
  void FailToAllocate() {
    ASSERT_TRUE(map_->FlushDirty().ok());  // Nothing is marked ahead.
    unflushed_.clear();
    file_.writes_left = 0;
    EXPECT_FALSE(map_->Allocate(1 + Draw(50), 2).ok());
    file_.writes_left = -1;
  }
  void Release() {
    const Extent run = DrawRun(true);
    if (run.units == 0) return;
    EXPECT_EQ(map_->Release(run), 0);
    for (uint64_t i = 0; i < run.units; ++i) {
      used_[run.first + i] = false;
      inherited_[run.first + i] = false;
    }
    unflushed_.push_back(run);
  }
  void MarkUsed() {
    const Extent run = DrawRun(false);
    if (run.units == 0) return;
    map_->MarkUsed(run);
    Take(run);
    ASSERT_TRUE(map_->FlushDirty().ok());
    unflushed_.clear();
  }
  void Disown() {
    const Extent run = DrawRun(true);
    if (run.units == 0) return;
    EXPECT_EQ(map_->Disown(run), 0);
    for (uint64_t i = 0; i < run.units; ++i) inherited_[run.first + i] = false;
  }
  void Grow() {
    if (used_.size() > 5 * kPerSector) return;
    used_.resize(used_.size() + Draw(300));
    inherited_.resize(used_.size());
    ASSERT_TRUE(map_->Grow(used_.size()).ok());
  }
  // A killed process: no mark is lost, releases may be.
  void Reopen(bool damage) {
    const uint64_t sectors = (used_.size() + kPerSector - 1) / kPerSector;
    const uint64_t damaged = damage ? Draw(sectors) : sectors;
    if (damage) file_.bytes[damaged * 2 * kSector + Draw(kSector)] ^= 4;
    map_ = OpenMap(&file_, used_.size(), false);
    ASSERT_EQ(map_->damaged_sectors(), damage ? 1u : 0u);
    std::vector<bool> may_be_used(used_.size());
    for (const Extent& run : unflushed_) {
      for (uint64_t i = 0; i < run.units; ++i) {
        may_be_used[run.first + i] = true;
      }
    }
    for (uint64_t unit = 0; unit < used_.size(); ++unit) {
      const bool in_damaged = unit / kPerSector == damaged;
      const bool marked = map_->IsUsed(unit);
      if (used_[unit] || in_damaged) {
        ASSERT_TRUE(marked) << unit;
      }
      if (marked) {
        ASSERT_TRUE(used_[unit] || in_damaged || may_be_used[unit]) << unit;
      }
      used_[unit] = inherited_[unit] = marked;
    }
    ASSERT_TRUE(map_->FlushDirty().ok());
    unflushed_.clear();
  }

  std::mt19937_64 random_;
  MemoryFile file_;
  std::vector<bool> used_;
  std::vector<bool> inherited_;
  // Released, or marked ahead, since the last flush.
  std::vector<Extent> unflushed_;
  std::unique_ptr<SpaceMap> map_;
  std::unique_ptr<SpaceMap> other_;  // The other lane: never touched.
};

TEST(SpaceMapTest, AgreesWithTheModel) {
  uint64_t seed = std::random_device()();
  if (const char* given = std::getenv("LARDER_SEED")) {
    ASSERT_TRUE(absl::SimpleAtoi(given, &seed));
  }
  for (int round = 0; round < 8; ++round) {
    SCOPED_TRACE(testing::Message() << "LARDER_SEED=" << seed + round);
    SpaceMapModel model(seed + round);
    for (int step = 0; step < 400; ++step) {
      model.Step();
      if (step % 8 == 0) model.Compare();
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace larder::cache::l2
