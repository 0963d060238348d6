#include "cache/l1/l1_cache.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "cache/check.h"
#include "cache/l1/frequency_ghost.h"
#include "cache/l1/indexed_heap.h"
#include "cache/mutex.h"
#include "cache/policy.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace larder::cache::l1 {
namespace {

// Entries per hold of a shard's lock.
constexpr int64_t kEntriesPerHold = 64;
// A blob takes at most this share of L1: a larger one would cost more hits in
// what it displaces than it can bring.
constexpr int64_t kBlobShare = 4;
// Reads that are counted. More gain at most half a percent of hits on the
// traces, and let what was hot once stay longer (ADR 0002).
constexpr uint8_t kFrequencyMax = 127;

// Memory of an entry outside its own allocation, as an upper bound: a slot and
// a control byte in the hash set at its emptiest (9 B / 0.4375), a heap node
// and a pointer in vectors that have just doubled (2 * 24 B), and four slots
// of the ghost (16 B); then a node in the heap of due times.
constexpr int64_t kIndexBytes = 21 + 48 + 16;
constexpr int64_t kDueIndexBytes = 32;
// The most that glibc's malloc adds to an entry: 8 bytes of header, and
// rounding to 16.
constexpr int64_t kMallocBytes = 8 + 15;

constexpr double kNoRank = std::numeric_limits<double>::infinity();
constexpr int64_t kNeverDue = std::numeric_limits<int64_t>::max();

constexpr uint64_t kShardEnd = (uint64_t{1} << 40) - 1;

}  // namespace

struct L1Cache::Name {
  uint64_t hash;
  absl::string_view ns;
  absl::string_view key;
};

// An entry by its blob. Whoever holds the blob can rely on its address.
struct L1Cache::Identity {
  uint64_t hash;
  std::shared_ptr<const Blob> blob;
};

// One allocation, with the bytes of namespace and key behind it.
struct L1Cache::Entry {
  Entry(const Name& name, std::shared_ptr<const Blob> blob_in,
        int64_t now_unix_ms)
      : hash(name.hash),
        ns_bytes(static_cast<uint16_t>(name.ns.size())),
        key_bytes(static_cast<uint16_t>(name.key.size())),
        last_access_unix_ms(now_unix_ms),
        blob(std::move(blob_in)) {
    std::memcpy(text(), name.ns.data(), name.ns.size());
    std::memcpy(text() + ns_bytes, name.key.data(), name.key.size());
    const int64_t due = DueAtUnixMillis(blob->attributes().expiry, now_unix_ms);
    cost = static_cast<int64_t>(sizeof(Entry) + name.ns.size() +
                                name.key.size() + blob->MemoryBytes()) +
           kMallocBytes + kIndexBytes + (due != 0 ? kDueIndexBytes : 0);
  }

  static EntryPtr New(const Name& name, std::shared_ptr<const Blob> blob,
                      int64_t now_unix_ms) {
    LARDER_CHECK(name.ns.size() <= UINT16_MAX && name.key.size() <= UINT16_MAX);
    void* memory =
        ::operator new(sizeof(Entry) + name.ns.size() + name.key.size());
    return EntryPtr(new (memory) Entry(name, std::move(blob), now_unix_ms));
  }

  char* text() { return reinterpret_cast<char*>(this + 1); }
  const char* text() const { return reinterpret_cast<const char*>(this + 1); }
  absl::string_view ns() const { return {text(), ns_bytes}; }
  absl::string_view key() const { return {text() + ns_bytes, key_bytes}; }
  EntryView View() const {
    return {ns(), key(), blob.get(),
            last_access_unix_ms.load(std::memory_order_relaxed)};
  }

  // Notes a read. Any thread, under the shared lock. A lost update costs one
  // count of many; a clock that steps back changes nothing.
  void Touch(int64_t now_unix_ms) {
    int64_t last = last_access_unix_ms.load(std::memory_order_relaxed);
    if (last < now_unix_ms) {
      // Once: another reader that came first noted about the same time.
      last_access_unix_ms.compare_exchange_strong(last, now_unix_ms,
                                                  std::memory_order_relaxed);
    }
    const uint8_t reads = frequency.load(std::memory_order_relaxed);
    if (reads < kFrequencyMax) {
      frequency.store(static_cast<uint8_t>(reads + 1),
                      std::memory_order_relaxed);
    }
  }

  const uint64_t hash;
  const uint16_t ns_bytes;
  const uint16_t key_bytes;
  std::atomic<uint8_t> frequency{1};
  uint8_t ranked_frequency = 1;  // What its rank stands for.
  std::atomic<bool> hidden{false};
  std::atomic<int64_t> last_access_unix_ms;
  const std::shared_ptr<const Blob> blob;
  int64_t cost = 0;  // Bytes it counts for.
  uint32_t rank_position = kNotInHeap;
  uint32_t due_position = kNotInHeap;
  uint32_t list_position = 0;
};

void L1Cache::FreeEntry::operator()(Entry* entry) const {
  entry->~Entry();
  ::operator delete(entry);
}

struct alignas(64) L1Cache::Shard {
  struct Hash {
    using is_transparent = void;
    size_t operator()(const Entry* entry) const { return entry->hash; }
    size_t operator()(const Name& name) const { return name.hash; }
    size_t operator()(const Identity& identity) const { return identity.hash; }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const Entry* a, const Entry* b) const { return a == b; }
    bool operator()(const Entry* a, const Name& b) const {
      return a->hash == b.hash && a->key() == b.key && a->ns() == b.ns;
    }
    bool operator()(const Entry* a, const Identity& b) const {
      return a->blob == b.blob;
    }
  };

  template <typename Key>
  Entry* Find(const Key& key) const ABSL_SHARED_LOCKS_REQUIRED(mu) {
    const auto it = by_name.find(key);
    return it == by_name.end() ? nullptr : *it;
  }
  void Attach(EntryPtr owned, double rank) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  EntryPtr Detach(Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Before the exclusive lock is let go: what others read without it.
  void Publish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void ShrinkIfSparse() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  mutable SharedMutex mu;
  absl::flat_hash_set<Entry*, Hash, Equal> by_name ABSL_GUARDED_BY(mu);
  // All entries, in no order: walks go down from its end, so that what a
  // removal moves (the last into the gap) is never moved past them.
  std::vector<EntryPtr> list ABSL_GUARDED_BY(mu);
  IndexedHeap<Entry, double, &Entry::rank_position> by_rank ABSL_GUARDED_BY(mu);
  IndexedHeap<Entry, int64_t, &Entry::due_position> by_due ABSL_GUARDED_BY(mu);
  FrequencyGhost ghost ABSL_GUARDED_BY(mu);
  int64_t evictions ABSL_GUARDED_BY(mu) = 0;
  int64_t expirations ABSL_GUARDED_BY(mu) = 0;

  // Copies of the heaps' tops, on a line that hits do not write.
  alignas(64) std::atomic<double> rank_min{kNoRank};
  std::atomic<int64_t> due_min{kNeverDue};
  std::atomic<int64_t> entries{0};
};

void L1Cache::Shard::Attach(EntryPtr owned, double rank) {
  Entry* const entry = owned.get();
  entry->list_position = static_cast<uint32_t>(list.size());
  list.push_back(std::move(owned));
  LARDER_CHECK(by_name.insert(entry).second);
  by_rank.Push(entry, rank);
  const int64_t due = DueAtUnixMillis(
      entry->blob->attributes().expiry,
      entry->last_access_unix_ms.load(std::memory_order_relaxed));
  if (due != 0) by_due.Push(entry, due);
  ghost.Reserve(list.size());
}

L1Cache::EntryPtr L1Cache::Shard::Detach(Entry* entry) {
  LARDER_CHECK(by_name.erase(entry) == 1);
  by_rank.Remove(entry);
  by_due.Remove(entry);
  const uint32_t at = entry->list_position;
  LARDER_CHECK(at < list.size() && list[at].get() == entry);
  EntryPtr owned = std::move(list[at]);
  if (at + 1 < list.size()) {
    list[at] = std::move(list.back());
    list[at]->list_position = at;
  }
  list.pop_back();
  ShrinkIfSparse();
  return owned;
}

void L1Cache::Shard::ShrinkIfSparse() {
  constexpr size_t kWorthShrinking = 1024;
  if (list.capacity() < kWorthShrinking || list.size() > list.capacity() / 8) {
    return;
  }
  by_name.rehash(0);
  list.shrink_to_fit();
  by_rank.ShrinkToFit();
  by_due.ShrinkToFit();
  ghost.ShrinkToFit(list.size());
}

void L1Cache::Shard::Publish() {
  const double rank = by_rank.empty() ? kNoRank : by_rank.TopRank();
  if (rank_min.load(std::memory_order_relaxed) != rank) {
    rank_min.store(rank, std::memory_order_relaxed);
  }
  const int64_t due = by_due.empty() ? kNeverDue : by_due.TopRank();
  if (due_min.load(std::memory_order_relaxed) != due) {
    due_min.store(due, std::memory_order_relaxed);
  }
  // Whoever finds 0 takes no lock.
  entries.store(static_cast<int64_t>(list.size()), std::memory_order_release);
}

L1Cache::L1Cache(const Options& options)
    : bytes_max_(options.bytes_max),
      shards_count_(options.shards),
      seed_(XXH3_64bits_withSeed(
          "l1", 2, static_cast<uint64_t>(reinterpret_cast<uintptr_t>(this)))),
      shards_(new Shard[static_cast<size_t>(options.shards)]) {
  // 256: shards are chosen by the hash's upper 8 bits, which nothing else uses.
  LARDER_CHECK(shards_count_ >= 1 && shards_count_ <= 256 &&
               std::has_single_bit(static_cast<uint32_t>(shards_count_)));
}

L1Cache::~L1Cache() = default;

L1Cache::Name L1Cache::NameOf(absl::string_view ns,
                              absl::string_view key) const {
  const uint64_t ns_hash = XXH3_64bits_withSeed(ns.data(), ns.size(), seed_);
  return {XXH3_64bits_withSeed(key.data(), key.size(), ns_hash), ns, key};
}

L1Cache::Shard& L1Cache::ShardOf(uint64_t hash) const {
  return shards_[(hash >> 56) & static_cast<uint64_t>(shards_count_ - 1)];
}

L1Cache::Found L1Cache::Get(absl::string_view ns, absl::string_view key,
                            LookupTime now) {
  const Name name = NameOf(ns, key);
  const Shard& shard = ShardOf(name.hash);
  if (shard.entries.load(std::memory_order_acquire) == 0) return {};
  ReaderLock lock(&shard.mu);
  Entry* const entry = shard.Find(name);
  if (entry == nullptr || entry->hidden.load()) return {};
  const Found found{entry->blob,
                    entry->last_access_unix_ms.load(std::memory_order_relaxed),
                    now.unix_ms()};
  entry->Touch(found.now_unix_ms);
  return found;
}

L1Cache::Found L1Cache::Peek(absl::string_view ns,
                             absl::string_view key) const {
  const Name name = NameOf(ns, key);
  const Shard& shard = ShardOf(name.hash);
  ReaderLock lock(&shard.mu);
  const Entry* const entry = shard.Find(name);
  if (entry == nullptr || entry->hidden.load()) return {};
  return {entry->blob,
          entry->last_access_unix_ms.load(std::memory_order_relaxed)};
}

bool L1Cache::Insert(absl::string_view ns, absl::string_view key,
                     std::shared_ptr<const Blob> blob, int64_t now_unix_ms) {
  LARDER_CHECK(blob != nullptr && blob->owns_bytes());
  const Name name = NameOf(ns, key);
  EntryPtr entry = Entry::New(name, std::move(blob), now_unix_ms);
  if (!Reserve(entry->cost, now_unix_ms)) {
    Erase(ns, key);
    return false;
  }
  EntryPtr replaced;
  {
    Shard& shard = ShardOf(name.hash);
    WriterLock lock(&shard.mu);
    uint8_t frequency = 1;
    if (Entry* const old = shard.Find(name)) {
      frequency = old->frequency.load(std::memory_order_relaxed);
      replaced = shard.Detach(old);
    } else if (const uint8_t before = shard.ghost.Find(name.hash); before > 0) {
      frequency = before < kFrequencyMax ? before + 1 : kFrequencyMax;
    }
    entry->frequency.store(frequency, std::memory_order_relaxed);
    entry->ranked_frequency = frequency;
    const double rank = RankOf(*entry);
    shard.Attach(std::move(entry), rank);
    shard.Publish();
  }
  if (replaced != nullptr) bytes_in_use_.fetch_sub(replaced->cost);
  return true;
}

void L1Cache::Hide(absl::string_view ns, absl::string_view key) {
  const Name name = NameOf(ns, key);
  const Shard& shard = ShardOf(name.hash);
  ReaderLock lock(&shard.mu);
  if (Entry* const entry = shard.Find(name)) entry->hidden.store(true);
}

bool L1Cache::Erase(absl::string_view ns, absl::string_view key) {
  const Name name = NameOf(ns, key);
  Shard& shard = ShardOf(name.hash);
  EntryPtr erased;
  {
    WriterLock lock(&shard.mu);
    Entry* const entry = shard.Find(name);
    if (entry == nullptr) return false;
    erased = shard.Detach(entry);
    shard.Publish();
  }
  bytes_in_use_.fetch_sub(erased->cost);
  return true;
}

bool L1Cache::EraseIfUnchanged(absl::string_view ns, absl::string_view key,
                               Hlc hlc) {
  const Name name = NameOf(ns, key);
  Shard& shard = ShardOf(name.hash);
  EntryPtr erased;
  {
    WriterLock lock(&shard.mu);
    Entry* const entry = shard.Find(name);
    if (entry == nullptr || entry->blob->attributes().hlc != hlc) return false;
    erased = shard.Detach(entry);
    shard.Publish();
  }
  bytes_in_use_.fetch_sub(erased->cost);
  return true;
}

// GreedyDual-Size-Frequency: reads (damped) per byte, on top of the clock, so
// that what is not read any more is overtaken: after as many turnovers of the
// cache as its reads weigh, 38 at most. 16 steps of priority weigh twice; the
// whole range spans that of reads and sizes.
double L1Cache::RankOf(const Entry& entry) const {
  const int steps = int{entry.blob->attributes().priority} - 128;
  const double root = std::sqrt(static_cast<double>(entry.ranked_frequency));
  const double reads = root * std::sqrt(root);  // To the power of 0.75.
  return clock_.load(std::memory_order_relaxed) +
         std::exp2(steps / 16.0) * reads / static_cast<double>(entry.cost);
}

void L1Cache::RaiseClock(double rank) {
  double clock = clock_.load(std::memory_order_relaxed);
  while (clock < rank && !clock_.compare_exchange_weak(
                             clock, rank, std::memory_order_relaxed)) {
  }
}

// Takes `bytes` out of what is free, evicting until there is so much.
// Returns: false when it is more than a blob may take.
bool L1Cache::Reserve(int64_t bytes, int64_t now_unix_ms) {
  if (bytes > bytes_max_ / kBlobShare) return false;
  for (;;) {
    int64_t in_use = bytes_in_use_.load(std::memory_order_relaxed);
    while (in_use + bytes <= bytes_max_) {
      if (bytes_in_use_.compare_exchange_weak(in_use, in_use + bytes)) {
        return true;
      }
    }
    // Nothing to evict: it is all reserved by threads about to insert.
    if (!MakeRoom(in_use + bytes - bytes_max_, now_unix_ms)) {
      std::this_thread::yield();
    }
  }
}

// One hold of one shard's lock, at most, towards freeing `bytes`.
// Returns: whether there was anything to evict.
bool L1Cache::MakeRoom(int64_t bytes, int64_t now_unix_ms) {
  Shard* lowest = nullptr;
  double rank = kNoRank;
  double next_rank = kNoRank;
  for (int32_t i = 0; i < shards_count_; ++i) {
    Shard& shard = shards_[i];
    if (shard.due_min.load(std::memory_order_relaxed) <= now_unix_ms) {
      Batch batch;
      if (SweepShardDue(shard, now_unix_ms, kEntriesPerHold, &batch) > 0) {
        return true;
      }
    }
    const double shard_rank = shard.rank_min.load(std::memory_order_relaxed);
    if (shard_rank < rank) {
      next_rank = std::exchange(rank, shard_rank);
      lowest = &shard;
    } else if (shard_rank < next_rank) {
      next_rank = shard_rank;
    }
  }
  if (lowest == nullptr) return false;
  EvictFrom(*lowest, bytes, next_rank);
  return true;
}

// Evicts the lowest ranks up to `rank_max` until `bytes` are free. What was
// read since it was ranked gets its new rank instead: promotion costs the
// evictor, not the hit.
void L1Cache::EvictFrom(Shard& shard, int64_t bytes, double rank_max) {
  Batch batch;
  int64_t freed = 0;
  {
    WriterLock lock(&shard.mu);
    for (int64_t i = 0; i < kEntriesPerHold && freed < bytes; ++i) {
      if (shard.by_rank.empty() || shard.by_rank.TopRank() > rank_max) break;
      Entry* const entry = shard.by_rank.Top();
      RaiseClock(shard.by_rank.TopRank());
      const uint8_t reads = entry->frequency.load(std::memory_order_relaxed);
      if (reads != entry->ranked_frequency) {
        entry->ranked_frequency = reads;
        shard.by_rank.Move(entry, RankOf(*entry));
        continue;
      }
      freed += entry->cost;
      shard.ghost.Note(entry->hash, reads);
      batch.push_back(shard.Detach(entry));
      ++shard.evictions;
    }
    shard.Publish();
  }
  bytes_in_use_.fetch_sub(freed);
}

void L1Cache::ForEach(absl::FunctionRef<bool(const EntryView&)> visit) const {
  for (int32_t i = 0; i < shards_count_; ++i) {
    const Shard& shard = shards_[i];
    for (size_t position = kShardEnd; position > 0;) {
      ReaderLock lock(&shard.mu);
      position = std::min(position, shard.list.size());
      const size_t stop =
          position - std::min<size_t>(position, kEntriesPerHold);
      for (; position > stop; --position) {
        if (!visit(shard.list[position - 1]->View())) return;
      }
    }
  }
}

int64_t L1Cache::SweepDue(int64_t now_unix_ms, int64_t entries_max,
                          absl::FunctionRef<void(const EntryView&)> removed) {
  const uint32_t mask = static_cast<uint32_t>(shards_count_ - 1);
  const uint32_t start = sweep_shard_.load(std::memory_order_relaxed);
  int64_t scanned = 0;
  for (uint32_t i = 0; i <= mask; ++i) {
    Shard& shard = shards_[(start + i) & mask];
    while (shard.due_min.load(std::memory_order_relaxed) <= now_unix_ms) {
      if (scanned >= entries_max) {
        sweep_shard_.store((start + i) & mask, std::memory_order_relaxed);
        return scanned;
      }
      Batch batch;
      scanned += SweepShardDue(shard, now_unix_ms,
                               std::min(kEntriesPerHold, entries_max - scanned),
                               &batch);
      for (const EntryPtr& entry : batch) removed(entry->View());
    }
  }
  return scanned;
}

// Moves what is due and dead into `batch`. Returns: entries scanned.
int64_t L1Cache::SweepShardDue(Shard& shard, int64_t now_unix_ms,
                               int64_t entries_max, Batch* batch) {
  int64_t scanned = 0;
  int64_t freed = 0;
  {
    WriterLock lock(&shard.mu);
    for (; scanned < entries_max; ++scanned) {
      if (shard.by_due.empty() || shard.by_due.TopRank() > now_unix_ms) break;
      Entry* const entry = shard.by_due.Top();
      const Expiry& expiry = entry->blob->attributes().expiry;
      const int64_t last_access =
          entry->last_access_unix_ms.load(std::memory_order_relaxed);
      if (Judge(expiry, now_unix_ms, last_access) != Liveness::kDead) {
        // Read since it was scheduled. Always into the future, or this loop
        // would meet it again.
        shard.by_due.Move(entry, std::max(DueAtUnixMillis(expiry, last_access),
                                          now_unix_ms + 1));
        continue;
      }
      freed += entry->cost;
      batch->push_back(shard.Detach(entry));
      ++shard.expirations;
    }
    shard.Publish();
  }
  bytes_in_use_.fetch_sub(freed);
  return scanned;
}

// The cursor is the shard's number plus one, then 40 bits: how many entries
// from the start of its list are still to be visited (kShardEnd: all).
int64_t L1Cache::SweepWhere(uint64_t* cursor, int64_t entries_max,
                            absl::FunctionRef<bool(const EntryView&)> dead) {
  uint64_t index = *cursor == 0 ? 0 : (*cursor >> 40) - 1;
  uint64_t position = *cursor == 0 ? kShardEnd : *cursor & kShardEnd;
  int64_t visited = 0;
  for (; index < static_cast<uint64_t>(shards_count_); ++index) {
    Shard& shard = shards_[index];
    if (shard.entries.load(std::memory_order_relaxed) == 0) position = 0;
    while (position > 0) {
      if (visited >= entries_max) {
        *cursor = (index + 1) << 40 | position;
        return visited;
      }
      visited += SweepShardWhere(
          shard, &position, std::min(kEntriesPerHold, entries_max - visited),
          dead);
    }
    position = kShardEnd;
  }
  *cursor = 0;
  return visited;
}

// Judges under the shared lock, so that reads go on, and removes under the
// exclusive one what is still the same blob. Returns: entries visited.
int64_t L1Cache::SweepShardWhere(
    Shard& shard, uint64_t* position, int64_t entries_max,
    absl::FunctionRef<bool(const EntryView&)> dead) {
  absl::InlinedVector<Identity, kEntriesPerHold> doomed;
  int64_t visited = 0;
  {
    ReaderLock lock(&shard.mu);
    *position = std::min<uint64_t>(*position, shard.list.size());
    for (; *position > 0 && visited < entries_max; ++visited) {
      const Entry& entry = *shard.list[--*position];
      if (dead(entry.View())) doomed.push_back({entry.hash, entry.blob});
    }
  }
  if (doomed.empty()) return visited;
  Batch batch;
  int64_t freed = 0;
  {
    WriterLock lock(&shard.mu);
    for (const Identity& identity : doomed) {
      Entry* const entry = shard.Find(identity);
      if (entry == nullptr) continue;  // Removed or replaced meanwhile.
      freed += entry->cost;
      batch.push_back(shard.Detach(entry));
    }
    shard.Publish();
  }
  bytes_in_use_.fetch_sub(freed);
  return visited;
}

L1Stats L1Cache::Stats() const {
  L1Stats stats;
  stats.bytes_max = bytes_max_;
  stats.bytes_in_use = bytes_in_use_.load();
  for (int32_t i = 0; i < shards_count_; ++i) {
    const Shard& shard = shards_[i];
    ReaderLock lock(&shard.mu);
    stats.entries += static_cast<int64_t>(shard.list.size());
    stats.evictions += shard.evictions;
    stats.expirations += shard.expirations;
  }
  return stats;
}

}  // namespace larder::cache::l1
