// One archive that holds the snapshot which a lazy restore reads from.
#ifndef LARDER_BACKUP_INTERNAL_SNAPSHOT_REPLICA_H_
#define LARDER_BACKUP_INTERNAL_SNAPSHOT_REPLICA_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "backup/internal/frame_files.h"
#include "backup/internal/lease.h"
#include "backup/internal/pack_files.h"
#include "cache/clock.h"
#include "cache/l2/file.h"
#include "cache/mutex.h"

namespace larder::backup_internal {

// How long the L2 of a lazy restore keeps its snapshot without a process that
// renews that: over a long weekend, or until a host is repaired. And no longer,
// since an L2 that was deleted keeps it, too.
inline constexpr int64_t kHydrationLeaseMs = int64_t{7} * 24 * 3600 * 1000;

// Holds a lease on all that it names, and does not move: maps of it borrow its
// parts. Thread-safe: nothing of it changes, but the lease.
class SnapshotReplica {
 public:
  // `newer`: snapshots that are needed besides those of the chain, until
  // ReleaseNewer(). `keys` as Archive::Open() takes them.
  // Errors: as Archive::Open(), Find(), Chain() and Lease::Take();
  // kFailedPrecondition when the snapshot holds no cache, or the key of one of
  // the chain is not there.
  static absl::StatusOr<std::unique_ptr<SnapshotReplica>> Open(
      const std::string& path, const std::string& snapshot_id,
      std::vector<std::string> newer, cache::l2::FileSystem* file_system,
      cache::Clock* clock, backup::Archive::Keys keys, Lease::Terms terms);

  const backup::Archive& archive() const { return archive_; }
  // The full dump first.
  const std::vector<backup::SnapshotEntry>& chain() const { return chain_; }
  // The index of the cache in each of the chain.
  const std::vector<uint16_t>& sources() const { return sources_; }
  FrameFiles* frames() { return &frames_; }

  // To be called again and again while reading. Cheap.
  void RenewLease() ABSL_LOCKS_EXCLUDED(lease_mu_);
  // See Lease.
  void LeaveLease() ABSL_LOCKS_EXCLUDED(lease_mu_);
  void GiveLeaseBack() ABSL_LOCKS_EXCLUDED(lease_mu_);
  // Why nothing keeps it from being pruned; OK: a lease does.
  absl::Status unprotected() ABSL_LOCKS_EXCLUDED(lease_mu_);
  const std::vector<std::string>& newer() const { return newer_; }
  // On these; null when there are none, or once they are released. Not
  // thread-safe.
  Lease* newer_lease() { return newer_lease_.get(); }
  void ReleaseNewer() { newer_lease_.reset(); }

 private:
  explicit SnapshotReplica(backup::Archive archive)
      : archive_(std::move(archive)), files_(&archive_), frames_(&files_) {}

  const backup::Archive archive_;
  std::vector<backup::SnapshotEntry> chain_;
  std::vector<uint16_t> sources_;
  PackFiles files_;
  FrameFiles frames_;
  std::vector<std::string> newer_;
  std::unique_ptr<Lease> newer_lease_;
  cache::Mutex lease_mu_;
  std::unique_ptr<Lease> lease_ ABSL_GUARDED_BY(lease_mu_);  // On the chain.
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_SNAPSHOT_REPLICA_H_
