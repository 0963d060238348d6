// One cache under a list of operations, held against a plain map: reopened,
// killed and cut off the power at chosen I/O operations, backed up, and
// continued from restored backups.
#ifndef LARDER_TESTS_MODEL_CACHE_MODEL_H_
#define LARDER_TESTS_MODEL_CACHE_MODEL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/options.h"
#include "cache/snapshot.h"
#include "tests/model/archive_model.h"
#include "tests/model/operation.h"
#include "tests/support/oracle.h"

namespace larder::tests {

// Reports what is wrong through GoogleTest, and stops there. Single-owner. The
// same operations do the same each time, and any of them can be left out.
class CacheModel {
 public:
  struct Options {
    // The smallest L2 there is, and blobs that fill it: most puts must evict.
    bool evicting = false;
    // What the disk of the L2 does wrong behind the model's back.
    cache::l2::SimulatedDisk::FaultScript faults = nullptr;
  };
  explicit CacheModel(Options options);
  ~CacheModel();

  // Keeps in `*at` which operation is under way.
  void Run(const Operations& operations, std::atomic<int64_t>* at);

  struct Counts {
    int64_t crashes = 0;
    int64_t backups = 0;
    int64_t backup_deaths = 0;
    int64_t restores = 0;
    int64_t restore_deaths = 0;
    // From which newer backups kept something away.
    int64_t restores_skipping = 0;
    int64_t switches = 0;  // Restores that the run went on with.
  };
  Counts counts() const;

 private:
  using Loss = Oracle::Loss;
  struct HeldSnapshot {
    std::unique_ptr<cache::Snapshot> snapshot;
    Contents contents;
    int64_t taken_at;
  };

  int64_t Now() const { return clock_.NowUnixMillis(); }
  std::string NewDirectory();
  cache::BlobCacheOptions CacheOptions(const std::string& path);
  // Whether failures are allowed: the process is dead, or a power cut at kNone
  // has damaged the L2.
  bool Excused() const { return crashed_ || loose_steps_left_ > 0; }

  void Step(const Operation& o);
  void Put(const Operation& o);
  void CompareAndSet(LoggedMutation m, const std::string& bytes,
                     const Operation& o);
  void Get(const Operation& o);
  void Exists(const Operation& o);
  void Load(const Operation& o);
  void Invalidate(LoggedMutation m);
  void Sweep(Operation::Kind kind, uint64_t limit);
  void ReclaimOrphans(uint64_t slices);
  void Commit();
  void TakeSnapshot();
  void EndSnapshot(uint64_t which);
  void CheckSnapshot(const HeldSnapshot& held);
  void Hold(const Operation& o);
  void LetGo(uint64_t which);
  void Finish(LoggedMutation m, const absl::StatusOr<cache::Mutation>& done);
  // Of a mutation that was acknowledged at kEveryPut.
  void NoteDurable(const LoggedMutation& m);
  void CheckHit(const std::string& ns, const std::string& key,
                const std::optional<cache::Hit>& hit);
  void CheckStats();

  void Open();
  void Close();
  void Reopen(const Operation& o);
  void Arm(const Operation& o) { Arm(o, o.dies); }
  void Arm(const Operation& o, uint64_t dies);
  absl::Status Die(const cache::l2::SimulatedDisk::Operation& now, uint64_t at);
  void Disarm();
  void Recover();
  uint64_t VerifyAfterCrash(Loss loss);
  uint64_t VerifyClosed(const std::string& path, bool orphans_allowed);
  void StartAnew();
  void RemoveDirectory(const std::string& path);

  void Backup(const Operation& o);
  void Restore(const Operation& o);
  // Of a restore to `target` that returned.
  void ExpectNoLeftovers(const std::string& target);
  // Goes on with the L2 at `path`, or looks at it.
  void SwitchTo(const std::string& path, const Oracle::State& state,
                cache::Durability durability);
  void LookAt(const std::string& path, const Oracle::State& state);

  const Options options_;
  const size_t content_bytes_max_;
  const Oracle::Options oracle_options_;
  Oracle oracle_;
  cache::ManualClock clock_;
  cache::l2::SimulatedDisk disk_;
  std::atomic<bool> crashed_{false};
  ArchiveModel archive_;
  int64_t directories_ = 0;
  std::string path_;
  cache::Durability durability_ = cache::Durability::kInterval;
  std::unique_ptr<cache::BlobCache> cache_;
  std::vector<HeldSnapshot> snapshots_;
  std::vector<std::pair<cache::Hit, std::string>> hits_;
  bool created_ = false;  // The directory was opened once.
  // Its newest life was one at kNone: a power cut may take everything.
  bool unsettled_ = false;
  bool orphans_possible_ = false;
  Operation death_;  // What the armed death is like.
  bool power_cut_ = false;
  // Since the last power cut at kNone: damage is possible, nothing wrong is.
  int64_t loose_steps_left_ = 0;
  uint64_t committed_epoch_ = 0, durable_epoch_ = 0;
  // The newest that holds a mutation which was durable when it returned.
  uint64_t acknowledged_epoch_ = 0;
  Counts counts_;
};

}  // namespace larder::tests

#endif  // LARDER_TESTS_MODEL_CACHE_MODEL_H_
