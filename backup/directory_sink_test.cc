#include "backup/directory_sink.h"

#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/archive_test_support.h"
#include "backup/fake_snapshot.h"
#include "backup/format/archive_file.h"
#include "backup/format/limits.h"
#include "backup/verify.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using cache::l2::SimulatedDisk;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Fault = SimulatedDisk::Fault;

BackupReport Backup(FakeCache* cache, SimulatedDisk* disk, uint64_t seed,
                    bool full = false) {
  TestBackupOptions options;
  options.full = full;
  options.random_seed = seed;
  return TestBackup(cache, "/archive", disk, std::move(options));
}

std::vector<SnapshotEntry> List(SimulatedDisk* disk) {
  const auto archive = Archive::Open("/archive", disk);
  if (!archive.ok()) return {};
  return *archive->List();
}

// Every listed snapshot is whole.
void ExpectSound(SimulatedDisk* disk, size_t snapshots) {
  EXPECT_THAT(List(disk), SizeIs(snapshots));
  for (const SnapshotEntry& entry : List(disk)) {
    EXPECT_TRUE(entry.complete) << entry.incomplete_reason;
  }
  if (snapshots == 0) return;
  const auto report = VerifyArchive(*Archive::Open("/archive", disk), {});
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->status.ok()) << report->status;
}

TEST(DirectorySinkTest, FailureAtEveryOperationListsNothingAndHurtsNothing) {
  FakeCache cache = MakeFakeCache(20, 800);
  for (const int error : {EIO, ENOSPC}) {
    for (uint64_t at = 0;; ++at) {
      SCOPED_TRACE(absl::StrCat("errno ", error, " at operation ", at));
      SimulatedDisk disk;
      ASSERT_EQ(Backup(&cache, &disk, 1).outcome, Outcome::kOk);
      const uint64_t before = disk.operation_count();
      disk.InjectFault(before + at, at % 2 == 0 ? Fault::Fail(error)
                                                : Fault::ShortWrite(7, error));
      const BackupReport report = Backup(&cache, &disk, 2);
      if (disk.operation_count() <= before + at) break;  // Beyond the last.
      // Some failures cost nothing: of a cleaning-up, of a look at a pack.
      const bool listed = report.outcome == Outcome::kOk;
      EXPECT_EQ(report.sinks[0].status.ok(), listed);
      if (!listed) {
        EXPECT_THAT(std::string(report.sinks[0].status.message()),
                    HasSubstr("/"));
      }
      ExpectSound(&disk, listed ? 2 : 1);
      // The next one works and cleans up.
      EXPECT_EQ(Backup(&cache, &disk, 3).outcome, Outcome::kOk);
      ExpectSound(&disk, listed ? 3 : 2);
      EXPECT_EQ(
          VerifyArchive(*Archive::Open("/archive", &disk), {})->leftover_files,
          0);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(DirectorySinkTest, KillAtEveryOperation) {
  FakeCache cache = MakeFakeCache(20, 800);
  for (uint64_t at = 0;; ++at) {
    SCOPED_TRACE(absl::StrCat("killed at operation ", at));
    SimulatedDisk disk;
    ASSERT_EQ(Backup(&cache, &disk, 1).outcome, Outcome::kOk);
    const uint64_t before = disk.operation_count();
    disk.SetHook([&](const SimulatedDisk::Operation& operation) {
      // Dead: nothing it does reaches the disk any more.
      return operation.index >= before + at
                 ? absl::InternalError("process is dead")
                 : absl::OkStatus();
    });
    const bool listed = Backup(&cache, &disk, 2).outcome == Outcome::kOk;
    const bool beyond = disk.operation_count() <= before + at;
    disk.SetHook(nullptr);
    disk.KillProcess();
    const size_t left = List(&disk).size();
    // A manifest may be in place before the call that put it there returned.
    EXPECT_GE(left, listed ? 2u : 1u);
    ExpectSound(&disk, left);
    EXPECT_EQ(Backup(&cache, &disk, 3).outcome, Outcome::kOk);
    ExpectSound(&disk, left + 1);
    if (beyond || testing::Test::HasFailure()) break;
  }
}

TEST(DirectorySinkTest, PowerCutKeepsWhatWasReported) {
  FakeCache cache = MakeFakeCache(20, 800);
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    SimulatedDisk disk;
    ASSERT_EQ(Backup(&cache, &disk, 1).outcome, Outcome::kOk);
    const uint64_t before = disk.operation_count();
    const uint64_t at = before + seed;
    disk.SetHook([&](const SimulatedDisk::Operation& operation) {
      return operation.index >= at ? absl::InternalError("no power")
                                   : absl::OkStatus();
    });
    const bool listed = Backup(&cache, &disk, 2).outcome == Outcome::kOk;
    disk.SetHook(nullptr);
    disk.PowerCut(seed);
    const size_t left = List(&disk).size();
    EXPECT_GE(left, listed ? 2u : 1u);
    ExpectSound(&disk, left);
    if (testing::Test::HasFailure()) break;
  }
}

TEST(DirectorySinkTest, ASecondBackupIntoTheSameArchiveIsRefused) {
  FakeCache cache = MakeFakeCache(5, 100);
  SimulatedDisk disk;
  ASSERT_EQ(Backup(&cache, &disk, 1).outcome, Outcome::kOk);
  const auto lock = disk.Lock("/archive/lock");
  ASSERT_TRUE(lock.ok());
  const BackupReport report = Backup(&cache, &disk, 2);
  EXPECT_EQ(report.outcome, Outcome::kFailed);
  EXPECT_EQ(report.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(report.status.message()),
              HasSubstr("another backup"));
  EXPECT_THAT(report.sources, IsEmpty());  // It cost no pin.
}

TEST(DirectorySinkTest, FullDisk) {
  FakeCache cache = MakeFakeCache(30, 3000);
  SimulatedDisk disk;
  ASSERT_EQ(Backup(&cache, &disk, 1).outcome, Outcome::kOk);
  disk.SetCapacityBytes(disk.allocated_bytes() + 20'000);
  const BackupReport report = Backup(&cache, &disk, 2, /*full=*/true);
  EXPECT_EQ(report.status.code(), absl::StatusCode::kResourceExhausted)
      << report.status;
  ExpectSound(&disk, 1);
  // What was written is gone again.
  EXPECT_EQ(Archive::Open("/archive", &disk)
                ->file_system()
                ->List("/archive/packs")
                ->size(),
            static_cast<size_t>(List(&disk)[0].manifest.packs_size()));
}

TEST(DirectorySinkTest, PacksKeepTheirSize) {
  FakeCache cache = MakeFakeCache(40, 3000);
  SimulatedDisk disk;
  TestBackupOptions options;
  options.pack_bytes = 10'000;
  ASSERT_EQ(TestBackup(&cache, "/archive/", &disk, std::move(options)).outcome,
            Outcome::kOk);
  const SnapshotEntry entry = List(&disk)[0];
  EXPECT_GT(entry.manifest.packs_size(), 5);
  int64_t bytes = 0;
  for (const format::Pack& pack : entry.manifest.packs()) {
    EXPECT_LE(pack.bytes(), 10'000u);
    bytes += static_cast<int64_t>(pack.bytes());
  }
  EXPECT_GT(entry.bytes, bytes);
  EXPECT_EQ(entry.manifest.ordinal(), 1u);
}

TEST(DirectorySinkTest, RefusesADirectoryOfSomethingElse) {
  FakeCache cache = MakeFakeCache(5, 100);
  SimulatedDisk disk;
  ASSERT_TRUE(disk.CreateDirectories("/archive/lost+found").ok());
  ASSERT_TRUE(disk.CreateDirectories("/archive/letters").ok());
  const BackupReport report = Backup(&cache, &disk, 1);
  EXPECT_EQ(report.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(report.status.message()), HasSubstr("letters"));
  EXPECT_THAT(*disk.List("/archive"), SizeIs(2));
  ASSERT_TRUE(disk.Remove("/archive/letters").ok());
  // A disk of its own is fine.
  EXPECT_EQ(Backup(&cache, &disk, 2).outcome, Outcome::kOk);
}

TEST(DirectorySinkTest, FilesOfARunningBackupAreNoLeftovers) {
  FakeCache cache = MakeFakeCache(5, 100);
  SimulatedDisk disk;
  ASSERT_EQ(Backup(&cache, &disk, 1).outcome, Outcome::kOk);
  ASSERT_TRUE(
      disk.Open("/archive/packs/other-000000.pack", {.create = true}).ok());
  const Archive archive = *Archive::Open("/archive", &disk);
  auto report = VerifyArchive(archive, {});
  EXPECT_FALSE(report->backup_running);
  EXPECT_EQ(report->leftover_files, 1);
  {
    const auto lock = disk.Lock("/archive/lock");
    ASSERT_TRUE(lock.ok());
    report = VerifyArchive(archive, {});
    EXPECT_TRUE(report->backup_running);
    EXPECT_EQ(report->leftover_files, 0);
    EXPECT_TRUE(report->status.ok()) << report->status;
  }
  EXPECT_FALSE(VerifyArchive(archive, {})->backup_running);
}

// Its base may be pruned while a delta comes in.
TEST(DirectorySinkTest, AReceivedDeltaIsNotAdoptedWithoutItsBase) {
  FakeCache cache = MakeFakeCache(5, 100);
  SimulatedDisk disk;
  ASSERT_EQ(Backup(&cache, &disk, 1).outcome, Outcome::kOk);
  ++cache.info.epoch;
  ASSERT_EQ(Backup(&cache, &disk, 2).outcome, Outcome::kOk);
  const Archive archive = *Archive::Open("/archive", &disk);
  const std::vector<SnapshotEntry> entries = List(&disk);
  const format::Manifest& delta = entries[1].manifest;
  ASSERT_EQ(delta.header().base_snapshot_id(), entries[0].id);
  ASSERT_TRUE(disk.CreateDirectories("/archive/incoming/d").ok());
  const std::vector<format::Pack> packs(delta.packs().begin(),
                                        delta.packs().end());
  for (const format::Pack& pack : packs) {
    ASSERT_TRUE(disk.Rename(archive.PackPath(pack.name()),
                            "/archive/incoming/d/" + pack.name())
                    .ok());
  }
  format::Manifest manifest = delta;
  manifest.clear_packs();
  const std::string base_path = archive.ManifestPath(entries[0].id);
  ASSERT_TRUE(disk.Remove(archive.ManifestPath(entries[1].id)).ok());
  ASSERT_TRUE(disk.Rename(base_path, "/elsewhere").ok());
  const absl::Status refused =
      DirectorySink::Adopt("/archive", {.file_system = &disk},
                           "/archive/incoming/d", manifest, packs,
                           DirectorySink::Always)
          .status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr(entries[0].id));
  EXPECT_THAT(List(&disk), IsEmpty());
  EXPECT_THAT(*disk.List("/archive/incoming/d"), SizeIs(packs.size()));
}

TEST(DirectorySinkTest, NoOrdinalBehindTheLast) {
  FakeCache cache = MakeFakeCache(5, 100);
  SimulatedDisk disk;
  ASSERT_EQ(Backup(&cache, &disk, 1).outcome, Outcome::kOk);
  SnapshotEntry entry = List(&disk)[0];
  entry.manifest.set_ordinal(format::kOrdinalMax);
  const std::string bytes = format::EncodeManifest(entry.manifest);
  auto file = disk.Open("/archive/manifests/" + entry.id + ".manifest", {});
  ASSERT_TRUE((*file)->Resize(bytes.size()).ok());
  ASSERT_TRUE((*file)->WriteAt(0, bytes).ok());
  EXPECT_EQ(Backup(&cache, &disk, 2).status.code(),
            absl::StatusCode::kFailedPrecondition);
  ExpectSound(&disk, 1);
}

}  // namespace
}  // namespace larder::backup
