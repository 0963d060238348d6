// Roughly when keys were last read, and how often since someone asked: what
// eviction, idle expiry and promotion need. Fixed memory, no locks; forgets
// what a newer key displaces.
#ifndef LARDER_CACHE_ACCESS_TABLE_H_
#define LARDER_CACHE_ACCESS_TABLE_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

namespace larder::cache {

// Thread-safe. A forgotten read makes a blob look colder than it is, which
// costs a hit and is never wrong; a false one needs 16 equal hash bits in the
// same slot. Of two reads at the same moment one may go uncounted.
class AccessTable {
 public:
  static constexpr int64_t kReadsMax = 63;  // That are counted.

  AccessTable() : slots_(new std::atomic<uint64_t>[kSlots]()) {}

  void Note(uint64_t key_hash, int64_t now_unix_ms) {
    std::atomic<uint64_t>& slot = slots_[key_hash % kSlots];
    const uint64_t v = slot.load(std::memory_order_relaxed);
    const int64_t reads =
        IsOf(key_hash, v) ? std::min(Reads(v) + 1, kReadsMax) : 1;
    slot.store(Pack(key_hash, reads, now_unix_ms), std::memory_order_relaxed);
  }
  // The next call for this key will not wait for memory.
  void Prefetch(uint64_t key_hash) const {
    __builtin_prefetch(&slots_[key_hash % kSlots], /*rw=*/1);
  }
  // When the key was last read, or 0.
  int64_t LastAccess(uint64_t key_hash) const {
    const uint64_t v =
        slots_[key_hash % kSlots].load(std::memory_order_relaxed);
    return IsOf(key_hash, v) ? static_cast<int64_t>(v & kMillisMask) : 0;
  }
  // How often it was read since the last call for it. When it was last read
  // stays known.
  int64_t TakeReads(uint64_t key_hash) {
    std::atomic<uint64_t>& slot = slots_[key_hash % kSlots];
    uint64_t v = slot.load(std::memory_order_relaxed);
    if (!IsOf(key_hash, v) || Reads(v) == 0) return 0;
    // When it fails there is a newer read, and all are taken the next time.
    const uint64_t taken = v & ~(kReadsMask << kReadsShift);
    return slot.compare_exchange_strong(v, taken, std::memory_order_relaxed)
               ? Reads(v)
               : 1;
  }

 private:
  // Source: 1 MiB. Eleven records a slot, on the traces, cost one point of
  // hits: it does for a million records and more.
  static constexpr uint64_t kSlots = 1 << 17;
  // A slot: 16 bits of the hash, 6 of reads, 42 of Unix milliseconds: until
  // the year 2109.
  static constexpr int kReadsShift = 42;
  static constexpr uint64_t kReadsMask = 63;
  static constexpr uint64_t kMillisMask = (uint64_t{1} << kReadsShift) - 1;
  static_assert(kReadsMax == kReadsMask);

  static bool IsOf(uint64_t key_hash, uint64_t v) {
    return v >> 48 == key_hash >> 48;
  }
  static int64_t Reads(uint64_t v) {
    return static_cast<int64_t>(v >> kReadsShift & kReadsMask);
  }
  static uint64_t Pack(uint64_t key_hash, int64_t reads, int64_t unix_ms) {
    return (key_hash >> 48 << 48) |
           static_cast<uint64_t>(reads) << kReadsShift |
           (static_cast<uint64_t>(unix_ms) & kMillisMask);
  }

  std::unique_ptr<std::atomic<uint64_t>[]> slots_;
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_ACCESS_TABLE_H_
