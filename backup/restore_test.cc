#include "backup/restore.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "backup/archive.h"
#include "backup/archive_test_support.h"
#include "backup/directory_source.h"
#include "backup/fake_snapshot.h"
#include "backup/verify.h"
#include "cache/l2/file.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RestoreTest : public ::testing::Test {
 protected:
  BackupReport Backup(FakeCache* cache, TestBackupOptions options = {}) {
    options.random_seed = ++seed_;
    return TestBackup(cache, "/archive", &disk_, std::move(options));
  }
  Archive OpenArchive() {
    auto archive = Archive::Open("/archive", &disk_);
    EXPECT_TRUE(archive.ok()) << archive.status();
    return *archive;
  }
  RestoreReport Restore(FakeCache* into, const std::string& id = "") {
    RestoreOptions options;
    options.snapshot_id = id;
    return TestRestore(OpenArchive(), "/new", &disk_, into, options);
  }

  cache::l2::SimulatedDisk disk_;
  uint64_t seed_ = 0;
};

TEST_F(RestoreTest, GivesEverythingBack) {
  FakeCache cache = MakeFakeCache(50, 2000), restored;
  const BackupReport backup = Backup(&cache);
  ASSERT_EQ(backup.outcome, Outcome::kOk) << backup.status;
  EXPECT_EQ(backup.sources[0].totals.records(), 50);
  EXPECT_GT(backup.sinks[0].receipt.packs, 5);
  EXPECT_EQ(backup.sinks[0].name, "dir:/archive");

  const RestoreReport report = Restore(&restored);
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_TRUE(report.digest_equal);
  EXPECT_EQ(report.records_restored, 50);
  EXPECT_EQ(report.restored.lineage, "restored");
  EXPECT_THAT(report.warnings, IsEmpty());
  ASSERT_EQ(restored.blobs.size(), cache.blobs.size());
  for (const auto& [key, blob] : cache.blobs) {
    EXPECT_EQ(restored.Bytes(key), cache.Bytes(key)) << key.second;
  }
  EXPECT_EQ(restored.info.namespaces.size(), 2u);
  EXPECT_EQ(restored.info.namespaces[0].generation, 2u);
  EXPECT_EQ(restored.info.tombstones, cache.info.tombstones);
  EXPECT_TRUE(disk_.Exists("/new/meta"));
  EXPECT_THAT(*disk_.List("/"), ElementsAre("archive", "new"));
}

TEST_F(RestoreTest, AttributesSurvive) {
  FakeCache cache, restored;
  cache.Put("ns", "k", "bytes", 5);
  cache::StoredRecord& record = cache.blobs[{"ns", "k"}].record;
  record.attributes.expiry = {
      .expires_at_unix_ms = 10, .idle_ttl_ms = 20, .stale_ms = 30};
  record.attributes.priority = 7;
  record.attributes.l1_admission = cache::L1Admission::kNever;
  record.attributes.tags = {"a", std::string("b\0c", 3)};
  record.attributes.dependencies = {"d"};
  record.attributes.invalidation_hashes = {
      cache::TagHash("a"), cache::TagHash(std::string("b\0c", 3)),
      cache::DependencyHash("d")};
  record.attributes.metadata = {{"type", "text/html"}};
  record.last_access_unix_ms = 99;
  Backup(&cache);
  ASSERT_EQ(Restore(&restored).outcome, Outcome::kOk);
  const cache::StoredRecord& back = restored.blobs[{"ns", "k"}].record;
  EXPECT_EQ(back.attributes.hlc, record.attributes.hlc);
  EXPECT_EQ(back.attributes.expiry, record.attributes.expiry);
  EXPECT_EQ(back.attributes.priority, 7);
  EXPECT_EQ(back.attributes.l1_admission, cache::L1Admission::kNever);
  EXPECT_EQ(back.attributes.tags, record.attributes.tags);
  EXPECT_EQ(back.attributes.dependencies, record.attributes.dependencies);
  EXPECT_EQ(back.attributes.metadata, record.attributes.metadata);
  EXPECT_EQ(back.attributes.invalidation_hashes,
            record.attributes.invalidation_hashes);
  EXPECT_EQ(back.last_access_unix_ms, 99);
  EXPECT_EQ(back.payload_checksum, record.payload_checksum);
}

TEST_F(RestoreTest, EmptyCache) {
  FakeCache cache, restored;
  ASSERT_EQ(Backup(&cache).outcome, Outcome::kOk);
  EXPECT_EQ(Restore(&restored).outcome, Outcome::kOk);
  EXPECT_THAT(restored.blobs, IsEmpty());
}

TEST_F(RestoreTest, WithoutBlobsGenerationsAreStillTaken) {
  FakeCache cache = MakeFakeCache(20, 500), restored;
  TestBackupOptions options;
  options.include_blob_cache = false;
  ASSERT_EQ(Backup(&cache, std::move(options)).outcome, Outcome::kOk);
  const RestoreReport report = Restore(&restored);
  EXPECT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_THAT(report.warnings, Contains(HasSubstr("without blobs")));
  EXPECT_THAT(restored.blobs, IsEmpty());
  EXPECT_EQ(restored.info.namespaces[0].generation, 2u);
  EXPECT_EQ(restored.info.tombstones, cache.info.tombstones);
}

TEST_F(RestoreTest, DryRunWritesNothing) {
  FakeCache cache = MakeFakeCache(10, 500), restored;
  Backup(&cache);
  RestoreOptions options;
  options.dry_run = true;
  const RestoreReport report =
      TestRestore(OpenArchive(), "/new", &disk_, &restored, options);
  EXPECT_EQ(report.outcome, Outcome::kOk);
  EXPECT_EQ(report.plan.records, 10);
  EXPECT_GT(report.plan.bytes_to_read, 2000);
  EXPECT_THAT(*disk_.List("/"), ElementsAre("archive"));
}

TEST_F(RestoreTest, RefusesWhatIsNotThere) {
  EXPECT_EQ(Archive::Open("/archive", &disk_).status().code(),
            absl::StatusCode::kNotFound);
  ASSERT_TRUE(disk_.CreateDirectories("/other").ok());
  EXPECT_EQ(Archive::Open("/other", &disk_).status().code(),
            absl::StatusCode::kFailedPrecondition);
  FakeCache cache = MakeFakeCache(3, 10), restored;
  Backup(&cache);
  EXPECT_EQ(Restore(&restored, "20200101T000000Z-00000000").status.code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Restore(&restored, "../../etc").status.code(),
            absl::StatusCode::kInvalidArgument);
  RestoreOptions options;
  options.files_path = "/files";
  EXPECT_EQ(TestRestore(OpenArchive(), "/new", &disk_, &restored, options)
                .status.code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(*disk_.List("/"), ElementsAre("archive", "other"));
}

TEST_F(RestoreTest, RefusesATargetThatIsNotEmpty) {
  FakeCache cache = MakeFakeCache(3, 10), restored;
  Backup(&cache);
  ASSERT_TRUE(disk_.CreateDirectories("/new/x").ok());
  EXPECT_EQ(Restore(&restored).status.code(), absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(disk_.Remove("/new/x").ok());
  EXPECT_EQ(Restore(&restored).outcome, Outcome::kOk);
}

TEST_F(RestoreTest, RefusesATooSmallBudget) {
  FakeCache cache = MakeFakeCache(3, 1000), restored;
  Backup(&cache);
  RestoreOptions options;
  options.cache.l2_bytes_max = 1000;
  const RestoreReport report =
      TestRestore(OpenArchive(), "/new", &disk_, &restored, options);
  EXPECT_EQ(report.status.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(RestoreTest, ChoosesTheNewestCompleteSnapshot) {
  FakeCache first = MakeFakeCache(3, 10), second = MakeFakeCache(5, 10);
  const std::string id1 = Backup(&first).snapshot_id;
  TestBackupOptions options;
  options.unix_ms -= 1'000'000;  // The clock stepped back.
  const std::string id2 = Backup(&second, std::move(options)).snapshot_id;
  FakeCache a, b, c;
  EXPECT_EQ(Restore(&a).records_restored, 5);
  ASSERT_TRUE(disk_.Remove("/new/meta").ok());
  EXPECT_EQ(Restore(&b, id1).records_restored, 3);
  ASSERT_TRUE(disk_.Remove("/new/meta").ok());
  // A snapshot that misses a pack is passed over, and said so.
  const SnapshotEntry newest = *OpenArchive().Find(id2);
  ASSERT_TRUE(
      disk_.Remove("/archive/packs/" + newest.manifest.packs(0).name()).ok());
  const RestoreReport report = Restore(&c);
  EXPECT_EQ(report.plan.snapshot.id, id1);
  EXPECT_THAT(report.warnings, Contains(HasSubstr(id2)));
}

TEST_F(RestoreTest, WhatWasFlushedNeverComesBackFromAnOlderDump) {
  FakeCache cache, restored;
  for (const char* ns : {"flushed", "tagged", "prefixed", "kept"}) {
    cache.Put(ns, "a/1", "bytes", 100);
    cache.Put(ns, "b/2", "bytes", 100);
  }
  auto& tagged = cache.blobs[{"tagged", "a/1"}].record.attributes;
  tagged.tags = {"red"};
  tagged.invalidation_hashes = {cache::TagHash("red")};
  // Covered already when the old snapshot is made: stays, for the digest.
  cache.info.tombstones = {{.kind = cache::TombstoneKind::kPrefix,
                            .ns = "kept",
                            .value = "a/",
                            .hlc = {150}}};
  const std::string old_id = Backup(&cache).snapshot_id;

  FakeCache newer;
  newer.info.epoch = 8;
  newer.info.namespaces = {
      {.name = "flushed", .generation = 3, .flushed_at = {200}}};
  uint64_t hash = cache::TagHash("red");
  newer.info.tombstones = {
      {.kind = cache::TombstoneKind::kTag,
       .ns = "tagged",
       .value = std::string(reinterpret_cast<char*>(&hash), 8),
       .hlc = {200}},
      {.kind = cache::TombstoneKind::kPrefix,
       .ns = "prefixed",
       .value = "a/",
       .hlc = {200}}};
  const std::string new_id = Backup(&newer).snapshot_id;
  // Another history has no say.
  FakeCache foreign;
  foreign.info.lineage = "another";
  foreign.info.epoch = 9;
  foreign.info.namespaces = {
      {.name = "kept", .generation = 9, .flushed_at = {999}}};
  const std::string foreign_id = Backup(&foreign).snapshot_id;

  const RestoreReport report = Restore(&restored, old_id);
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_THAT(report.plan.newer_snapshots, ElementsAre(new_id));
  EXPECT_THAT(report.plan.newer_of_other_lineages, ElementsAre(foreign_id));
  EXPECT_EQ(report.records_skipped, 4);
  EXPECT_EQ(report.records_restored, 4);
  EXPECT_FALSE(report.digest_equal);
  std::vector<BlobKey> keys;
  for (const auto& [key, blob] : restored.blobs) keys.push_back(key);
  EXPECT_THAT(
      keys, ElementsAre(BlobKey("kept", "a/1"), BlobKey("kept", "b/2"),
                        BlobKey("prefixed", "b/2"), BlobKey("tagged", "b/2")));
  EXPECT_EQ(restored.info.namespaces[0].generation, 3u);
  EXPECT_THAT(restored.info.tombstones, SizeIs(3));
}

TEST_F(RestoreTest, FlushesOfWhatWasRestoredFromItCount) {
  FakeCache old = MakeFakeCache(8, 500), restored;
  const std::string old_id = Backup(&old).snapshot_id;
  FakeCache grandchild;
  grandchild.info.ancestors = {"child", old.info.lineage};
  grandchild.info.lineage = "grandchild";
  grandchild.info.epoch = 2;  // Epochs of two lineages say nothing.
  grandchild.info.namespaces = {{.name = old.blobs.begin()->first.first,
                                 .generation = 3,
                                 .flushed_at = {uint64_t{1} << 40}}};
  const std::string new_id = Backup(&grandchild).snapshot_id;
  const RestoreReport report = Restore(&restored, old_id);
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_THAT(report.plan.newer_snapshots, ElementsAre(new_id));
  EXPECT_THAT(report.plan.newer_of_other_lineages, IsEmpty());
  EXPECT_GT(report.records_skipped, 0);
  for (const auto& [key, blob] : restored.blobs) {
    EXPECT_NE(key.first, grandchild.info.namespaces[0].name);
  }
  // What the older one flushed is no news to who descends from it.
  FakeCache again;
  EXPECT_THAT(Restore(&again, new_id).plan.newer_snapshots, IsEmpty());
}

TEST_F(RestoreTest, ASourceThatLostItsPinCannotBeRestored) {
  FakeCache cache = MakeFakeCache(20, 500), restored;
  cache.frames_until_abort = 10;
  const BackupReport backup = Backup(&cache);
  // The only source: nothing is listed.
  EXPECT_EQ(backup.outcome, Outcome::kFailed);
  EXPECT_EQ(backup.status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(*OpenArchive().List(), IsEmpty());
}

TEST_F(RestoreTest, BlobsDamagedAtTheSourceAreNamed) {
  FakeCache cache = MakeFakeCache(20, 3000), restored;
  cache.damaged_headers = {{"images", "key-1"}};
  cache.damaged_frames = {{{"pages", "key-9"}, 1}};
  const BackupReport backup = Backup(&cache);
  EXPECT_EQ(backup.outcome, Outcome::kPartial);
  EXPECT_EQ(backup.sources[0].totals.problems_count(), 2);
  EXPECT_THAT(backup.sources[0].totals.problems(0), HasSubstr("images/key-1"));
  EXPECT_THAT(backup.sources[0].totals.problems(1), HasSubstr("pages/key-9"));
  const RestoreReport report = Restore(&restored);
  EXPECT_EQ(report.outcome, Outcome::kPartial) << report.status;
  EXPECT_EQ(report.records_restored, 18);
  EXPECT_THAT(report.lost.listed, SizeIs(1));
  EXPECT_EQ(report.lost.listed[0].name, "key-9");
  // Not among the records at all, but told when the backup was made.
  EXPECT_THAT(report.warnings, Contains(HasSubstr("images/key-1")));
}

TEST_F(RestoreTest, CancelledOrFailedRestoreLeavesNothing) {
  FakeCache cache = MakeFakeCache(20, 3000);
  Backup(&cache);
  Cancellation cancellation;
  RestoreOptions options;
  options.cancellation = &cancellation;
  options.progress = [&](const RestoreProgress& p) {
    if (p.bytes_done > 3000) cancellation.Cancel();
  };
  FakeCache restored;
  const RestoreReport report =
      TestRestore(OpenArchive(), "/new", &disk_, &restored, options);
  EXPECT_EQ(report.status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(report.outcome, Outcome::kFailed);
  EXPECT_THAT(*disk_.List("/"), ElementsAre("archive"));
}

TEST_F(RestoreTest, RemovesWhatAKilledRestoreLeft) {
  FakeCache cache = MakeFakeCache(5, 100), half, restored;
  const std::string id = Backup(&cache).snapshot_id;
  const std::string staging = "/new.restoring-" + id;
  // A killed process removes nothing; this one fails, and cannot.
  using Disk = cache::l2::SimulatedDisk;
  disk_.SetFaultScript([](const Disk::Operation& operation) {
    return operation.kind == Disk::OperationKind::kRemove ||
                   operation.kind == Disk::OperationKind::kRename
               ? Disk::Fault::Fail(EIO)
               : Disk::Fault();
  });
  EXPECT_EQ(Restore(&half).outcome, Outcome::kFailed);
  disk_.SetFaultScript(nullptr);
  EXPECT_THAT(*disk_.List("/"), Contains(staging.substr(1)));
  // Not of a restore, whatever it is called.
  ASSERT_TRUE(disk_.CreateDirectories("/new.restoring-notes").ok());
  EXPECT_EQ(Restore(&restored).outcome, Outcome::kOk);
  EXPECT_THAT(*disk_.List("/"),
              ElementsAre("archive", "new", "new.restoring-notes"));
}

// Files are published first; what is left to do can be done then.
TEST_F(RestoreTest, KilledBetweenFilesAndCacheItSaysHowToGoOn) {
  const std::filesystem::path data =
      std::filesystem::path(::testing::TempDir()) / "restore_test_files";
  std::filesystem::create_directories(data);
  std::ofstream(data / "file") << "content";
  FakeCache cache = MakeFakeCache(5, 100), half, restored;
  TestBackupOptions backup;
  backup.more =
      std::make_unique<DirectorySource>(data, DirectorySource::Options());
  ASSERT_EQ(Backup(&cache, std::move(backup)).outcome, Outcome::kOk);
  const auto restore = [&](FakeCache* into, const std::string& files) {
    RestoreOptions options;
    options.files_path = files;
    return TestRestore(OpenArchive(), "/new", &disk_, into, options);
  };
  bool dead = false;
  disk_.SetHook([&](const cache::l2::SimulatedDisk::Operation& operation) {
    dead = dead || (operation.kind ==
                        cache::l2::SimulatedDisk::OperationKind::kRename &&
                    operation.path.starts_with("/new."));
    return dead ? absl::InternalError("dead") : absl::OkStatus();
  });
  EXPECT_EQ(restore(&half, "/files").outcome, Outcome::kFailed);
  disk_.SetHook(nullptr);
  disk_.KillProcess();
  ASSERT_TRUE(disk_.Exists("/files/file"));
  ASSERT_FALSE(disk_.Exists("/new"));

  const absl::Status refused = restore(&restored, "/files").status;
  EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("only the cache is left to restore"));
  const RestoreReport report = restore(&restored, "");
  EXPECT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_TRUE(report.digest_equal);
  EXPECT_EQ(ReadFile(&disk_, "/files/file"), "content");
  EXPECT_TRUE(disk_.Exists("/new/meta"));
}

TEST_F(RestoreTest, SecondRestoreIntoTheSameTargetIsRefused) {
  FakeCache cache = MakeFakeCache(5, 100), restored;
  Backup(&cache);
  const auto lock = disk_.Lock("/new.restoring.lock");
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(Restore(&restored).status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(RestoreTest, TargetsMayNotMeet) {
  FakeCache cache = MakeFakeCache(5, 100), restored;
  Backup(&cache);
  for (const std::string files : {"/new", "/new/files", "/", "/x/../new/"}) {
    RestoreOptions options;
    options.files_path = files;
    EXPECT_EQ(TestRestore(OpenArchive(), "/new", &disk_, &restored, options)
                  .status.code(),
              absl::StatusCode::kInvalidArgument)
        << files;
  }
  EXPECT_EQ(
      TestRestore(OpenArchive(), "/x/.", &disk_, &restored, {}).status.code(),
      absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(*disk_.List("/"), ElementsAre("archive"));
}

// A disk that is mounted read-only: nothing opens for writing.
class ReadOnlyDisk : public cache::l2::FileSystem {
 public:
  explicit ReadOnlyDisk(cache::l2::FileSystem* disk) : disk_(disk) {}
  absl::StatusOr<std::unique_ptr<cache::l2::File>> Open(
      const std::string& path, const OpenOptions& options) override {
    if (!options.read_only) return Refused();
    return disk_->Open(path, options);
  }
  absl::StatusOr<std::unique_ptr<cache::l2::FileLock>> Lock(
      const std::string&) override {
    return Refused();
  }
  absl::Status CreateDirectories(const std::string&) override {
    return Refused();
  }
  absl::Status CreatePrivateDirectories(const std::string&) override {
    return Refused();
  }
  absl::Status SyncDirectory(const std::string&) override { return Refused(); }
  absl::Status Remove(const std::string&) override { return Refused(); }
  absl::Status RemoveTree(const std::string&) override { return Refused(); }
  absl::Status Rename(const std::string&, const std::string&) override {
    return Refused();
  }
  absl::StatusOr<std::vector<std::string>> List(
      const std::string& path) override {
    return disk_->List(path);
  }
  bool Exists(const std::string& path) override { return disk_->Exists(path); }

 private:
  static absl::Status Refused() {
    return absl::InternalError("Read-only file system");
  }
  cache::l2::FileSystem* const disk_;
};

TEST_F(RestoreTest, AnArchiveNeedsNotBeWritable) {
  FakeCache cache = MakeFakeCache(5, 100), restored;
  Backup(&cache);
  ReadOnlyDisk mounted(&disk_);
  const auto archive = Archive::Open("/archive", &mounted);
  ASSERT_TRUE(archive.ok()) << archive.status();
  EXPECT_TRUE(archive->List()->front().complete);
  const auto verdict = VerifyArchive(*archive, {});
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  EXPECT_TRUE(verdict->status.ok()) << verdict->status;
  const RestoreReport report =
      TestRestore(*archive, "/new", &disk_, &restored, {});
  EXPECT_EQ(report.outcome, Outcome::kOk) << report.status;
}

// What may not be read may be sound.
TEST_F(RestoreTest, OnlyDamageIsDataLoss) {
  FakeCache cache = MakeFakeCache(5, 100);
  const std::string id = Backup(&cache).snapshot_id;
  const auto code = [&](const std::string& part, int error) {
    disk_.SetFaultScript(
        [=](const cache::l2::SimulatedDisk::Operation& operation) {
          return operation.path.find(part) != std::string::npos &&
                         operation.kind ==
                             cache::l2::SimulatedDisk::OperationKind::kOpen
                     ? cache::l2::SimulatedDisk::Fault::Fail(error)
                     : cache::l2::SimulatedDisk::Fault();
        });
    return OpenArchive().Find("").status().code();
  };
  EXPECT_EQ(code(".manifest", EACCES), absl::StatusCode::kInternal);
  EXPECT_EQ(code(".pack", EACCES), absl::StatusCode::kInternal);
  EXPECT_EQ(code(".manifest", EIO), absl::StatusCode::kDataLoss);
  EXPECT_EQ(code(".pack", EIO), absl::StatusCode::kDataLoss);
  EXPECT_EQ(code(".pack", ENOENT), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace larder::backup
