#include "backup/prune.h"

#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/archive_test_support.h"
#include "backup/fake_snapshot.h"
#include "backup/internal/lease.h"
#include "backup/restore.h"
#include "backup/retention.h"
#include "backup/verify.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using cache::l2::SimulatedDisk;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Fault = SimulatedDisk::Fault;

constexpr int64_t kStart = 1'700'000'000'000;
constexpr int64_t kDay = 86'400'000;

// An archive with two chains: full, delta, delta; full, delta.
class PruneTest : public ::testing::Test {
 protected:
  void Fill(SimulatedDisk* disk, uint64_t days = 5) {
    ids_.clear();
    FakeCache cache = MakeFakeCache(12, 300);
    for (uint64_t day = 0; day < days; ++day) {
      cache.Put("pages", absl::StrCat("day", day), RandomBytes(day, 200),
                cache.info.complete_through.value + 1);
      cache.info.hlc.value += 5000;
      cache.info.complete_through = cache.info.hlc;
      ++cache.info.epoch;
      TestBackupOptions options;
      options.full = day == 3;
      options.random_seed = day + 1;
      options.unix_ms = kStart + static_cast<int64_t>(day) * kDay;
      const BackupReport report =
          TestBackup(&cache, "/archive", disk, std::move(options));
      ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
      ids_.push_back(report.snapshot_id);
      blobs_[report.snapshot_id] = cache.blobs.size();
    }
  }
  absl::StatusOr<PruneReport> Prune(SimulatedDisk* disk, RetentionPolicy policy,
                                    bool confirm = true) {
    const auto archive = Archive::Open("/archive", disk);
    if (!archive.ok()) return archive.status();
    return backup::Prune(*archive, {.policy = policy,
                                    .confirm = confirm,
                                    .zone = absl::UTCTimeZone(),
                                    .clock = &clock_});
  }
  std::vector<std::string> Listed(SimulatedDisk* disk) {
    std::vector<std::string> ids;
    const auto entries = Archive::Open("/archive", disk)->List();
    for (const SnapshotEntry& entry : *entries) ids.push_back(entry.id);
    return ids;
  }
  void ExpectAllRestore(SimulatedDisk* disk) {
    const Archive archive = *Archive::Open("/archive", disk);
    for (const std::string& id : Listed(disk)) {
      FakeCache restored;
      RestoreOptions options;
      options.snapshot_id = id;
      const std::string target = absl::StrCat("/new", ++targets_);
      const RestoreReport report =
          TestRestore(archive, target, disk, &restored, std::move(options));
      EXPECT_EQ(report.outcome, Outcome::kOk) << id << ": " << report.status;
      EXPECT_TRUE(report.digest_equal) << id;
      EXPECT_EQ(restored.blobs.size(), blobs_.at(id));
    }
  }

  cache::ManualClock clock_{kStart + 10 * kDay};
  std::vector<std::string> ids_;
  std::map<std::string, size_t> blobs_;
  int targets_ = 0;
};

TEST_F(PruneTest, RemovesWhatThePolicyDoesNotKeepAndNoMore) {
  SimulatedDisk disk;
  Fill(&disk);
  const auto packs = *disk.List("/archive/packs");
  const auto plan = Prune(&disk, {.last = 1}, /*confirm=*/false);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->snapshots_removed, 3);
  EXPECT_EQ(Listed(&disk), ids_);
  EXPECT_EQ(*disk.List("/archive/packs"), packs);

  const auto done = Prune(&disk, {.last = 1});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->snapshots_removed, 3);
  EXPECT_EQ(done->bytes_removed, plan->bytes_removed);
  EXPECT_EQ(static_cast<size_t>(done->packs_removed),
            packs.size() - disk.List("/archive/packs")->size());
  EXPECT_THAT(done->decisions[3].reasons, ElementsAre("base of " + ids_[4]));
  EXPECT_THAT(Listed(&disk), ElementsAre(ids_[3], ids_[4]));
  ExpectAllRestore(&disk);
  EXPECT_EQ(
      VerifyArchive(*Archive::Open("/archive", &disk), {})->leftover_files, 0);
  EXPECT_EQ(Prune(&disk, {.last = 1})->snapshots_removed, 0);
}

TEST_F(PruneTest, TheNewestThatWasNotFoundDamagedStays) {
  SimulatedDisk disk;
  Fill(&disk);
  const Archive archive = *Archive::Open("/archive", &disk);
  const std::string pack =
      archive.PackPath(archive.Find(ids_[3])->manifest.packs(0).name());
  ASSERT_TRUE(disk.FlipBit(pack, 1000, 2).ok());
  const auto verified =
      VerifyArchive(archive, {.store = true, .clock = &clock_});
  ASSERT_TRUE(verified.ok()) << verified.status();
  ASSERT_FALSE(verified->snapshots[3].status.ok());

  const auto report = Prune(&disk, {.last = 1});
  ASSERT_TRUE(report.ok()) << report.status();
  std::vector<bool> damaged;
  for (const RetentionDecision& decision : report->decisions) {
    damaged.push_back(decision.damaged);
  }
  // The last one with the full dump that it builds on.
  EXPECT_THAT(damaged, ElementsAre(false, false, false, true, true));
  EXPECT_THAT(report->decisions[2].reasons,
              Contains("newest not found damaged"));
  EXPECT_EQ(Listed(&disk), ids_);
  // Nor is one trusted whose verdict cannot be read.
  const std::string verdict = absl::StrCat("/archive/verified/", ids_[3]);
  ASSERT_TRUE(disk.FlipBit(verdict, 3, 1).ok());
  ASSERT_TRUE(Prune(&disk, {.last = 1}).ok());
  EXPECT_EQ(Listed(&disk), ids_);
  ASSERT_TRUE(disk.FlipBit(pack, 1000, 2).ok());
  ExpectAllRestore(&disk);
}

// What was found of a pack outlives the snapshot that it was found of.
TEST_F(PruneTest, AFoldOnADamagedPackStaysDamagedWhenThePacksOwnerGoes) {
  SimulatedDisk disk;
  Fill(&disk, 12);  // The last chain has 8 deltas, so it is folded.
  const Archive archive = *Archive::Open("/archive", &disk);
  ASSERT_FALSE(archive.Find(ids_[11])->manifest.references().empty());
  const std::string pack =
      archive.PackPath(archive.Find(ids_[3])->manifest.packs(0).name());
  ASSERT_TRUE(disk.FlipBit(pack, 1000, 2).ok());
  const auto verified = VerifyArchive(
      archive, {.snapshot_id = ids_[3], .store = true, .clock = &clock_});
  ASSERT_TRUE(verified.ok()) << verified.status();
  ASSERT_FALSE(verified->status.ok());
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    const auto report = Prune(&disk, {.last = 1});
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_TRUE(report->decisions.back().damaged);
    EXPECT_THAT(Listed(&disk),
                ElementsAre(ids_[0], ids_[1], ids_[2], ids_[11]));
  }
  // And it is.
  EXPECT_FALSE(VerifyArchive(archive, {.snapshot_id = ids_[11]})->status.ok());
}

TEST_F(PruneTest, FailureAtEveryOperationLeavesAllThatIsListedRestorable) {
  for (const int error : {EIO, ENOSPC}) {
    for (uint64_t at = 0;; ++at) {
      SCOPED_TRACE(absl::StrCat("errno ", error, " at operation ", at));
      SimulatedDisk disk;
      Fill(&disk);
      const uint64_t before = disk.operation_count();
      disk.InjectFault(before + at, Fault::Fail(error));
      const auto report = Prune(&disk, {.last = 1});
      if (disk.operation_count() <= before + at) break;  // Beyond the last.
      EXPECT_THAT(Listed(&disk), Contains(ids_[4]));
      ExpectAllRestore(&disk);
      // The next one finishes.
      const auto again = Prune(&disk, {.last = 1});
      ASSERT_TRUE(again.ok()) << again.status();
      EXPECT_THAT(Listed(&disk), ElementsAre(ids_[3], ids_[4]));
      EXPECT_EQ(
          VerifyArchive(*Archive::Open("/archive", &disk), {})->leftover_files,
          0);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST_F(PruneTest, KillOrPowerCutAtEveryOperation) {
  for (const bool power_cut : {false, true}) {
    for (uint64_t at = 0;; ++at) {
      SCOPED_TRACE(absl::StrCat(power_cut ? "no power" : "killed",
                                " from operation ", at));
      SimulatedDisk disk;
      Fill(&disk);
      const uint64_t before = disk.operation_count();
      disk.SetHook([&](const SimulatedDisk::Operation& operation) {
        return operation.index >= before + at ? absl::InternalError("dead")
                                              : absl::OkStatus();
      });
      const bool done = Prune(&disk, {.last = 1}).ok();
      const bool beyond = disk.operation_count() <= before + at;
      disk.SetHook(nullptr);
      if (power_cut) {
        disk.PowerCut(at);
      } else {
        disk.KillProcess();
      }
      if (done) {
        EXPECT_THAT(Listed(&disk), ElementsAre(ids_[3], ids_[4]));
      }
      EXPECT_THAT(Listed(&disk), Contains(ids_[4]));
      ExpectAllRestore(&disk);
      const auto again = Prune(&disk, {.last = 1});
      ASSERT_TRUE(again.ok()) << again.status();
      EXPECT_THAT(Listed(&disk), ElementsAre(ids_[3], ids_[4]));
      if (beyond || testing::Test::HasFailure()) break;
    }
  }
}

TEST_F(PruneTest, WhatIsReadStaysUntilItsLeaseExpires) {
  SimulatedDisk disk;
  Fill(&disk);
  const Archive archive = *Archive::Open("/archive", &disk);
  auto lease = backup_internal::Lease::Take(&archive, {ids_[1]}, &clock_);
  ASSERT_TRUE(lease.ok()) << lease.status();
  const auto report = Prune(&disk, {.last = 1});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->decisions[1].reasons, Contains("being read"));
  EXPECT_THAT(Listed(&disk), ElementsAre(ids_[0], ids_[1], ids_[3], ids_[4]));
  // Its reader was killed.
  clock_.AdvanceMillis(backup_internal::Lease::kLeaseMs);
  ASSERT_TRUE(Prune(&disk, {.last = 1}).ok());
  EXPECT_THAT(Listed(&disk), ElementsAre(ids_[3], ids_[4]));
  clock_.AdvanceMillis(backup_internal::kExpiredLeaseKeptMs);
  ASSERT_TRUE(Prune(&disk, {.last = 1}).ok());
  EXPECT_THAT(*disk.List("/archive/leases"), IsEmpty());
}

// Whoever gets a lease before any one operation of the prune, and reads only
// when that is done, finds everything.
TEST_F(PruneTest, ALeaseThatIsGivenHolds) {
  int given = 0, refused = 0;
  for (uint64_t at = 0;; ++at) {
    SCOPED_TRACE(absl::StrCat("lease at operation ", at));
    SimulatedDisk disk;
    Fill(&disk);
    const Archive archive = *Archive::Open("/archive", &disk);
    const uint64_t before = disk.operation_count();
    absl::StatusOr<std::unique_ptr<backup_internal::Lease>> lease;
    bool started = false;
    disk.SetHook([&](const SimulatedDisk::Operation& operation) {
      if (started || operation.index < before + at) return absl::OkStatus();
      started = true;
      lease =
          backup_internal::Lease::Take(&archive, {ids_[0], ids_[1]}, &clock_);
      return absl::OkStatus();
    });
    const auto pruned = Prune(&disk, {.last = 1});
    disk.SetHook(nullptr);
    ASSERT_TRUE(pruned.ok()) << pruned.status();
    if (!started) break;
    if (lease.ok()) {
      ASSERT_TRUE((*lease)->problem().ok()) << (*lease)->problem();
      EXPECT_THAT(Listed(&disk),
                  ElementsAre(ids_[0], ids_[1], ids_[3], ids_[4]));
      ++given;
    } else {
      EXPECT_THAT(Listed(&disk), ElementsAre(ids_[3], ids_[4]));
      ++refused;
    }
    ExpectAllRestore(&disk);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(given, 0);
  EXPECT_GT(refused, 0);
}

// A whole restore before any one operation of the prune.
TEST_F(PruneTest, ARestoreThatStartsInTheMiddleGetsAllOrNothing) {
  int restored = 0, refused = 0;
  for (uint64_t at = 0;; ++at) {
    SCOPED_TRACE(absl::StrCat("restore at operation ", at));
    SimulatedDisk disk;
    Fill(&disk);
    const Archive archive = *Archive::Open("/archive", &disk);
    const uint64_t before = disk.operation_count();
    RestoreReport report;
    FakeCache into;
    bool started = false;
    disk.SetHook([&](const SimulatedDisk::Operation& operation) {
      if (started || operation.index < before + at) return absl::OkStatus();
      started = true;
      RestoreOptions options;
      options.snapshot_id = ids_[2];
      options.cache.clock = &clock_;
      report = TestRestore(archive, "/new", &disk, &into, std::move(options));
      return absl::OkStatus();
    });
    const auto pruned = Prune(&disk, {.last = 1});
    disk.SetHook(nullptr);
    ASSERT_TRUE(pruned.ok()) << pruned.status();
    if (!started) break;
    if (report.outcome == Outcome::kOk) {
      EXPECT_TRUE(report.digest_equal);
      ++restored;
    } else {
      EXPECT_EQ(report.outcome, Outcome::kFailed);
      EXPECT_TRUE(absl::IsNotFound(report.status) ||
                  absl::IsDataLoss(report.status) ||
                  absl::IsUnavailable(report.status))
          << report.status;
      EXPECT_TRUE(into.blobs.empty());
      ++refused;
    }
    ExpectAllRestore(&disk);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(restored, 0);
  EXPECT_GT(refused, 0);
}

// And the other way round: a prune before any one operation of the restore.
TEST_F(PruneTest, APruneInTheMiddleOfARestoreDoesNotHurtIt) {
  int kept = 0, removed = 0;
  for (uint64_t at = 0;; ++at) {
    SCOPED_TRACE(absl::StrCat("prune at operation ", at));
    SimulatedDisk disk;
    Fill(&disk);
    const Archive archive = *Archive::Open("/archive", &disk);
    const uint64_t before = disk.operation_count();
    bool started = false;
    disk.SetHook([&](const SimulatedDisk::Operation& operation) {
      if (started || operation.index < before + at) return absl::OkStatus();
      started = true;
      EXPECT_TRUE(Prune(&disk, {.last = 1}).ok());
      return absl::OkStatus();
    });
    FakeCache into;
    RestoreOptions options;
    options.snapshot_id = ids_[2];
    options.cache.clock = &clock_;
    const RestoreReport report =
        TestRestore(archive, "/new", &disk, &into, std::move(options));
    disk.SetHook(nullptr);
    if (!started) break;
    if (report.outcome == Outcome::kOk) {
      EXPECT_TRUE(report.digest_equal);
      ++kept;
    } else {
      EXPECT_EQ(report.outcome, Outcome::kFailed) << report.status;
      EXPECT_TRUE(into.blobs.empty());
      ++removed;
    }
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(removed, 0);
}

TEST_F(PruneTest, RefusesWhatItCannotJudge) {
  SimulatedDisk disk;
  Fill(&disk);
  const Archive archive = *Archive::Open("/archive", &disk);
  {
    const auto lock = disk.Lock("/archive/lock");
    ASSERT_TRUE(lock.ok());
    EXPECT_EQ(Prune(&disk, {.last = 1}).status().code(),
              absl::StatusCode::kUnavailable);
    EXPECT_TRUE(Prune(&disk, {.last = 1}, /*confirm=*/false).ok());
  }
  ASSERT_TRUE(disk.FlipBit(archive.ManifestPath(ids_[0]), 50, 2).ok());
  const auto unreadable = Prune(&disk, {.last = 1}).status();
  EXPECT_EQ(unreadable.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(unreadable.message()), HasSubstr(ids_[0]));
  EXPECT_EQ(Listed(&disk).size(), 5u);
}

}  // namespace
}  // namespace larder::backup
