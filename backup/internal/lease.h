// Keeps what a reader needs from being pruned under it.
#ifndef LARDER_BACKUP_INTERNAL_LEASE_H_
#define LARDER_BACKUP_INTERNAL_LEASE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "cache/clock.h"

namespace larder::backup_internal {

// A file in ARCHIVE/leases that names snapshots and until when they are read
// (docs/formats/dump.md, "leases").
//
//   reader                          prune
//   1. writes its lease             1. says what it will remove (Pruning)
//   2. looks what is being removed  2. reads the leases
//   3. looks whether all is there   3. removes manifests that none names
//
// Whichever of the two is first, the other sees it: what a reader goes on with
// stays, since either prune saw the lease, or the reader saw what prune said,
// or that a manifest is gone, and stops.
//
// Single-owner. Borrows archive and clock.
class Lease {
 public:
  // How long a reader that stands still is waited for.
  static constexpr int64_t kLeaseMs = 10 * 60 * 1000;
  // Between two of its files. Well within the time: a disk may be busy.
  static constexpr int64_t kRenewMs = kLeaseMs / 5;

  // `clock` may be null: SystemClock(). Where the archive cannot be written,
  // the reader goes on without: problem() says why.
  // Errors: kNotFound when one of `snapshot_ids` is not there any more;
  // kUnavailable when one is being removed.
  static absl::StatusOr<std::unique_ptr<Lease>> Take(
      const backup::Archive* archive, std::vector<std::string> snapshot_ids,
      cache::Clock* clock);
  ~Lease();  // Gives it back.
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  // Writes it anew when it is time to; cheap when it is not. To be called again
  // and again while reading.
  void Renew();
  // OK while it is held; else why it is not, as of the last try.
  const absl::Status& problem() const { return problem_; }

 private:
  Lease(const backup::Archive* archive, std::vector<std::string> snapshot_ids,
        cache::Clock* clock);

  absl::Status Write();
  absl::Status CheckAllThere() const;

  const backup::Archive* const archive_;
  const std::vector<std::string> snapshot_ids_;
  cache::Clock* const clock_;
  std::string name_;
  bool taken_ = false;
  int64_t written_unix_ms_ = 0;
  absl::Status problem_;
};

// What somebody reads, at `unix_ms`. Requires: the archive's lock, unless it is
// only told.
struct LeasesFound {
  absl::flat_hash_set<std::string> snapshot_ids;
  std::vector<std::string> expired;  // Paths, also of what was never whole.
};
// Errors: kDataLoss when a lease is damaged, kFailedPrecondition when it is of
// a newer version: who knows what it names.
absl::StatusOr<LeasesFound> FindLeases(const backup::Archive& archive,
                                       int64_t unix_ms);

// Says, as long as it lives, that `snapshot_ids` are being removed. A process
// that dies leaves it behind; it means nothing without the archive's lock.
class Pruning {
 public:
  // Requires: the archive's lock.
  static absl::StatusOr<std::unique_ptr<Pruning>> Announce(
      const backup::Archive* archive, std::vector<std::string> snapshot_ids);
  ~Pruning();
  Pruning(const Pruning&) = delete;
  Pruning& operator=(const Pruning&) = delete;

 private:
  explicit Pruning(const backup::Archive* archive) : archive_(archive) {}

  const backup::Archive* const archive_;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_LEASE_H_
