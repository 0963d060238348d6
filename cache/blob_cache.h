// The two-tier blob cache: a sharded in-memory L1 over a durable L2.
//
//   auto cache = BlobCache::Open({.l2_path = "/var/cache/pages"});
//   (*cache)->Put("pages", "/index.html", html, {.ttl_ms = 60'000});
//   if (auto hit = (*cache)->Get("pages", "/index.html")) Send(hit->bytes());
#ifndef LARDER_CACHE_BLOB_CACHE_H_
#define LARDER_CACHE_BLOB_CACHE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/blob.h"
#include "cache/epoch_lock.h"
#include "cache/options.h"
#include "cache/policy.h"
#include "cache/snapshot.h"
#include "cache/stats.h"
#include "cache/sweep_slice.h"
#include "cache/walks.h"

namespace larder::cache {

// Where a mutation stands in the history: it is in the snapshot of epoch E if
// and only if `epoch` <= E; mutations of one key apply in the order of `hlc`.
struct Mutation {
  Hlc hlc;
  uint64_t epoch = 0;
};

enum class Presence { kPresent, kAbsent, kMaybePresent };

struct CompareAndSetResult {
  bool committed = false;
  uint64_t current_version = 0;  // After the call; 0 also when absent.
  Mutation mutation;             // When committed.
};

// Thread-safe. Keys may hold any bytes; see policy.h for limits. Per key,
// operations are linearizable across both tiers (design.md, L2 invariant 9).
class BlobCache {
 public:
  // Opens, or creates, the cache.
  // Errors: kNotFound (l2_must_exist), kUnavailable (another process holds the
  // directory), kFailedPrecondition (not an L2; a newer format; not a
  // directory), kDataLoss (no superblock is sound), kInvalidArgument.
  static absl::StatusOr<std::unique_ptr<BlobCache>> Open(
      BlobCacheOptions options);

  virtual ~BlobCache() = default;  // Commits what is staged, when it can.

  // Stores `bytes` (copied). Visible to all when it returns.
  // Errors: kInvalidArgument (limits), kResourceExhausted (larger than the
  // budget or max_blob_bytes; disk full), kDataLoss / kUnavailable (L2
  // degraded: what was stored before is intact and served).
  // After an error nothing of the put is visible, and an older value that the
  // key had is still there; but at Durability::kEveryPut a failed commit leaves
  // it visible and not durable.
  virtual absl::StatusOr<Mutation> Put(absl::string_view ns,
                                       absl::string_view key,
                                       absl::string_view bytes,
                                       const PutOptions& options) = 0;

  // The blob, or nothing: absent, expired, invalidated, or damaged (counted in
  // stats, never served).
  virtual std::optional<Hit> Get(absl::string_view ns,
                                 absl::string_view key) = 0;

  // Bytes [offset, offset + length) of the blob, clipped to its size: reads
  // and decodes only the frames that hold them, when the blob is in L2.
  virtual std::optional<Hit> GetRange(absl::string_view ns,
                                      absl::string_view key, uint64_t offset,
                                      uint64_t length) = 0;

  // Never reads L2 metadata.
  virtual Presence Exists(absl::string_view ns, absl::string_view key) = 0;

  // Puts when the current version (0: absent) is `expected_version`.
  // `options.version` becomes the new one.
  virtual absl::StatusOr<CompareAndSetResult> CompareAndSet(
      absl::string_view ns, absl::string_view key, uint64_t expected_version,
      absl::string_view bytes, const PutOptions& options) = 0;

  // The blob, or else what `loader` returns, which is also put. Of concurrent
  // callers for one key one runs its loader; the rest wait for that result. A
  // mutation of the key while the loader runs wins over the loader's value in
  // the cache; the waiting callers still get what was loaded.
  struct Loaded {
    std::string bytes;
    PutOptions options;
  };
  using Loader = std::function<absl::StatusOr<Loaded>()>;
  virtual absl::StatusOr<Hit> GetOrLoad(absl::string_view ns,
                                        absl::string_view key,
                                        const Loader& loader) = 0;

  // Invalidations. O(1) in the number of entries; effective for both tiers
  // and, when they return, durable against a process kill. Many tags or
  // dependencies at once may become so in parts, by several commits.
  virtual absl::StatusOr<Mutation> InvalidateKey(absl::string_view ns,
                                                 absl::string_view key) = 0;
  virtual absl::StatusOr<Mutation> InvalidatePrefix(
      absl::string_view ns, absl::string_view prefix) = 0;
  virtual absl::StatusOr<Mutation> InvalidateTags(
      absl::string_view ns, absl::Span<const std::string> tags) = 0;
  virtual absl::StatusOr<Mutation> InvalidateDependencies(
      absl::string_view ns, absl::Span<const std::string> dependencies) = 0;

  struct FlushResult {
    uint64_t generation_before = 0;
    uint64_t generation_after = 0;
    Mutation mutation;
  };
  virtual absl::StatusOr<FlushResult> FlushNamespace(absl::string_view ns) = 0;

  // Commits and syncs: what was put before survives a power cut when it
  // returns (at Durability::kNone: a process kill).
  virtual absl::Status Flush() = 0;

  virtual CacheStats Stats() const = 0;
  virtual std::vector<NamespaceStats> NamespacesStats() const = 0;
  // 0 for a namespace that was never flushed, or never seen.
  virtual uint64_t CurrentGeneration(absl::string_view ns) const = 0;

  // Read-only walks. Each visits until `visit` returns false. Safe beside
  // traffic; entries that change meanwhile may or may not be seen.
  struct L1EntryView {
    absl::string_view ns;
    absl::string_view key;
    const Blob* blob;
    int64_t last_access_unix_ms;
  };
  virtual void ForEachL1Entry(
      absl::FunctionRef<bool(const L1EntryView&)> visit) const = 0;

  using L2RecordView = cache::L2RecordView;
  // Committed records of `ns` (empty: all), behind (`ns`, `after_key`), in
  // order. Resumable: pass the last key seen.
  virtual absl::Status ForEachL2Record(
      absl::string_view ns, absl::string_view after_key,
      absl::FunctionRef<bool(const L2RecordView&)> visit) const = 0;

  using OrphanChain = cache::OrphanChain;
  // Chains marked in use that no record holds: found by a full mark from a
  // pinned root. For bounded work use the sweeper.
  virtual absl::Status L2OrphanChains(
      absl::FunctionRef<bool(const OrphanChain&)> visit) = 0;

  // Commits, and pins what it published.
  virtual absl::StatusOr<std::unique_ptr<Snapshot>> TakeSnapshot(
      EpochLock::PinOptions options) = 0;

  // --- Hydrating: the L2 does not hold yet all of a snapshot that it is
  // restored from (cache/hydration.h). Meanwhile TakeSnapshot() is
  // kUnavailable, and no tombstone retires.

  // Adds a record of that snapshot, as it was, unless the key was put, deleted
  // or invalidated since the L2 was made, or the record is dead by now.
  // `read_frame` is called for each frame in order; they are verified.
  // `may_evict`: what is less wanted goes where there is no room.
  // Returns: whether it was added.
  // Errors: kFailedPrecondition (not hydrating), kInvalidArgument (impossible,
  // or newer than the snapshot), kDataLoss (frames), kAborted (a damaged page
  // of L2 hides whether the key is there), kResourceExhausted, kUnavailable (L2
  // degraded), and what `read_frame` says.
  virtual absl::StatusOr<bool> Adopt(const StoredRecord& record,
                                     FrameSource read_frame,
                                     bool may_evict) = 0;
  // What was not added until then stays a miss. Durable when it returns, as all
  // that was flushed before. Requires: no Adopt() is running or comes later.
  virtual absl::Status EndHydration() = 0;

  // The slices of sweeps. Each joins the epoch lock for its whole length and
  // keeps its place for the next call; any number of threads may call, one at
  // a time makes progress.
  virtual absl::StatusOr<SliceReport> SweepL1Slice(SliceLimit limit) = 0;
  virtual absl::StatusOr<SliceReport> SweepDueSlice(SliceLimit limit) = 0;
  virtual absl::StatusOr<SliceReport> SweepTombstonedSlice(
      SliceLimit limit) = 0;
  // Marks, then reclaims, a bounded number of records and chains.
  // Errors: kDataLoss when a damaged page hides what it references: then
  // nothing is reclaimed.
  virtual absl::StatusOr<SliceReport> ReclaimOrphansSlice(SliceLimit limit) = 0;
  // L2 records due by now and not yet removed.
  virtual absl::StatusOr<int64_t> SweepDebt() const = 0;

  virtual EpochLock* epoch_lock() = 0;
};

}  // namespace larder::cache

#endif  // LARDER_CACHE_BLOB_CACHE_H_
