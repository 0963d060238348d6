// The one way to free: where freed pages and chains wait until nobody can see
// them (design.md, L2 invariants 2 and 3).
#ifndef LARDER_CACHE_L2_QUARANTINE_H_
#define LARDER_CACHE_L2_QUARANTINE_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "cache/l2/held_chains.h"
#include "cache/l2/space_map.h"
#include "cache/mutex.h"

namespace larder::cache::l2 {

// Thread-safe. Borrows the maps and `held`.
class Quarantine {
 public:
  Quarantine(SpaceMap* blobs, SpaceMap* meta, const HeldChains* held)
      : blobs_(blobs), meta_(meta), held_(held) {}

  // Frees `extent` once commit `epoch`, which unlinks it, is safe. Epoch 0:
  // it was never linked (a failed write, an orphan).
  void Free(SpaceMap::Lane lane, Extent extent, uint64_t epoch)
      ABSL_LOCKS_EXCLUDED(mu_);
  void FreeChain(const Extents& extents, uint64_t epoch);

  // Gives back what was freed by commits up to `safe_epoch`: the oldest of
  // the newest durable commit, the oldest pin and the oldest running reader.
  // What a Hit holds stays until a later call.
  void Release(uint64_t safe_epoch) ABSL_LOCKS_EXCLUDED(mu_);

  // Units that were freed and not marked in use: the map on disk was of an
  // older state when it was opened (SpaceMap::Release()).
  uint64_t unmarked_units() const { return unmarked_units_.load(); }

  // Bytes that wait, by lane.
  int64_t blob_bytes() const { return blob_bytes_.load(); }
  int64_t meta_bytes() const { return meta_bytes_.load(); }

 private:
  struct Item {
    uint64_t epoch;
    SpaceMap::Lane lane;
    Extent extent;
  };
  void GiveBack(const Item& item);

  SpaceMap* const blobs_;
  SpaceMap* const meta_;
  const HeldChains* const held_;
  Mutex mu_;
  // Not sorted: epochs of staged replacements and commits interleave by one.
  std::vector<Item> items_ ABSL_GUARDED_BY(mu_);
  std::atomic<int64_t> blob_bytes_{0};
  std::atomic<int64_t> meta_bytes_{0};
  std::atomic<uint64_t> unmarked_units_{0};
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_QUARANTINE_H_
