// A fixed workload that touches every write path of an L2, for tests that make
// one I/O operation of it go wrong.
#ifndef LARDER_TESTS_CRASH_SCRIPT_H_
#define LARDER_TESTS_CRASH_SCRIPT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/blob.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/options.h"
#include "cache/snapshot.h"
#include "tests/crash/stored_contents.h"
#include "tests/support/oracle.h"

namespace larder::tests {

// Single-owner. What goes wrong in it goes to the oracle, or is reported
// through GoogleTest.
class Script {
 public:
  struct Options {
    cache::Durability durability = cache::Durability::kInterval;
    // Fills the smallest L2 there is, so that puts must evict. Takes longer.
    bool evicting = false;
    // The disk does what no disk should: any blob may go, and bytes that are
    // looked at may change. What is served is right all the same.
    bool damaged = false;
  };
  explicit Script(Options options);

  // Opens a new L2 on the disk and runs, until the end or until `*stop`.
  // Statuses go to `on_status`, which says whether one is allowed; null: only
  // OK is.
  void Run(const bool* stop,
           std::function<bool(const absl::Status&)> on_status = nullptr);

  // Drops the cache, as a closing or dying process does.
  void Close();
  // Opens the L2 again.
  absl::Status Open();
  // Verifies what a crash or a fault left, and returns the epoch of the newest
  // commit; 0 when nothing was created yet. A superblock may lack its twin:
  // opening gives it back.
  uint64_t VerifyBeforeOpen();
  // Puts, deletes, commits, gets, sweeps and closes; reclaims orphans; expects
  // deltas since every epoch that is left, the digest that the model has, and a
  // sound L2 without orphans.
  void ExpectWorks();

  // Puts a blob of the namespace "ns".
  absl::Status Put(const std::string& key, uint32_t content,
                   const cache::PutOptions& options = {});

  cache::BlobCacheOptions CacheOptions();
  cache::l2::SimulatedDisk* disk() { return &disk_; }
  cache::BlobCache* cache() { return cache_.get(); }
  Oracle* oracle() { return &oracle_; }
  int64_t now() const { return clock_.NowUnixMillis(); }
  // Newest epochs that were seen while the cache lived.
  uint64_t committed_epoch() const { return committed_epoch_; }
  uint64_t durable_epoch() const { return durable_epoch_; }
  // The newest epoch that holds a mutation which was durable when it returned:
  // at kEveryPut each is.
  uint64_t acknowledged_epoch() const { return acknowledged_epoch_; }
  // What a power cut, or a death, loses of what was acknowledged.
  Oracle::Loss LossOf(Oracle::Loss loss) const {
    return options_.durability == cache::Durability::kEveryPut
               ? Oracle::Loss::kNone
               : loss;
  }
  bool created() const { return created_; }

 private:
  void Step(int i);
  void Invalidate(LoggedMutation::Kind kind, const std::string& name);
  void Acknowledge(LoggedMutation mutation);
  void Sweep();
  void Snapshot();
  void ReadPinned();
  void CheckPinned();
  void Hold(const std::string& key);
  void CheckHeld();
  void CheckDisk();
  void CheckDeltas();
  void CheckDigest();
  void Note(const absl::Status& status);
  void EndOfStep();

  const Options options_;
  Oracle oracle_;
  cache::ManualClock clock_;
  cache::l2::SimulatedDisk disk_;
  std::unique_ptr<cache::BlobCache> cache_;
  std::unique_ptr<cache::Snapshot> snapshot_;
  StoredContents pinned_;  // What `snapshot_` held at first.
  struct Base {
    cache::SnapshotInfo info;
    StoredContents contents;
  };
  std::vector<Base> bases_;  // Of every snapshot whose epoch was not lost.
  // Hits, with the bytes that they had.
  std::vector<std::pair<cache::Hit, std::string>> held_;
  std::function<bool(const absl::Status&)> on_status_;
  bool created_ = false;
  bool failed_ = false;  // Something that was allowed to.
  uint32_t next_content_ = 1;
  uint64_t committed_epoch_ = 0, durable_epoch_ = 0, acknowledged_epoch_ = 0;
};

}  // namespace larder::tests

#endif  // LARDER_TESTS_CRASH_SCRIPT_H_
