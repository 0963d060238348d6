// The bytes of one file of the simulated disk: what the process sees, and what
// a power cut may leave of it.
#ifndef LARDER_CACHE_L2_SIMULATED_CONTENT_H_
#define LARDER_CACHE_L2_SIMULATED_CONTENT_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace larder::cache::l2 {

// Zeroed memory of a fixed address, taken from the system page by page as it is
// written. Thread-compatible.
class Reservation {
 public:
  explicit Reservation(uint64_t bytes);
  ~Reservation();
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;

  char* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  char* data_;
  const uint64_t bytes_;
};

// The model of the page cache over the disk. A sector is clean, or it is
// unsynced and every state that it had since it was last clean is kept. Sync()
// makes sectors clean; a power cut picks one state of each unsynced sector, so
// that writes are reordered, torn and dropped.
//
// Thread-compatible.
class SimulatedContent {
 public:
  static constexpr uint64_t kSectorBytes = 512;
  // What the page cache reads at once, so what is lost at once.
  static constexpr uint64_t kPageBytes = 4096;

  // Adds the bytes of the sectors that it occupies to `allocated_bytes`.
  // Borrows it.
  explicit SimulatedContent(std::atomic<uint64_t>* allocated_bytes)
      : allocated_bytes_(allocated_bytes) {}
  ~SimulatedContent();
  SimulatedContent(const SimulatedContent&) = delete;
  SimulatedContent& operator=(const SimulatedContent&) = delete;

  uint64_t size_bytes() const { return sizes_.back(); }
  // Holds the bytes; moves only when Reserve() is asked for more, or by
  // PowerCut().
  const std::shared_ptr<Reservation>& memory() const { return memory_; }
  void Reserve(uint64_t bytes);

  // Whether LosePage() took part of it and no write gave it back. A write that
  // covers all of a page, or all up to the end of the file, does so; one of a
  // part of it must read the rest first, and so cannot be.
  // Requires: the range ends within size_bytes().
  bool CanRead(uint64_t offset, uint64_t length) const;
  bool CanWrite(uint64_t offset, uint64_t length) const;

  // Require: the range ends within size_bytes(), and can be read or written.
  void Read(uint64_t offset, absl::Span<char> out) const;
  void Write(uint64_t offset, absl::string_view data);
  // Requires, when growing: Reserve() of so much.
  void Resize(uint64_t size_bytes);

  // How much of a write fits when only `free_bytes` are left on the disk.
  uint64_t WritablePrefix(uint64_t offset, uint64_t length,
                          uint64_t free_bytes) const;

  void Sync();
  // As Linux does it: the pages count as written from now on, although they
  // are not, and only a new write makes a later sync take them along.
  void FailSync();
  // Becomes one of the states that the medium may be in.
  void PowerCut(std::mt19937_64& random);
  // Damages the byte at rest. Requires: offset < size_bytes().
  void FlipBit(uint64_t offset, int bit);
  // The page around `offset` cannot be read any more; its memory shows zeros.
  // Requires: offset < size_bytes().
  void LosePage(uint64_t offset);

 private:
  struct Unsynced {
    // The first one is on the medium, the last one is what readers see.
    std::vector<std::string> states;
    bool abandoned = false;  // By a sync that failed.
  };

  void Allocate(uint64_t sector);
  // Forgets that sectors from `sectors` on are allocated.
  void TrimAllocated(uint64_t sectors);
  // Forgets the lost pages behind the end of the file.
  void TrimLost(uint64_t size_bytes);
  void CopyAllocated(uint64_t sectors_max, const Reservation& to) const;
  std::string SectorNow(uint64_t sector) const;
  // Call around a change of the sector's bytes.
  Unsynced& BeforeChange(uint64_t sector);
  void AfterChange(uint64_t sector, Unsynced& unsynced);

  std::atomic<uint64_t>* const allocated_bytes_;
  // Zero past size_bytes(), and as long as whole sectors.
  std::shared_ptr<Reservation> memory_ = std::make_shared<Reservation>(0);
  // The sizes since the last sync: the first one is on the medium.
  std::vector<uint64_t> sizes_ = {0};
  std::map<uint64_t, Unsynced> unsynced_;  // By sector.
  // By sector, up to the size. What is not allocated is zero.
  std::vector<bool> allocated_;
  std::set<uint64_t> lost_pages_;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_SIMULATED_CONTENT_H_
