// Changes that are visible already and committed soon: the staging table.
#ifndef LARDER_CACHE_L2_STAGING_H_
#define LARDER_CACHE_L2_STAGING_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "cache/hlc.h"
#include "cache/l2/record.h"
#include "cache/mutex.h"

namespace larder::cache::l2 {

// One staged change. Immutable.
struct StagedChange {
  enum class Kind {
    kPut,     // `record` and its chain are new.
    kTouch,   // `record` is the committed one but for its times; same chain.
    kRemove,  // The key's record goes; only `record.hlc` is set.
  };
  Kind kind = Kind::kPut;
  Record record;
};
using StagedPtr = std::shared_ptr<const StagedChange>;

inline StagedPtr MakeChange(StagedChange::Kind kind, Record record) {
  auto change = std::make_shared<StagedChange>();
  change->kind = kind;
  change->record = std::move(record);
  return change;
}
inline StagedPtr MakeRemoval(Hlc hlc) {
  auto change = std::make_shared<StagedChange>();
  change->kind = StagedChange::Kind::kRemove;
  change->record.hlc = hlc;
  return change;
}

// Two tables by the parity of the epoch: the open epoch's, and that of the one
// being committed. Thread-safe.
//
// The caller holds the key's stripe lock when it calls Stage(), so changes of
// one key arrive in the order of their HLC and never for an older epoch than
// the last one's.
class StagingTable {
 public:
  // Returns: the change that this one replaces within the same epoch.
  StagedPtr Stage(uint64_t epoch, absl::string_view record_key,
                  StagedPtr change);

  // The newest change of the key, or null.
  StagedPtr Find(absl::string_view record_key) const;

  // All changes of a closed epoch, sorted by key. They, and the views of their
  // keys, live until Clear(epoch).
  std::vector<std::pair<absl::string_view, const StagedChange*>> Sorted(
      uint64_t epoch) const;
  // Forgets them, once the commit that holds them is visible.
  void Clear(uint64_t epoch);

  int64_t size() const { return size_.load(std::memory_order_acquire); }
  int64_t size(uint64_t epoch) const {
    return size_of_[epoch % 2].load(std::memory_order_acquire);
  }

 private:
  static constexpr int kShardsLog2 = 6;
  static constexpr int kShards = 1 << kShardsLog2;
  using Map = absl::flat_hash_map<std::string, StagedPtr>;
  struct alignas(64) Shard {
    mutable SharedMutex mu;
    Map maps[2] ABSL_GUARDED_BY(mu);
    // Newest epoch staged into each map, to tell which is newer.
    uint64_t epochs[2] ABSL_GUARDED_BY(mu) = {0, 0};
    std::atomic<int64_t> entries{0};  // Of both maps: skip the lock at 0.
  };
  static size_t ShardIndex(absl::string_view record_key);

  Shard shards_[kShards];
  std::atomic<int64_t> size_{0};
  std::atomic<int64_t> size_of_[2] = {0, 0};
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_STAGING_H_
