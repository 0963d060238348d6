// Deltas: through archives, chains of them, sinks that are not equally far, and
// damage.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/archive_test_support.h"
#include "backup/blob_cache_source.h"
#include "backup/directory_sink.h"
#include "backup/fake_snapshot.h"
#include "backup/format/limits.h"
#include "backup/internal/snapshot_records.h"
#include "backup/orchestrator.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using cache::BlobCache;
using cache::BlobCacheOptions;
using cache::l2::SimulatedDisk;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Model = std::map<BlobKey, std::string>;

// The real cache, backed up to one or two archives.
class DeltaTest : public ::testing::Test {
 protected:
  BlobCacheOptions CacheOptions(const std::string& path) {
    BlobCacheOptions options;
    options.l2_path = path;
    options.l1_bytes_max = 1 << 20;
    options.l2_bytes_max = int64_t{256} << 20;
    options.background_commits = false;
    options.clock = &clock_;
    options.file_system = &disk_;
    return options;
  }
  std::unique_ptr<BlobCache> OpenCache(const std::string& path) {
    auto opened = BlobCache::Open(CacheOptions(path));
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  void Put(const std::string& ns, const std::string& key,
           const std::string& bytes) {
    ASSERT_TRUE(cache_->Put(ns, key, bytes, {}).ok());
    model_[{ns, key}] = bytes;
  }
  void Delete(const std::string& ns, const std::string& key) {
    ASSERT_TRUE(cache_->InvalidateKey(ns, key).ok());
    model_.erase({ns, key});
  }
  void Fill(int count) {
    for (int i = 0; i < count; ++i) {
      Put(i % 2 == 0 ? "pages" : "images", absl::StrCat("key", i),
          RandomBytes(static_cast<uint64_t>(i), 2000));
    }
  }
  BackupReport Backup(const std::vector<std::string>& archives,
                      BackupRequest request = {}) {
    clock_.AdvanceMillis(1000);
    BackupOrchestrator orchestrator({.clock = &clock_, .random_seed = ++seed_});
    orchestrator.AddSource(std::make_unique<BlobCacheSource>(
        [this](const auto& pin) { return cache_->TakeSnapshot(pin); },
        BlobCacheSource::Options()));
    for (const std::string& archive : archives) {
      orchestrator.AddSink(
          DirectorySink::Create(archive, {.file_system = &disk_}));
    }
    request.include_blob_cache = true;
    const BackupReport report = orchestrator.Run(request);
    models_[report.snapshot_id] = model_;
    return report;
  }
  Archive Open(const std::string& path) {
    const auto archive = Archive::Open(path, &disk_);
    EXPECT_TRUE(archive.ok()) << archive.status();
    return *archive;
  }
  RestoreReport RestoreFrom(const std::string& archive,
                            const std::string& target,
                            const std::string& id = "") {
    RestoreOptions options;
    options.snapshot_id = id;
    options.cache = CacheOptions(target);
    return Restore(Open(archive), options);
  }
  // Restores `id` and expects what the cache held when it was made.
  void ExpectRestores(const std::string& archive, const std::string& id) {
    const std::string target = absl::StrCat("/restored", ++targets_);
    const RestoreReport report = RestoreFrom(archive, target, id);
    ASSERT_EQ(report.outcome, Outcome::kOk) << id << ": " << report.status;
    EXPECT_TRUE(report.digest_equal) << id;
    const auto restored = OpenCache(target);
    const Model& model = models_.at(id);
    EXPECT_EQ(restored->Stats().l2.records, static_cast<int64_t>(model.size()));
    for (const auto& [key, bytes] : model) {
      const auto hit = restored->Get(key.first, key.second);
      ASSERT_TRUE(hit.has_value()) << id << ": " << key.second;
      ASSERT_EQ(hit->bytes(), bytes) << id << ": " << key.second;
    }
  }

  // The records of `id`, merged from its chain without a restore, are what the
  // cache held.
  void ExpectRecords(const std::string& path, const std::string& id) {
    const Archive archive = Open(path);
    const auto entry = archive.Find(id);
    ASSERT_TRUE(entry.ok()) << entry.status();
    const auto chain = archive.Chain(*entry);
    ASSERT_TRUE(chain.ok()) << chain.status();
    const auto records = backup_internal::SnapshotRecords::Open(
        &archive, &*chain, "cache", /*cancellation=*/nullptr);
    ASSERT_TRUE(records.ok()) << records.status();
    Model found;
    BlobKey last;
    while (true) {
      auto next = (*records)->Next();
      ASSERT_TRUE(next.ok()) << next.status();
      if (!next->has_value()) break;
      const BlobKey key{(*next)->record.ns(), (*next)->record.key()};
      EXPECT_LT(last, key);
      last = key;
      std::string bytes;
      for (const backup_internal::FramesPlace& place : (*next)->places) {
        const auto file = disk_.Open(archive.PackPath(place.pack), {});
        ASSERT_TRUE(file.ok());
        std::string piece(place.bytes, '\0');
        ASSERT_TRUE((*file)->ReadAt(place.offset, absl::MakeSpan(piece)).ok());
        bytes += piece;
      }
      found[key] = bytes;
    }
    EXPECT_TRUE(found == models_.at(id)) << id;
  }

  cache::ManualClock clock_{1'700'000'000'000};
  SimulatedDisk disk_;
  std::unique_ptr<BlobCache> cache_ = OpenCache("/l2");
  Model model_;
  std::map<std::string, Model> models_;  // By snapshot.
  uint64_t seed_ = 0;
  int targets_ = 0;
};

TEST_F(DeltaTest, ASecondBackupSendsWhatChanged) {
  Fill(2000);
  const BackupReport full = Backup({"/a"});
  ASSERT_EQ(full.outcome, Outcome::kOk) << full.status;
  EXPECT_EQ(full.sinks[0].base_snapshot_id, "");
  Put("pages", "key0", "new");
  Put("pages", "key-new", "added");
  Delete("images", "key1");
  const BackupReport delta = Backup({"/a"});
  ASSERT_EQ(delta.outcome, Outcome::kOk) << delta.status;
  EXPECT_EQ(delta.sinks[0].base_snapshot_id, full.snapshot_id);
  EXPECT_EQ(delta.sources[0].totals.records(), 2);
  EXPECT_GT(delta.sources[0].totals.records_kept(), 0);
  EXPECT_LT(delta.bytes_sent, full.bytes_sent / 100);
  const auto verdict = VerifyArchive(Open("/a"), {});
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  EXPECT_TRUE(verdict->status.ok()) << verdict->status;
  const auto listed = Open("/a").List();
  ASSERT_EQ(listed->size(), 2);
  EXPECT_EQ((*listed)[0].deltas, 0);
  EXPECT_EQ((*listed)[1].deltas, 1);
  ExpectRestores("/a", delta.snapshot_id);
  ExpectRestores("/a", full.snapshot_id);
}

// Its cost follows the archive, not what each delta stands on.
TEST_F(DeltaTest, ListingReadsEachManifestOnce) {
  Fill(10);
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(Backup({"/archive"}).outcome, Outcome::kOk);
  }
  const auto archive = Archive::Open("/archive", &disk_);
  ASSERT_TRUE(archive.ok()) << archive.status();
  std::map<std::string, int> opened;
  disk_.SetHook([&](const SimulatedDisk::Operation& operation) {
    if (operation.kind == SimulatedDisk::OperationKind::kOpen) {
      ++opened[operation.path];
    }
    return absl::OkStatus();
  });
  const auto listed = archive->List();
  disk_.SetHook(nullptr);
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->size(), 5);
  EXPECT_EQ(listed->back().deltas, 4);
  EXPECT_EQ(opened.size(), 10);  // A manifest and a pack of each.
  for (const auto& [path, times] : opened) EXPECT_EQ(times, 1) << path;
}

TEST_F(DeltaTest, AnIdleDeltaIsAsSmallForManyRecordsAsForFew) {
  int64_t bytes[2];
  for (const int round : {0, 1}) {
    Fill(round == 0 ? 100 : 5000);
    ASSERT_EQ(Backup({"/a"}).outcome, Outcome::kOk);
    const BackupReport idle = Backup({"/a"});
    ASSERT_EQ(idle.outcome, Outcome::kOk) << idle.status;
    EXPECT_EQ(idle.sources[0].totals.ranges(), 0);
    bytes[round] = idle.bytes_sent;
    ExpectRestores("/a", idle.snapshot_id);
  }
  EXPECT_LT(bytes[1], bytes[0] + 100);
}

TEST_F(DeltaTest, FullAndBaseCanBeAskedFor) {
  Fill(200);
  const BackupReport first = Backup({"/a"});
  Put("pages", "key0", "2");
  const BackupReport second = Backup({"/a"});
  Put("pages", "key0", "3");
  const BackupReport third = Backup({"/a"}, {.base_id = first.snapshot_id});
  EXPECT_EQ(third.sinks[0].base_snapshot_id, first.snapshot_id);
  const BackupReport full = Backup({"/a"}, {.full = true});
  EXPECT_EQ(full.sinks[0].base_snapshot_id, "");
  const BackupReport none = Backup({"/a"}, {.base_id = "20200101T000000Z-1"});
  EXPECT_EQ(none.outcome, Outcome::kFailed);
  EXPECT_TRUE(absl::IsNotFound(none.status)) << none.status;
  for (const BackupReport& r : {first, second, third, full}) {
    ExpectRestores("/a", r.snapshot_id);
  }
}

// They take turns, so that the newest snapshot is of the other one each time.
TEST_F(DeltaTest, TwoCachesInOneArchiveBuildOnTheirOwn) {
  std::unique_ptr<BlobCache> other = OpenCache("/other");
  Model other_model;
  std::string last, other_last;
  for (int round = 0; round < 4; ++round) {
    SCOPED_TRACE(round);
    Put("pages", "key", absl::StrCat(round));
    const BackupReport report = Backup({"/a"});
    ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
    EXPECT_EQ(report.sinks[0].base_snapshot_id, last);
    last = report.snapshot_id;
    std::swap(cache_, other);
    std::swap(model_, other_model);
    std::swap(last, other_last);
  }
  ExpectRestores("/a", last);
  ExpectRestores("/a", other_last);
  // Neither can be had on the other's.
  const BackupReport none = Backup({"/a"}, {.base_id = other_last});
  EXPECT_EQ(none.outcome, Outcome::kFailed);
  EXPECT_TRUE(absl::IsNotFound(none.status)) << none.status;
  EXPECT_EQ(Open("/a").List()->size(), 4);
}

// Damage that is known ends with the next backup.
TEST_F(DeltaTest, NothingBuildsOnWhatWasFoundDamaged) {
  Fill(200);
  const BackupReport full = Backup({"/a"});
  Put("pages", "key0", "2");
  const BackupReport delta = Backup({"/a"});
  ASSERT_EQ(delta.sinks[0].base_snapshot_id, full.snapshot_id);
  const auto entry = Open("/a").Find(full.snapshot_id);
  ASSERT_TRUE(entry.ok()) << entry.status();
  const format::Pack& pack = entry->manifest.packs(0);
  ASSERT_TRUE(
      disk_.FlipBit(absl::StrCat("/a/packs/", pack.name()), pack.bytes() / 2, 3)
          .ok());
  const auto verdict = VerifyArchive(
      Open("/a"),
      {.snapshot_id = delta.snapshot_id, .store = true, .clock = &clock_});
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  ASSERT_EQ(verdict->snapshots.size(), 2);
  EXPECT_TRUE(absl::IsDataLoss(verdict->snapshots[0].status));
  EXPECT_EQ(verdict->snapshots[1].id, delta.snapshot_id);
  EXPECT_THAT(std::string(verdict->snapshots[1].status.message()),
              ::testing::StartsWith(absl::StrCat("it builds on snapshot ",
                                                 full.snapshot_id, ": ")));
  for (const std::string& id : {full.snapshot_id, delta.snapshot_id}) {
    const BackupReport none = Backup({"/a"}, {.base_id = id});
    EXPECT_TRUE(absl::IsNotFound(none.status)) << none.status;
  }
  const BackupReport next = Backup({"/a"});
  EXPECT_EQ(next.sinks[0].base_snapshot_id, "");
  ExpectRestores("/a", next.snapshot_id);
  // On that they do.
  EXPECT_EQ(Backup({"/a"}).sinks[0].base_snapshot_id, next.snapshot_id);
}

// Damage in the last delta costs no full dump.
TEST_F(DeltaTest, WhatIsSoundBelowADamagedDeltaIsBuiltOn) {
  Fill(200);
  const BackupReport full = Backup({"/a"});
  Put("pages", "key0", RandomBytes(1, 5000));
  const BackupReport delta = Backup({"/a"});
  const auto entry = Open("/a").Find(delta.snapshot_id);
  ASSERT_TRUE(entry.ok()) << entry.status();
  const format::Pack& pack = entry->manifest.packs(0);
  ASSERT_TRUE(
      disk_.FlipBit(absl::StrCat("/a/packs/", pack.name()), pack.bytes() / 2, 3)
          .ok());
  const auto verdict =
      VerifyArchive(Open("/a"), {.store = true, .clock = &clock_});
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  EXPECT_TRUE(verdict->snapshots[0].status.ok());
  EXPECT_FALSE(verdict->snapshots[1].status.ok());
  const BackupReport next = Backup({"/a"});
  EXPECT_EQ(next.sinks[0].base_snapshot_id, full.snapshot_id);
  ExpectRestores("/a", next.snapshot_id);
}

TEST_F(DeltaTest, EachSinkGetsWhatItLacks) {
  Fill(300);
  const BackupReport first = Backup({"/a", "/b"});
  Put("pages", "key0", "2");
  const BackupReport second = Backup({"/a"});
  Put("images", "key1", "3");
  const BackupReport third = Backup({"/a", "/b", "/c"});
  ASSERT_EQ(third.outcome, Outcome::kOk) << third.status;
  EXPECT_EQ(third.sinks[0].base_snapshot_id, second.snapshot_id);
  EXPECT_EQ(third.sinks[1].base_snapshot_id, first.snapshot_id);
  EXPECT_EQ(third.sinks[2].base_snapshot_id, "");
  EXPECT_EQ(third.sources[0].totals.records(), 300);  // Of the full one.
  for (const char* archive : {"/a", "/b", "/c"}) {
    const auto verdict = VerifyArchive(Open(archive), {});
    ASSERT_TRUE(verdict.ok()) << verdict.status();
    EXPECT_TRUE(verdict->status.ok()) << archive << ": " << verdict->status;
    ExpectRestores(archive, third.snapshot_id);
  }
}

// A chain that is full becomes a full dump, without another look at the cache,
// and goes on; what it was made of may go.
TEST_F(DeltaTest, AFullChainIsFolded) {
  Fill(200);
  std::vector<BackupReport> reports;
  std::string folded;
  for (int i = 0; i < 2 * format::kDeltasPerChainMax + 4; ++i) {
    Put("pages", absl::StrCat("key", 2 * (i % 3)), absl::StrCat("value", i));
    Delete("images", absl::StrCat("key", 2 * i + 1));
    reports.push_back(Backup({"/a"}));
    ASSERT_EQ(reports.back().outcome, Outcome::kOk) << reports.back().status;
    EXPECT_EQ(reports.back().sinks[0].base_snapshot_id,
              i == 0 ? "" : reports[static_cast<size_t>(i) - 1].snapshot_id);
    const auto entry = Open("/a").Find(reports.back().snapshot_id);
    ASSERT_TRUE(entry.ok()) << entry.status();
    EXPECT_TRUE(entry->complete) << entry->incomplete_reason;
    EXPECT_EQ(entry->deltas, i % format::kDeltasPerChainMax);
    if (entry->manifest.references_size() > 0) folded = entry->id;
  }
  const auto verdict = VerifyArchive(Open("/a"), {});
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  EXPECT_TRUE(verdict->status.ok()) << verdict->status;
  for (const BackupReport& report : reports) {
    ExpectRestores("/a", report.snapshot_id);
    ExpectRecords("/a", report.snapshot_id);
  }
  // All before the last fold goes; the next backup removes packs that nobody
  // names any more.
  ASSERT_NE(folded, "");
  for (const BackupReport& report : reports) {
    if (report.snapshot_id == folded) break;
    ASSERT_TRUE(disk_.Remove(Open("/a").ManifestPath(report.snapshot_id)).ok());
  }
  const size_t packs = disk_.List("/a/packs")->size();
  reports.push_back(Backup({"/a"}));
  EXPECT_LT(disk_.List("/a/packs")->size(), packs);
  ExpectRestores("/a", folded);
  ExpectRestores("/a", reports.back().snapshot_id);
}

// A damaged frame costs its blob wherever it is referred to from.
TEST_F(DeltaTest, DamageBelowAFoldIsFound) {
  Fill(20);
  std::string first, last;
  for (int i = 0; i <= format::kDeltasPerChainMax; ++i) {
    Put("pages", "changing", RandomBytes(static_cast<uint64_t>(i), 500));
    last = Backup({"/a"}).snapshot_id;
    if (i == 0) first = last;
  }
  const Archive archive = Open("/a");
  ASSERT_GT(archive.Find(last)->manifest.references_size(), 0);
  const std::string frame = model_.at({"images", "key7"});
  const std::string path =
      archive.PackPath(archive.Find(first)->manifest.packs(0).name());
  const auto file = disk_.Open(path, {});
  std::string bytes((*file)->Size(), '\0');
  ASSERT_TRUE((*file)->ReadAt(0, absl::MakeSpan(bytes)).ok());
  const size_t at = bytes.find(frame);
  ASSERT_NE(at, std::string::npos);
  ASSERT_TRUE((*file)->WriteAt(at + 5, "X").ok());
  const RestoreReport report = RestoreFrom("/a", "/new", last);
  EXPECT_EQ(report.outcome, Outcome::kPartial) << report.status;
  ASSERT_EQ(report.lost.listed.size(), 1);
  EXPECT_EQ(report.lost.listed[0].name, "key7");
  EXPECT_EQ(report.restored.records, static_cast<int64_t>(model_.size()) - 1);
}

// A chain that was folded, damaged where the fold refers to.
class DamageBelowAFold : public DeltaTest {
 protected:
  DamageBelowAFold() {
    Fill(20);
    for (int i = 0; i <= format::kDeltasPerChainMax; ++i) {
      Put("pages", "changing", RandomBytes(static_cast<uint64_t>(i), 500));
      last_ = Backup({"/a"}).snapshot_id;
      if (i == 0) first_ = last_;
    }
    const auto folded = Open("/a").Find(last_);
    EXPECT_TRUE(folded.ok()) << folded.status();
    EXPECT_GT(folded->manifest.references_size(), 0);
    const auto full = Open("/a").Find(first_);
    EXPECT_TRUE(full.ok()) << full.status();
    const format::Pack& pack = full->manifest.packs(0);
    path_ = Open("/a").PackPath(pack.name());
    EXPECT_TRUE(disk_.FlipBit(path_, pack.bytes() / 2, 3).ok());
  }
  VerifyReport Verify(VerifyOptions options) {
    options.store = true;
    options.clock = &clock_;
    const auto report = VerifyArchive(Open("/a"), options);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.value_or(VerifyReport());
  }
  static constexpr uint32_t kAll = 1'000'000;

  std::string first_, last_;  // The full dump, the fold.
  std::string path_;          // Of the pack that is damaged.
};

TEST_F(DamageBelowAFold, ASampleFindsItOfAllThatReferToIt) {
  RestoreProgress done;
  const VerifyReport report =
      Verify({.mode = format::VERIFY_MODE_SAMPLE,
              .sample_millionths = kAll,
              .progress = [&](const RestoreProgress& p) { done = p; }});
  ASSERT_EQ(report.snapshots.size(), format::kDeltasPerChainMax + 1);
  for (const SnapshotVerdict& verdict : report.snapshots) {
    EXPECT_TRUE(absl::IsDataLoss(verdict.status)) << verdict.id;
    EXPECT_THAT(std::string(verdict.status.message()), HasSubstr(path_));
  }
  // Each was read once.
  int64_t packs_read = 0;
  for (const SnapshotVerdict& verdict : report.snapshots) {
    packs_read += verdict.packs_read;
  }
  EXPECT_EQ(static_cast<size_t>(packs_read), disk_.List("/a/packs")->size());
  EXPECT_EQ(done.bytes_done, done.bytes_total);
  EXPECT_EQ(Backup({"/a"}).sinks[0].base_snapshot_id, "");
}

TEST_F(DamageBelowAFold, ASampleFindsItWhereOnlyTheFoldIsLeft) {
  const auto entries = Open("/a").List();
  for (const SnapshotEntry& entry : *entries) {
    if (entry.id == last_) continue;
    ASSERT_TRUE(disk_.Remove(Open("/a").ManifestPath(entry.id)).ok());
  }
  const VerifyReport report =
      Verify({.mode = format::VERIFY_MODE_SAMPLE, .sample_millionths = kAll});
  ASSERT_EQ(report.snapshots.size(), 1);
  EXPECT_TRUE(absl::IsDataLoss(report.status)) << report.status;
  EXPECT_THAT(std::string(report.status.message()), HasSubstr(path_));
  const format::Manifest manifest = Open("/a").Find(last_)->manifest;
  EXPECT_EQ(report.snapshots[0].packs_read,
            manifest.packs_size() + manifest.references_size());
  EXPECT_EQ(Backup({"/a"}).sinks[0].base_snapshot_id, "");
}

// It was looked at alone: the fold has no verdict of its own.
TEST_F(DamageBelowAFold, NothingBuildsOnTheFoldOfWhatWasFoundDamaged) {
  EXPECT_TRUE(absl::IsDataLoss(Verify({.snapshot_id = first_}).status));
  const BackupReport none = Backup({"/a"}, {.base_id = last_});
  EXPECT_TRUE(absl::IsNotFound(none.status)) << none.status;
  const BackupReport next = Backup({"/a"});
  EXPECT_EQ(next.sinks[0].base_snapshot_id, "");
  ExpectRestores("/a", next.snapshot_id);
  EXPECT_EQ(Backup({"/a"}).sinks[0].base_snapshot_id, next.snapshot_id);
}

TEST_F(DeltaTest, AnotherLineageGetsAFullDump) {
  Fill(50);
  ASSERT_EQ(Backup({"/a"}).outcome, Outcome::kOk);
  cache_.reset();
  ASSERT_EQ(RestoreFrom("/a", "/l2b").outcome, Outcome::kOk);
  cache_ = OpenCache("/l2b");
  const BackupReport other = Backup({"/a"});
  ASSERT_EQ(other.outcome, Outcome::kOk) << other.status;
  EXPECT_EQ(other.sinks[0].base_snapshot_id, "");
  ExpectRestores("/a", other.snapshot_id);
}

TEST_F(DeltaTest, WithoutItsBaseADeltaIsNotComplete) {
  Fill(50);
  const std::string full = Backup({"/a"}).snapshot_id;
  Put("pages", "key0", "2");
  const std::string delta = Backup({"/a"}).snapshot_id;
  ASSERT_TRUE(disk_.Remove(Open("/a").ManifestPath(full)).ok());
  const auto listed = Open("/a").List();
  ASSERT_EQ(listed->size(), 1);
  EXPECT_FALSE((*listed)[0].complete);
  EXPECT_THAT((*listed)[0].incomplete_reason, HasSubstr(full));
  const RestoreReport report = RestoreFrom("/a", "/new", delta);
  EXPECT_TRUE(absl::IsDataLoss(report.status)) << report.status;
  EXPECT_FALSE(disk_.Exists("/new"));
  // Nor does anything build on it.
  EXPECT_EQ(Backup({"/a"}).sinks[0].base_snapshot_id, "");
}

TEST_F(DeltaTest, AnyHistoryRestoresAtEachOfItsSnapshots) {
  uint64_t seed = GTEST_FLAG_GET(random_seed);
  if (seed == 0) seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("to repeat: --gtest_random_seed=", seed));
  std::mt19937_64 random(seed);
  Fill(100);
  std::vector<std::pair<std::string, std::string>> made;  // Archive, snapshot.
  for (int step = 0; step < 20; ++step) {
    for (uint64_t i = random() % 60; i > 0; --i) {
      const std::string ns = random() % 2 == 0 ? "pages" : "images";
      const std::string key = absl::StrCat("key", random() % 150);
      if (random() % 3 == 0) {
        Delete(ns, key);
      } else {
        Put(ns, key, RandomBytes(random(), random() % 4000));
      }
    }
    if (random() % 5 == 0) {
      cache_.reset();
      cache_ = OpenCache("/l2");
    }
    std::vector<std::string> archives;
    for (const char* archive : {"/a", "/b", "/c"}) {
      if (random() % 2 == 0) archives.push_back(archive);
    }
    if (archives.empty()) continue;
    BackupRequest request;
    request.full = random() % 10 == 0;
    const BackupReport report = Backup(archives, request);
    ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
    for (const std::string& archive : archives) {
      made.emplace_back(archive, report.snapshot_id);
    }
  }
  for (const auto& [archive, id] : made) {
    ExpectRestores(archive, id);
    ExpectRecords(archive, id);
  }
}

// A fake cache, whose dumps are small enough to damage everywhere.
class DamagedDeltaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    cache_ = MakeFakeCache(24, 300);
    Run(1);
    // Some change, some go, some come.
    int i = 0;
    for (auto it = cache_.blobs.begin(); it != cache_.blobs.end(); ++i) {
      it = i % 7 == 3 ? cache_.blobs.erase(it) : std::next(it);
    }
    const uint64_t later = cache_.info.complete_through.value + 1;
    const std::vector<BlobKey> keys = Keys();
    for (size_t k = 0; k < keys.size(); k += 4) {
      cache_.Put(keys[k].first, keys[k].second, RandomBytes(k + 500, 250),
                 later + k);
    }
    cache_.Put(keys[0].first, "zz-new", RandomBytes(900, 250), later + 1000);
    cache_.info.hlc.value += 5000;
    cache_.info.complete_through = cache_.info.hlc;
    ++cache_.info.epoch;
    Run(2);
  }
  std::vector<BlobKey> Keys() const {
    std::vector<BlobKey> keys;
    for (const auto& [key, blob] : cache_.blobs) keys.push_back(key);
    return keys;
  }
  void Run(uint64_t seed) {
    TestBackupOptions options;
    options.random_seed = seed;
    options.pack_bytes = 700;
    options.unix_ms += static_cast<int64_t>(seed) * 1000;
    const BackupReport report =
        TestBackup(&cache_, "/archive", &disk_, std::move(options));
    ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
    ids_.push_back(report.snapshot_id);
  }
  std::vector<std::string> PacksOf(const std::string& id) {
    const auto archive = Archive::Open("/archive", &disk_);
    const auto entry = archive->Find(id);
    EXPECT_TRUE(entry.ok()) << entry.status();
    std::vector<std::string> paths;
    for (const auto& pack : entry->manifest.packs()) {
      paths.push_back(archive->PackPath(pack.name()));
    }
    return paths;
  }
  // Whatever was damaged: no blob has a value that the snapshot did not have,
  // and each that is missing is told. Returns how many are missing.
  int64_t ExpectRestoresOrTells(const std::string& what) {
    const std::string target = absl::StrCat("/new", ++targets_);
    FakeCache restored;
    restored.blobs.clear();
    const auto archive = Archive::Open("/archive", &disk_);
    const RestoreReport report =
        TestRestore(*archive, target, &disk_, &restored, {});
    EXPECT_NE(report.outcome, Outcome::kFailed) << what << report.status;
    if (report.outcome == Outcome::kFailed) return -1;
    std::set<BlobKey> told;
    int64_t unnamed = 0;
    for (const Loss& loss : report.lost.listed) {
      if (loss.kind == Loss::Kind::kUnnamedBlobs) unnamed += loss.count;
      if (loss.kind == Loss::Kind::kBlob) told.insert({loss.ns, loss.name});
    }
    int64_t missing = 0;
    for (const auto& [key, blob] : cache_.blobs) {
      if (restored.blobs.contains(key)) {
        EXPECT_EQ(restored.Bytes(key), cache_.Bytes(key))
            << what << ": " << key.second;
      } else {
        ++missing;
        EXPECT_TRUE(told.contains(key) || unnamed > 0)
            << what << ": not told: " << key.second;
      }
    }
    for (const auto& [key, blob] : restored.blobs) {
      EXPECT_TRUE(cache_.blobs.contains(key)) << what << ": " << key.second;
      EXPECT_FALSE(told.contains(key)) << what << ": told: " << key.second;
    }
    EXPECT_EQ(report.digest_equal, missing == 0) << what;
    return missing;
  }

  SimulatedDisk disk_;
  FakeCache cache_;
  std::vector<std::string> ids_;
  int targets_ = 0;
};

TEST_F(DamagedDeltaTest, Sound) {
  const auto archive = Archive::Open("/archive", &disk_);
  EXPECT_EQ(archive->Find("")->deltas, 1);
  EXPECT_EQ(ExpectRestoresOrTells("sound"), 0);
}

TEST_F(DamagedDeltaTest, AnyByteOfTheDelta) {
  int64_t most = 0;
  for (const std::string& path : PacksOf(ids_[1])) {
    const auto file = disk_.Open(path, {});
    ASSERT_TRUE(file.ok());
    std::string bytes((*file)->Size(), '\0');
    ASSERT_TRUE((*file)->ReadAt(0, absl::MakeSpan(bytes)).ok());
    for (size_t at = 0; at < bytes.size(); at += 7) {
      const std::string flipped(1, static_cast<char>(bytes[at] ^ 0x10));
      ASSERT_TRUE((*file)->WriteAt(at, flipped).ok());
      const int64_t missing =
          ExpectRestoresOrTells(absl::StrCat(path, " at ", at));
      most = std::max(most, missing);
      ASSERT_TRUE((*file)->WriteAt(at, bytes.substr(at, 1)).ok());
    }
  }
  // Two ranges of three blobs share a chunk.
  EXPECT_GT(most, 0);
  EXPECT_LE(most, 6);
}

TEST_F(DamagedDeltaTest, AnyByteOfTheBase) {
  int64_t most = 0;
  for (const std::string& path : PacksOf(ids_[0])) {
    const auto file = disk_.Open(path, {});
    ASSERT_TRUE(file.ok());
    std::string bytes((*file)->Size(), '\0');
    ASSERT_TRUE((*file)->ReadAt(0, absl::MakeSpan(bytes)).ok());
    for (size_t at = 0; at < bytes.size(); at += 13) {
      const std::string flipped(1, static_cast<char>(bytes[at] ^ 0x10));
      ASSERT_TRUE((*file)->WriteAt(at, flipped).ok());
      most =
          std::max(most, ExpectRestoresOrTells(absl::StrCat(path, " at ", at)));
      ASSERT_TRUE((*file)->WriteAt(at, bytes.substr(at, 1)).ok());
    }
  }
  EXPECT_GT(most, 0);
  EXPECT_LE(most, 4);  // A range of the base.
}

TEST_F(DamagedDeltaTest, AnyPackOfTheDeltaIsGone) {
  for (const std::string& path : PacksOf(ids_[1])) {
    const auto file = disk_.Open(path, {});
    ASSERT_TRUE(file.ok());
    std::string bytes((*file)->Size(), '\0');
    ASSERT_TRUE((*file)->ReadAt(0, absl::MakeSpan(bytes)).ok());
    ASSERT_TRUE((*file)->WriteAt(0, std::string(bytes.size(), '\0')).ok());
    ExpectRestoresOrTells(path);
    ASSERT_TRUE((*file)->WriteAt(0, bytes).ok());
  }
}

// The last delta of a chain and its fold, with a fault at each operation: what
// is listed is whole, and the snapshots before are as they were.
TEST(FoldTest, AFaultAtAnyOperationHurtsNothing) {
  int folded = 0;
  for (uint64_t at = 0;; ++at) {
    SCOPED_TRACE(absl::StrCat("operation ", at));
    FakeCache cache = MakeFakeCache(6, 200);
    SimulatedDisk disk;
    const auto backup = [&](int i) {
      ++cache.info.epoch;
      cache.Put("pages", "changing", absl::StrCat(i),
                cache.info.complete_through.value + 1);
      cache.info.hlc.value += 10;
      cache.info.complete_through = cache.info.hlc;
      TestBackupOptions options;
      options.random_seed = static_cast<uint64_t>(i) + 1;
      options.unix_ms += i * 1000;
      return TestBackup(&cache, "/archive", &disk, std::move(options));
    };
    for (int i = 0; i < format::kDeltasPerChainMax; ++i) {
      ASSERT_EQ(backup(i).outcome, Outcome::kOk);
    }
    const uint64_t before = disk.operation_count();
    disk.InjectFault(before + at,
                     SimulatedDisk::Fault::Fail(at % 2 == 0 ? EIO : ENOSPC));
    const BackupReport report = backup(format::kDeltasPerChainMax);
    if (disk.operation_count() <= before + at) break;  // Beyond the last.
    const auto archive = Archive::Open("/archive", &disk);
    ASSERT_TRUE(archive.ok());
    const auto listed = archive->List();
    ASSERT_TRUE(listed.ok()) << listed.status();
    const size_t expected = static_cast<size_t>(format::kDeltasPerChainMax) +
                            (report.outcome == Outcome::kOk ? 1 : 0);
    ASSERT_EQ(listed->size(), expected);
    for (const SnapshotEntry& entry : *listed) {
      EXPECT_TRUE(entry.complete) << entry.incomplete_reason;
    }
    const auto verdict = VerifyArchive(*archive, {});
    ASSERT_TRUE(verdict.ok()) << verdict.status();
    EXPECT_TRUE(verdict->status.ok()) << verdict->status;
    if (report.outcome == Outcome::kOk) {
      folded += listed->back().manifest.references_size() > 0 ? 1 : 0;
      FakeCache restored;
      const RestoreReport back =
          TestRestore(*archive, "/new", &disk, &restored, {});
      EXPECT_EQ(back.outcome, Outcome::kOk) << back.status;
      EXPECT_TRUE(back.digest_equal);
    }
    // And the next one works, and cleans up.
    EXPECT_EQ(backup(format::kDeltasPerChainMax + 1).outcome, Outcome::kOk);
    EXPECT_EQ(VerifyArchive(*archive, {})->leftover_files, 0);
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_GT(folded, 0);
}

}  // namespace
}  // namespace larder::backup
