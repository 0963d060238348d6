// Remembers how often evicted blobs were read.
#ifndef LARDER_CACHE_L1_FREQUENCY_GHOST_H_
#define LARDER_CACHE_L1_FREQUENCY_GHOST_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace larder::cache::l1 {

// A lossy table: one slot a hash, four bytes a slot, the newest note wins.
// A foreign note is returned once in 2^24 lookups; it misjudges one blob's
// worth and no more. Not thread-safe, const calls apart.
//
// Why direct-mapped rather than a queue of ghosts: on the traces it reaches
// the miss ratios of an exact queue of the same number (ADR 0002), at a sixth
// of the memory and one cache line an eviction.
class FrequencyGhost {
 public:
  // The frequency last noted for `hash`, or 0.
  uint8_t Find(uint64_t hash) const {
    if (slots_.empty()) return 0;
    const uint32_t slot = slots_[hash & (slots_.size() - 1)];
    return (slot >> 8) == Tag(hash) ? static_cast<uint8_t>(slot) : 0;
  }

  // Does nothing before the first Reserve().
  void Note(uint64_t hash, uint8_t frequency) {
    if (slots_.empty()) return;
    slots_[hash & (slots_.size() - 1)] = Tag(hash) << 8 | frequency;
  }

  // Grows to at least two slots for each of `entries`, keeping what is there:
  // doubling copies each half, since a note does not say which it belongs to.
  void Reserve(size_t entries) {
    if (slots_.empty()) slots_.resize(kSlotsMin);
    while (slots_.size() < 2 * entries) {
      const size_t half = slots_.size();
      slots_.resize(2 * half);
      for (size_t i = 0; i < half; ++i) slots_[half + i] = slots_[i];
    }
  }

  // Shrinks to what Reserve(entries) would make, keeping the half that fits.
  void ShrinkToFit(size_t entries) {
    size_t slots = kSlotsMin;
    while (slots < 2 * entries) slots *= 2;
    if (slots >= slots_.size()) return;
    slots_.resize(slots);
    slots_.shrink_to_fit();
  }

  size_t MemoryBytes() const { return slots_.capacity() * sizeof(uint32_t); }

 private:
  static constexpr size_t kSlotsMin = 16;

  // Bits that neither the slot's number nor the shard's uses.
  static uint32_t Tag(uint64_t hash) {
    return static_cast<uint32_t>(hash >> 32) & 0xFFFFFF;
  }

  std::vector<uint32_t> slots_;  // A power of two. 24 bits tag, 8 frequency.
};

}  // namespace larder::cache::l1

#endif  // LARDER_CACHE_L1_FREQUENCY_GHOST_H_
