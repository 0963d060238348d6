// Keeps what a reader needs from being pruned under it.
#ifndef LARDER_BACKUP_INTERNAL_LEASE_H_
#define LARDER_BACKUP_INTERNAL_LEASE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/archive.h"
#include "cache/clock.h"
#include "cache/l2/file.h"

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

  struct Terms {
    // Of its file: it takes the place of one of that name. Empty: a random one.
    std::string name = {};
    // Who holds it, for people who prune. Empty: a reader, soon done.
    std::string holder = {};
    int64_t lease_ms = kLeaseMs;
    // Outlives this object; see Leave().
    bool stays = false;
  };

  // `clock` may be null: SystemClock(). Where the archive cannot be written,
  // the reader goes on without: problem() says why.
  // Errors: kNotFound when one of `snapshot_ids` is not there any more;
  // kUnavailable when one is being removed.
  static absl::StatusOr<std::unique_ptr<Lease>> Take(
      const backup::Archive* archive, std::vector<std::string> snapshot_ids,
      cache::Clock* clock, Terms terms);
  static absl::StatusOr<std::unique_ptr<Lease>> Take(
      const backup::Archive* archive, std::vector<std::string> snapshot_ids,
      cache::Clock* clock) {
    return Take(archive, std::move(snapshot_ids), clock, Terms());
  }
  ~Lease();  // Gives it back, unless it stays.
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  // Writes it anew when it is time to; cheap when it is not. To be called again
  // and again while reading.
  void Renew();
  // Lets it stay when this object goes, until it expires: for who goes on in
  // another process, and takes it again by its name.
  void Leave() { terms_.stays = true; }
  // Gives it back now; Renew() does nothing from here on.
  void GiveBack();
  // OK while it is held; else why it is not, as of the last try.
  const absl::Status& problem() const { return problem_; }

 private:
  Lease(const backup::Archive* archive, std::vector<std::string> snapshot_ids,
        cache::Clock* clock, Terms terms);

  absl::Status Write();
  absl::Status CheckAllThere() const;

  const backup::Archive* const archive_;
  const std::vector<std::string> snapshot_ids_;
  cache::Clock* const clock_;
  Terms terms_;
  bool taken_ = false;
  int64_t written_unix_ms_ = 0;
  absl::Status problem_;
};

// A name for a lease that is taken again later: random, since the archive knows
// nothing else of who holds it.
std::string NewLeaseName();
// Whether it may be the name of a lease's file.
bool IsLeaseName(absl::string_view name);

// Gives back what a process left that does not go on. Fine when it is not
// there. Errors: what the file system says.
absl::Status RemoveLease(cache::l2::FileSystem* file_system,
                         const std::string& archive_path,
                         absl::string_view name);

// Of those that hold a snapshot, the one that does for longest.
struct LeaseHeld {
  std::string holder;  // May be empty.
  int64_t expires_unix_ms = 0;
};

using LeasesHeld = absl::flat_hash_map<std::string, LeaseHeld>;  // By ID.

// What somebody reads, at `unix_ms`. Requires: the archive's lock, unless it is
// only told. Errors: kDataLoss when a lease is damaged, kFailedPrecondition
// when it is of a newer version: who knows what it names.
absl::StatusOr<LeasesHeld> FindLeases(const backup::Archive& archive,
                                      int64_t unix_ms);

// For how long the file of an expired lease stays. Who holds it may write it
// anew at any time, also between the last look at it and its removal: then it
// would be lost, and nobody know.
inline constexpr int64_t kExpiredLeaseKeptMs = int64_t{24} * 3600 * 1000;

// Removes those that had expired so long before `unix_ms`, as each is now.
// Requires: the archive's lock. Errors: what the file system says.
absl::Status RemoveExpiredLeases(const backup::Archive& archive,
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
