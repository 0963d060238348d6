#include "cache/l2/simulated_content.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "cache/check.h"

namespace larder::cache::l2 {
namespace {

constexpr uint64_t kSectorBytes = SimulatedContent::kSectorBytes;
// Least growth of a file whose final size is not known: saves copies.
constexpr uint64_t kGrowthBytesMin = 64 << 10;

uint64_t SectorsFor(uint64_t bytes) {
  return (bytes + kSectorBytes - 1) / kSectorBytes;
}

}  // namespace

Reservation::Reservation(uint64_t bytes) : bytes_(bytes) {
  // A length of 0 is not allowed; a reservation costs address space only.
  void* mapped =
      ::mmap(nullptr, std::max<uint64_t>(bytes, 1), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  LARDER_CHECK(mapped != MAP_FAILED);
  data_ = static_cast<char*>(mapped);
}

Reservation::~Reservation() { ::munmap(data_, std::max<uint64_t>(bytes_, 1)); }

SimulatedContent::~SimulatedContent() { TrimAllocated(0); }

void SimulatedContent::Reserve(uint64_t bytes) {
  bytes = SectorsFor(bytes) * kSectorBytes;
  if (bytes <= memory_->bytes()) return;
  auto larger = std::make_shared<Reservation>(
      std::max({bytes, memory_->bytes() * 2, kGrowthBytesMin}));
  CopyAllocated(allocated_.size(), *larger);
  memory_ = std::move(larger);
}

bool SimulatedContent::CanRead(uint64_t offset, uint64_t length) const {
  const auto lost = lost_pages_.lower_bound(offset / kPageBytes);
  return length == 0 || lost == lost_pages_.end() ||
         *lost > (offset + length - 1) / kPageBytes;
}

bool SimulatedContent::CanWrite(uint64_t offset, uint64_t length) const {
  const auto covers = [&](uint64_t at) {
    const uint64_t page = at / kPageBytes * kPageBytes;
    return offset <= page &&
           offset + length >= std::min(page + kPageBytes, size_bytes());
  };
  // Only the first and the last page may be written in part.
  return length == 0 ||
         ((CanRead(offset, 1) || covers(offset)) &&
          (CanRead(offset + length - 1, 1) || covers(offset + length - 1)));
}

void SimulatedContent::Read(uint64_t offset, absl::Span<char> out) const {
  std::copy_n(memory_->data() + offset, out.size(), out.data());
}

void SimulatedContent::Write(uint64_t offset, absl::string_view data) {
  if (!data.empty()) {
    lost_pages_.erase(
        lost_pages_.lower_bound(offset / kPageBytes),
        lost_pages_.upper_bound((offset + data.size() - 1) / kPageBytes));
  }
  while (!data.empty()) {
    const uint64_t sector = offset / kSectorBytes;
    const size_t length = static_cast<size_t>(
        std::min<uint64_t>(data.size(), (sector + 1) * kSectorBytes - offset));
    Unsynced& unsynced = BeforeChange(sector);
    std::memcpy(memory_->data() + offset, data.data(), length);
    AfterChange(sector, unsynced);
    Allocate(sector);
    offset += length;
    data.remove_prefix(length);
  }
}

void SimulatedContent::Resize(uint64_t size_bytes) {
  const uint64_t before = this->size_bytes();
  LARDER_CHECK(size_bytes <= memory_->bytes());
  // A shrunk tail reads as zeros when the file grows again.
  for (uint64_t offset = size_bytes; offset < before;) {
    const uint64_t sector = offset / kSectorBytes;
    const uint64_t end = std::min(before, (sector + 1) * kSectorBytes);
    char* tail = memory_->data() + offset;
    if (std::any_of(tail, tail + (end - offset),
                    [](char byte) { return byte != 0; })) {
      Unsynced& unsynced = BeforeChange(sector);
      std::memset(tail, 0, end - offset);
      AfterChange(sector, unsynced);
    }
    offset = end;
  }
  TrimAllocated(SectorsFor(size_bytes));
  sizes_.push_back(size_bytes);
  TrimLost(size_bytes);
}

uint64_t SimulatedContent::WritablePrefix(uint64_t offset, uint64_t length,
                                          uint64_t free_bytes) const {
  for (uint64_t at = offset; at < offset + length;) {
    const uint64_t sector = at / kSectorBytes;
    if (!allocated_[sector]) {
      if (free_bytes < kSectorBytes) return at - offset;
      free_bytes -= kSectorBytes;
    }
    at = (sector + 1) * kSectorBytes;
  }
  return length;
}

void SimulatedContent::Sync() {
  std::erase_if(unsynced_,
                [](const auto& entry) { return !entry.second.abandoned; });
  sizes_ = {size_bytes()};
}

void SimulatedContent::FailSync() {
  for (auto& [sector, unsynced] : unsynced_) unsynced.abandoned = true;
}

void SimulatedContent::PowerCut(std::mt19937_64& random) {
  const uint64_t size_bytes = sizes_[random() % sizes_.size()];
  const uint64_t sectors = SectorsFor(size_bytes);
  // Views of the dead process keep the old memory.
  auto survived = std::make_shared<Reservation>(memory_->bytes());
  allocated_.resize(std::max<uint64_t>(sectors, allocated_.size()), false);
  CopyAllocated(sectors, *survived);
  for (const auto& [sector, unsynced] : unsynced_) {
    // Drawn for lost sectors too: what survives of one sector must not depend
    // on the size of the file.
    const std::string& state =
        unsynced.states[random() % unsynced.states.size()];
    if (sector >= sectors) continue;
    std::memcpy(survived->data() + sector * kSectorBytes, state.data(),
                state.size());
    Allocate(sector);
  }
  std::memset(survived->data() + size_bytes, 0,
              sectors * kSectorBytes - size_bytes);
  memory_ = std::move(survived);
  TrimAllocated(sectors);
  unsynced_.clear();
  sizes_ = {size_bytes};
  TrimLost(size_bytes);
}

void SimulatedContent::FlipBit(uint64_t offset, int bit) {
  Allocate(offset / kSectorBytes);
  const char mask = static_cast<char>(1 << bit);
  memory_->data()[offset] ^= mask;
  const auto it = unsynced_.find(offset / kSectorBytes);
  if (it == unsynced_.end()) return;
  for (std::string& state : it->second.states) {
    state[offset % kSectorBytes] ^= mask;
  }
}

void SimulatedContent::LosePage(uint64_t offset) {
  const uint64_t page = offset / kPageBytes;
  lost_pages_.insert(page);
  constexpr uint64_t kSectors = kPageBytes / kSectorBytes;
  const uint64_t end =
      std::min((page + 1) * kSectors, SectorsFor(size_bytes()));
  for (uint64_t sector = page * kSectors; sector < end; ++sector) {
    std::memset(memory_->data() + sector * kSectorBytes, 0, kSectorBytes);
    unsynced_.erase(sector);
  }
}

void SimulatedContent::TrimLost(uint64_t size_bytes) {
  lost_pages_.erase(
      lost_pages_.lower_bound((size_bytes + kPageBytes - 1) / kPageBytes),
      lost_pages_.end());
}

std::string SimulatedContent::SectorNow(uint64_t sector) const {
  return std::string(memory_->data() + sector * kSectorBytes, kSectorBytes);
}

void SimulatedContent::Allocate(uint64_t sector) {
  if (allocated_[sector]) return;
  allocated_[sector] = true;
  *allocated_bytes_ += kSectorBytes;
}

void SimulatedContent::TrimAllocated(uint64_t sectors) {
  for (uint64_t s = sectors; s < allocated_.size(); ++s) {
    if (allocated_[s]) *allocated_bytes_ -= kSectorBytes;
  }
  allocated_.resize(sectors, false);
}

void SimulatedContent::CopyAllocated(uint64_t sectors_max,
                                     const Reservation& to) const {
  const uint64_t sectors = std::min<uint64_t>(sectors_max, allocated_.size());
  for (uint64_t s = 0; s < sectors; ++s) {
    if (!allocated_[s]) continue;
    std::memcpy(to.data() + s * kSectorBytes,
                memory_->data() + s * kSectorBytes, kSectorBytes);
  }
}

SimulatedContent::Unsynced& SimulatedContent::BeforeChange(uint64_t sector) {
  Unsynced& unsynced = unsynced_[sector];
  if (unsynced.states.empty()) unsynced.states.push_back(SectorNow(sector));
  return unsynced;
}

void SimulatedContent::AfterChange(uint64_t sector, Unsynced& unsynced) {
  unsynced.states.push_back(SectorNow(sector));
  unsynced.abandoned = false;
}

}  // namespace larder::cache::l2
