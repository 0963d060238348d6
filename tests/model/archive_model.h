// The backups of a model run: made, kept and restored by the real code, on a
// simulated disk of their own, and held against what each must bring back.
#ifndef LARDER_TESTS_MODEL_ARCHIVE_MODEL_H_
#define LARDER_TESTS_MODEL_ARCHIVE_MODEL_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backup/restore.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/snapshot.h"
#include "tests/support/oracle.h"

namespace larder::tests {

// Reports what is wrong through GoogleTest. Single-owner. Whether the process
// died in a call, `*died` says after it; then nothing that the call returned
// counts, until CheckAfterDeath().
//
// A disk of its own: the thread that writes the archive and the one that reads
// the cache take turns as they like, and a run must be the same each time.
class ArchiveModel {
 public:
  // Borrows both pointers. `evicting`: what is acknowledged may be gone.
  ArchiveModel(cache::Clock* clock, bool evicting,
               const std::atomic<bool>* died)
      : clock_(clock), evicting_(evicting), died_(died) {}

  cache::l2::SimulatedDisk* disk() { return &disk_; }
  bool empty() const { return dumps_.empty(); }
  int64_t backups() const { return backups_; }
  int64_t deaths_survived() const { return deaths_survived_; }
  // Restores from which newer backups kept something away.
  int64_t skipping() const { return skipping_; }

  // Starts over in a new archive when there are many backups.
  void MakeRoom();
  // Backs the cache up, whose state is `state`. `shape`: see Operation.
  void Backup(cache::BlobCache* cache, const Oracle::State& state,
              uint64_t shape, uint64_t seed);

  // After a backup that returned: it is listed, and nothing else is there.
  void CheckAfterBackup() { CheckListing(/*after_death=*/false); }
  // After a death, when the disk works again: what was acknowledged is there,
  // and nothing is in halves.
  void CheckAfterDeath();

  // Restores one of the backups to `target` and checks the report. Returns:
  // what the new L2 must hold, or nothing after a failure or death.
  std::optional<Oracle::State> Restore(uint64_t which,
                                       const cache::BlobCacheOptions& target);
  // What the same would have to hold.
  Oracle::State Expected(uint64_t which) const;

 private:
  struct Dump {
    std::string id;
    cache::SnapshotInfo info;
    Oracle::State state;
    // Else it was listed when its process had been killed: a power cut may take
    // it yet, until the next backup syncs the directory.
    bool acknowledged = false;
  };

  std::string path() const;
  const Dump& Pick(uint64_t which) const {
    return dumps_[which % dumps_.size()];
  }
  // Whether what was flushed in `newer` reaches `older`.
  static bool Reaches(const Dump& newer, const Dump& older);
  // Reads all that the snapshot holds; narrows the dump's contents to that.
  // What is missing may be.
  void TakeContents(const cache::Snapshot& snapshot, Dump* dump);
  void CheckPlan(const Dump& dump, const backup::RestorePlan& plan) const;
  // The archive lists `dumps_`, each complete. After a death something that was
  // never acknowledged may have come or gone, and left its packs.
  void CheckListing(bool after_death);

  cache::Clock* const clock_;
  const bool evicting_;
  const std::atomic<bool>* const died_;
  cache::l2::SimulatedDisk disk_;
  int archive_ = 0;
  std::vector<Dump> dumps_;  // Oldest first.
  // Under way when the process died: listed or not.
  std::optional<Dump> cut_short_;
  int64_t backups_ = 0;
  int64_t deaths_survived_ = 0;
  int64_t skipping_ = 0;
};

}  // namespace larder::tests

#endif  // LARDER_TESTS_MODEL_ARCHIVE_MODEL_H_
