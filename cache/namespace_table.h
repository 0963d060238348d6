// The namespaces of a cache: ids, generations, and the live tombstones that
// decide whether a blob is valid.
#ifndef LARDER_CACHE_NAMESPACE_TABLE_H_
#define LARDER_CACHE_NAMESPACE_TABLE_H_

#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/hlc.h"
#include "cache/mutex.h"
#include "cache/name_hash.h"
#include "cache/tombstone.h"

namespace larder::cache {

namespace l2 {
class Synopsis;
}

// One namespace. Lives as long as its table. Thread-safe.
class Namespace {
 public:
  // Live tombstones other than flushes, at most; past it a new one is refused.
  // Source: 64 Ki entries of about 64 bytes are 4 MiB a namespace.
  static constexpr int64_t kTombstonesMax = 65'536;
  static constexpr Hlc kNewest{std::numeric_limits<uint64_t>::max()};

  Namespace(std::string name, uint32_t id)
      : name_(std::move(name)), id_(id), name_seed_(NameSeed(name_)) {}

  const std::string& name() const { return name_; }
  uint32_t id() const { return id_; }
  // NameHash() of (this namespace, key).
  uint64_t HashOf(absl::string_view key) const {
    return NameHash(name_seed_, key);
  }
  // What L2 knows of its keys; null while nothing is committed. Belongs to L2,
  // which keeps it as long as a reader may have it.
  const l2::Synopsis* synopsis() const {
    return synopsis_.load(std::memory_order_seq_cst);
  }
  void set_synopsis(const l2::Synopsis* synopsis) {
    synopsis_.store(synopsis, std::memory_order_seq_cst);
  }
  uint64_t generation() const {
    return generation_.load(std::memory_order_acquire);
  }
  Hlc flushed_at() const {
    return Hlc{flushed_at_.load(std::memory_order_acquire)};
  }

  // Whether a blob written at `hlc` is newer than every live tombstone up to
  // `through` that matches it. One atomic load or two when none is live.
  bool IsValid(absl::string_view key, Hlc hlc,
               absl::Span<const uint64_t> invalidation_hashes,
               Hlc through = kNewest) const ABSL_LOCKS_EXCLUDED(mu_);

  // Takes effect at once for every later IsValid().
  // Errors: kResourceExhausted when kTombstonesMax are live (sweep first).
  absl::Status CheckRoom(int64_t more) const ABSL_LOCKS_EXCLUDED(mu_);
  void Add(const Tombstone& tombstone) ABSL_LOCKS_EXCLUDED(mu_);
  // `generation` and `hlc` only ever grow.
  void Flush(Hlc hlc, uint64_t generation) ABSL_LOCKS_EXCLUDED(mu_);

  // Called before an invalidation takes its HLC. Who decides by what it saw
  // and then takes a later HLC must see the same count after it has: else an
  // invalidation in between may be older than that HLC and not yet visible.
  void BeginInvalidation() {
    invalidations_.fetch_add(1, std::memory_order_seq_cst);
  }
  uint64_t invalidations() const {
    return invalidations_.load(std::memory_order_seq_cst);
  }

  // Drops the tombstone if it was not renewed after `hlc`.
  // Returns: whether it dropped it.
  bool Retire(const Tombstone& tombstone) ABSL_LOCKS_EXCLUDED(mu_);
  // Counts Retire(). Who looks up a blob and then asks IsValid() must look
  // again when this has changed in between: the tombstone that covered the
  // blob may have gone together with it.
  uint64_t retirements() const {
    return retirements_.load(std::memory_order_acquire);
  }

  // The live ones, flushes not among them.
  std::vector<Tombstone> Tombstones() const ABSL_LOCKS_EXCLUDED(mu_);
  int64_t tombstones() const {
    return tombstones_.load(std::memory_order_acquire);
  }

  // Flushes up to here have been purged from both tiers.
  Hlc purged_through() const {
    return Hlc{purged_through_.load(std::memory_order_acquire)};
  }
  void set_purged_through(Hlc hlc) { purged_through_.store(hlc.value); }
  // Whether a sweep would find anything that a tombstone covers.
  bool NeedsPurge() const {
    return tombstones() > 0 || flushed_at() > purged_through();
  }

 private:
  const std::string name_;
  const uint32_t id_;
  const uint64_t name_seed_;
  std::atomic<const l2::Synopsis*> synopsis_{nullptr};
  std::atomic<uint64_t> generation_{0};
  std::atomic<uint64_t> flushed_at_{0};
  std::atomic<uint64_t> purged_through_{0};
  std::atomic<int64_t> tombstones_{0};
  std::atomic<uint64_t> retirements_{0};
  std::atomic<uint64_t> invalidations_{0};

  struct Mark {
    TombstoneKind kind;
    Hlc hlc;
  };
  mutable SharedMutex mu_;
  // Tags and dependencies by hash; their seeds differ, so they do not mix.
  absl::flat_hash_map<uint64_t, Mark> by_hash_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Hlc> by_prefix_ ABSL_GUARDED_BY(mu_);
  // How many prefixes have each length: a lookup probes once a length.
  std::map<size_t, int64_t> prefix_lengths_ ABSL_GUARDED_BY(mu_);
};

// Thread-safe. Namespaces are added, never removed. Find() takes no lock.
class NamespaceTable {
 public:
  explicit NamespaceTable(int32_t namespaces_max);
  ~NamespaceTable();

  // Null when there is none of that name.
  Namespace* Find(absl::string_view name) const;
  Namespace* FindById(uint32_t id) const ABSL_LOCKS_EXCLUDED(mu_);
  // Errors: kResourceExhausted at `namespaces_max`; what ValidateNamespace
  // says.
  absl::StatusOr<Namespace*> FindOrCreate(absl::string_view name)
      ABSL_LOCKS_EXCLUDED(mu_);
  // For recovery: with the id that L2 knows it by, whatever the limit.
  absl::StatusOr<Namespace*> Restore(absl::string_view name, uint32_t id)
      ABSL_LOCKS_EXCLUDED(mu_);

  // In the order of creation.
  std::vector<Namespace*> All() const ABSL_LOCKS_EXCLUDED(mu_);
  uint32_t next_id() const ABSL_LOCKS_EXCLUDED(mu_);
  void set_next_id(uint32_t id) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Slots;  // An open-addressed table of atomic pointers.
  void Publish(Namespace* ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int32_t namespaces_max_;
  mutable Mutex mu_;
  std::vector<std::unique_ptr<Namespace>> all_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<uint32_t, Namespace*> by_id_ ABSL_GUARDED_BY(mu_);
  uint32_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  // Grown tables replace smaller ones, which stay until the end: readers may
  // be in them, and their sizes sum to less than the last one's.
  std::vector<std::unique_ptr<Slots>> tables_ ABSL_GUARDED_BY(mu_);
  std::atomic<const Slots*> slots_;
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_NAMESPACE_TABLE_H_
