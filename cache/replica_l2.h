// An L2 that follows a primary's: it takes snapshots and deltas, each in one
// step, and serves reads from the last one. No puts, sweeps or evictions.
#ifndef LARDER_CACHE_REPLICA_L2_H_
#define LARDER_CACHE_REPLICA_L2_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/blob.h"
#include "cache/options.h"
#include "cache/snapshot.h"

namespace larder::cache {

// One snapshot, to be read. Thread-safe; waits for nobody, and nobody waits for
// it. Must not outlive its ReplicaL2; blobs may.
class ReplicaView {
 public:
  virtual ~ReplicaView() = default;

  // The blob, or null: absent, expired as of now, or invalidated. What was read
  // here is not noted: an idle TTL runs from the primary's last access.
  // Errors: kDataLoss: damage hides it.
  absl::StatusOr<std::shared_ptr<const Blob>> Get(absl::string_view ns,
                                                  absl::string_view key) const {
    return GetRange(ns, key, 0, std::numeric_limits<uint64_t>::max());
  }
  // Bytes [offset, offset + length) of it, clipped; reads no more than that,
  // to whole frames.
  virtual absl::StatusOr<std::shared_ptr<const Blob>> GetRange(
      absl::string_view ns, absl::string_view key, uint64_t offset,
      uint64_t length) const = 0;

  // Under the lineage and the epochs of the replica's own L2.
  virtual const SnapshotInfo& info() const = 0;
};

// Who writes it is single-owner; View() and note() are thread-safe.
//
// The *note* is the caller's word for what was applied last, at most
// kReplicaNoteBytesMax, not empty. It is committed together with it, in one
// superblock: an L2 with a note is a replica, and BlobCache does not open it.
class ReplicaL2 {
 public:
  virtual ~ReplicaL2() = default;

  // Opens the L2 at `options.l2_path`.
  // Errors: kNotFound; kFailedPrecondition: it is a primary's; as BlobCache.
  static absl::StatusOr<std::unique_ptr<ReplicaL2>> Open(
      const BlobCacheOptions& options);

  virtual std::string note() const = 0;

  // What is applied now; it stays so for this view.
  virtual absl::StatusOr<std::shared_ptr<const ReplicaView>> View() const = 0;

  // What one delta may stage. Source: at 100,000 changes a replica of as many
  // records had 126 MB in memory, 40 MB at 1,000 (ADR 0010).
  struct DeltaLimits {
    int64_t changes = 100'000;
    int64_t bytes = int64_t{64} << 20;  // Of keys and of records, inline ones.
  };
  // Begins a delta whose end is `target`. Until Close(), no View() shows any
  // of it; then all do. Close() fails, and nothing has changed, when the
  // content would not have target.content_digest (kDataLoss). Destroying the
  // loader before that, or after any error, takes the delta back. One at a
  // time.
  // Errors of KeepOnly() and Finish(): kOutOfRange past `limits`: build a new
  // L2 aside (CopyTo()).
  virtual absl::StatusOr<std::unique_ptr<L2Loader>> StartDelta(
      const SnapshotInfo& target, std::string note,
      const DeltaLimits& limits) = 0;

  // Loads all records into an L2 that is being built.
  // Errors: kDataLoss: one of them cannot be read.
  virtual absl::Status CopyTo(L2Loader* loader) const = 0;

  // OK while it takes deltas; else why it does not.
  virtual absl::Status status() const = 0;

  // Makes it a primary's, in one commit, and closes it. Views must be gone.
  virtual absl::StatusOr<SnapshotInfo> Promote() = 0;
};

inline constexpr size_t kReplicaNoteBytesMax = 1024;
// Errors: kInvalidArgument.
absl::Status CheckReplicaNote(absl::string_view note);

// As CreateL2Loader(), for a replica: Close() fails when the content has not
// the digest of `source` (kOutOfRange).
absl::StatusOr<std::unique_ptr<L2Loader>> CreateReplicaLoader(
    const BlobCacheOptions& options, const SnapshotInfo& source,
    std::string note);

}  // namespace larder::cache

#endif  // LARDER_CACHE_REPLICA_L2_H_
