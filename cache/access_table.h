// Roughly when keys were last read: what eviction, idle expiry and promotion
// ask. Fixed memory, no locks; forgets what a newer key displaces.
#ifndef LARDER_CACHE_ACCESS_TABLE_H_
#define LARDER_CACHE_ACCESS_TABLE_H_

#include <atomic>
#include <cstdint>
#include <memory>

namespace larder::cache {

// Thread-safe. A forgotten read makes a blob look colder than it is, which
// costs a hit and is never wrong; a false one needs 16 equal hash bits in the
// same slot.
class AccessTable {
 public:
  AccessTable() : slots_(new std::atomic<uint64_t>[kSlots]()) {}

  void Note(uint64_t key_hash, int64_t now_unix_ms) {
    slots_[key_hash % kSlots].store(Pack(key_hash, now_unix_ms),
                                    std::memory_order_relaxed);
  }
  // The next call for this key will not wait for memory.
  void Prefetch(uint64_t key_hash) const {
    __builtin_prefetch(&slots_[key_hash % kSlots], /*rw=*/1);
  }
  // When the key was last read, or 0.
  int64_t LastAccess(uint64_t key_hash) const {
    const uint64_t v =
        slots_[key_hash % kSlots].load(std::memory_order_relaxed);
    return (v >> 48) == (key_hash >> 48) ? static_cast<int64_t>(v & kMillisMask)
                                         : 0;
  }

 private:
  // Source: 1 MiB; covers the reads between two visits of the eviction hand
  // for hot sets of about 100,000 keys.
  static constexpr uint64_t kSlots = 1 << 17;
  static constexpr uint64_t kMillisMask = (uint64_t{1} << 48) - 1;
  static uint64_t Pack(uint64_t key_hash, int64_t unix_ms) {
    return (key_hash >> 48 << 48) |
           (static_cast<uint64_t>(unix_ms) & kMillisMask);
  }

  std::unique_ptr<std::atomic<uint64_t>[]> slots_;
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_ACCESS_TABLE_H_
