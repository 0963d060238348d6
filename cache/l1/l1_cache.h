// L1: the sharded, byte-bounded tier in memory.
#ifndef LARDER_CACHE_L1_L1_CACHE_H_
#define LARDER_CACHE_L1_L1_CACHE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "cache/blob.h"
#include "cache/clock.h"
#include "cache/hlc.h"
#include "cache/stats.h"

namespace larder::cache::l1 {

// Thread-safe. Knows names, blobs and times; knows nothing of tombstones or
// L2: the caller decides what is current and passes it in.
//
// A hit allocates nothing, takes no exclusive lock, and writes to the entry
// only when the millisecond or the (saturating) read count changes.
//
// Eviction is size-aware GreedyDual with lazy promotion and a memory of what
// was evicted (ADR 0002). The byte bound is one for all shards: which shard a
// blob falls into decides neither whether it fits nor what makes room for it.
class L1Cache {
 public:
  struct Options {
    int64_t bytes_max = int64_t{256} << 20;  // Payload and overhead.
    int32_t shards = 64;                     // A power of two, at most 256.
  };

  // What a lookup found; a shared reference, not a copy.
  struct Found {
    std::shared_ptr<const Blob> blob;
    int64_t last_access_unix_ms = 0;  // Before this lookup.
    int64_t now_unix_ms = 0;          // Of this lookup, as Get() was told.
  };

  // The time of a lookup: a number, or a clock, which is read only when
  // something is found.
  class LookupTime {
   public:
    LookupTime(int64_t unix_ms)  // NOLINT: stands for it.
        : clock_(nullptr), unix_ms_(unix_ms) {}
    LookupTime(const Clock* clock) : clock_(clock) {}  // NOLINT: the same.
    int64_t unix_ms() const {
      return clock_ == nullptr ? unix_ms_ : clock_->NowUnixMillis();
    }

   private:
    const Clock* clock_;
    int64_t unix_ms_ = 0;
  };

  explicit L1Cache(const Options& options);
  ~L1Cache();

  // Looks up and, when found, notes the access at `now`. Does not
  // judge expiry: the caller does, with last_access_unix_ms.
  // Returns: blob == nullptr when absent or hidden.
  Found Get(absl::string_view ns, absl::string_view key, LookupTime now);

  // Looks without noting an access.
  Found Peek(absl::string_view ns, absl::string_view key) const;

  // Inserts or replaces. The blob's bytes must be its own (owns_bytes()).
  // Evicts as needed: what is due first, then what is cold, lower in priority
  // and large. Holds no lock for more than 64 evictions.
  // Returns: false, and drops an existing entry of that name, when the blob
  // with its overhead takes more than a quarter of `bytes_max`.
  // Order of mutations of one key is the caller's business (BlobCache holds a
  // lock per key stripe).
  bool Insert(absl::string_view ns, absl::string_view key,
              std::shared_ptr<const Blob> blob, int64_t now_unix_ms);

  // Makes an entry unreadable until it is replaced or erased; it keeps its read
  // count and its room. What changes another tier first hides what is here:
  // nobody may read the new value there and then the old one here. Takes no
  // exclusive lock.
  void Hide(absl::string_view ns, absl::string_view key);

  // Returns: whether there was an entry.
  bool Erase(absl::string_view ns, absl::string_view key);
  // Erases the entry if it is still the one that was written at `hlc`.
  bool EraseIfUnchanged(absl::string_view ns, absl::string_view key, Hlc hlc);

  struct EntryView {
    absl::string_view ns;
    absl::string_view key;
    const Blob* blob;
    int64_t last_access_unix_ms;
  };

  // Visits entries shard by shard, each shard's under its shared lock held
  // for at most 64 entries at a time, until `visit` returns false. What is
  // there from start to end is visited at least once; an entry may be visited
  // twice when others are erased meanwhile. `visit` must not call this cache.
  void ForEach(absl::FunctionRef<bool(const EntryView&)> visit) const;

  // Expired entries by an expiry structure: cost follows what is due. Removes
  // entries that are due at `now_unix_ms` and dead by Judge(), at most
  // `entries_max`, and calls `removed` for each, outside any lock. An entry
  // whose idle time was extended by a read is rescheduled, which counts as
  // scanned.
  // Returns: entries scanned; fewer than `entries_max` means nothing is left
  // that is due.
  int64_t SweepDue(int64_t now_unix_ms, int64_t entries_max,
                   absl::FunctionRef<void(const EntryView&)> removed);

  // Visits at most `entries_max` entries from `*cursor` (0: the start) and
  // removes those for which `dead` returns true. `*cursor` becomes 0 when the
  // round is complete: then what was there all the while has been visited, at
  // least once. For entries that a tombstone covers. `dead` runs under a
  // shard's shared lock and must not call this cache.
  // Returns: entries visited.
  int64_t SweepWhere(uint64_t* cursor, int64_t entries_max,
                     absl::FunctionRef<bool(const EntryView&)> dead);

  L1Stats Stats() const;

 private:
  struct Name;
  struct Identity;
  struct Entry;
  struct Shard;
  struct FreeEntry {
    void operator()(Entry* entry) const;
  };
  using EntryPtr = std::unique_ptr<Entry, FreeEntry>;
  // What one hold of a shard's lock took out, to be freed after it.
  using Batch = absl::InlinedVector<EntryPtr, 64>;

  Name NameOf(absl::string_view ns, absl::string_view key) const;
  Shard& ShardOf(uint64_t hash) const;

  bool Reserve(int64_t bytes, int64_t now_unix_ms);
  bool MakeRoom(int64_t bytes, int64_t now_unix_ms);
  void EvictFrom(Shard& shard, int64_t bytes, double rank_max);
  int64_t SweepShardDue(Shard& shard, int64_t now_unix_ms, int64_t entries_max,
                        Batch* batch);
  int64_t SweepShardWhere(Shard& shard, uint64_t* position, int64_t entries_max,
                          absl::FunctionRef<bool(const EntryView&)> dead);
  void RaiseClock(double rank);
  double RankOf(const Entry& entry) const;

  const int64_t bytes_max_;
  const int32_t shards_count_;
  const uint64_t seed_;  // Of the hash: differs from cache to cache.
  const std::unique_ptr<Shard[]> shards_;

  std::atomic<int64_t> bytes_in_use_{0};
  // GreedyDual's clock: the highest rank that was evicted. Never falls.
  std::atomic<double> clock_{0};
  std::atomic<uint32_t> sweep_shard_{0};  // Where SweepDue goes on.
};

}  // namespace larder::cache::l1

#endif  // LARDER_CACHE_L1_L1_CACHE_H_
