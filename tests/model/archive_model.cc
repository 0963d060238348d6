#include "tests/model/archive_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/blob_cache_source.h"
#include "backup/directory_sink.h"
#include "backup/orchestrator.h"
#include "tests/support/history.h"

namespace larder::tests {
namespace {

using backup::Archive;
using backup::Outcome;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

// A restore reads the invalidations of all newer ones.
constexpr size_t kDumpsMax = 10;

}  // namespace

std::string ArchiveModel::path() const {
  return absl::StrCat("/archive-", archive_);
}

void ArchiveModel::MakeRoom() {
  if (dumps_.size() < kDumpsMax) return;
  const absl::Status removed = disk_.RemoveTree(path());
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_TRUE(disk_.SyncDirectory("/").ok());
  dumps_.clear();
  ++archive_;
}

void ArchiveModel::TakeContents(const cache::Snapshot& snapshot, Dump* dump) {
  dump->info = snapshot.info();
  std::map<std::pair<std::string, std::string>, cache::Hlc> held;
  cache::Snapshot::Position position;
  std::vector<cache::StoredRecord> records;
  std::vector<std::string> damage;
  while (!position.at_end) {
    const absl::Status read = snapshot.Read(100, &position, &records, &damage);
    if (*died_) return;
    ASSERT_TRUE(read.ok()) << read;
  }
  EXPECT_THAT(damage, ElementsAre());
  for (const auto& r : records) held[{r.ns, r.key}] = r.attributes.hlc;
  const int64_t now = clock_->NowUnixMillis();
  std::erase_if(dump->state.contents, [&](const auto& entry) {
    const auto& [name, blob] = entry;
    const auto it = held.find(name);
    if (it != held.end() && it->second == blob.hlc) return false;
    EXPECT_TRUE(evicting_ || IsExpired(blob, now) ||
                blob.options.idle_ttl_ms > 0)
        << name.first << "/" << name.second << " of hlc " << blob.hlc.value
        << " is not in the snapshot";
    return true;
  });
  for (const auto& [ns, generation] : dump->state.generations) {
    uint64_t found = 0;
    for (const auto& n : dump->info.namespaces) {
      if (n.name == ns) found = n.generation;
    }
    EXPECT_EQ(found, generation) << ns;
  }
}

void ArchiveModel::Backup(cache::BlobCache* cache, const Oracle::State& state,
                          uint64_t shape, uint64_t seed) {
  Dump dump;
  dump.state = state;
  ++backups_;
  backup::BackupOrchestrator orchestrator(
      {.clock = clock_,
       // Two of one millisecond differ, whatever is left of their seeds.
       .random_seed = seed + static_cast<uint64_t>(backups_) + 1});
  backup::BlobCacheSource::Options source;
  source.required = true;
  const std::array<int64_t, 3> sizes = {1, 7, 1000};
  source.range_records_max = sizes[shape % 3];
  source.frame_chunk_bytes = source.range_records_max * 10'000;
  orchestrator.AddSource(std::make_unique<backup::BlobCacheSource>(
      [&](const auto& pin) -> absl::StatusOr<std::unique_ptr<cache::Snapshot>> {
        auto snapshot = cache->TakeSnapshot(pin);
        if (snapshot.ok()) TakeContents(**snapshot, &dump);
        return snapshot;
      },
      source));
  orchestrator.AddSink(backup::DirectorySink::Create(
      path(), {.pack_bytes = shape % 2 == 0 ? 50'000 : 32 << 20,
               .file_system = &disk_}));
  backup::BackupRequest request;
  request.include_blob_cache = true;
  // Chains cost time to restore: short ones will do, most of the time.
  request.full = shape % 3 != 0;
  const backup::BackupReport report = orchestrator.Run(request);
  dump.id = report.snapshot_id;
  if (*died_) {
    cut_short_ = std::move(dump);
    return;
  }
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_EQ(report.sources[0].info.cache().records(), dump.info.records);
  dumps_.push_back(std::move(dump));
  for (Dump& d : dumps_) d.acknowledged = true;
}

void ArchiveModel::CheckListing(bool after_death) {
  absl::StatusOr<std::vector<backup::SnapshotEntry>> entries;
  const auto archive = Archive::Open(path(), &disk_);
  if (archive.ok()) {
    entries = archive->List();
    ASSERT_TRUE(entries.ok()) << entries.status();
  } else {
    // Its creation was cut short, too: before its directory or within.
    ASSERT_TRUE(after_death && (absl::IsNotFound(archive.status()) ||
                                absl::IsFailedPrecondition(archive.status())))
        << archive.status();
    entries.emplace();
  }
  if (after_death) {
    std::erase_if(dumps_, [&](const Dump& d) {
      return !d.acknowledged &&
             std::none_of(entries->begin(), entries->end(),
                          [&](const auto& entry) { return entry.id == d.id; });
    });
  }
  size_t at = 0;
  std::set<std::string> packs;
  for (const backup::SnapshotEntry& entry : *entries) {
    EXPECT_TRUE(entry.status.ok()) << entry.status;
    EXPECT_TRUE(entry.complete) << entry.incomplete_reason;
    for (const auto* named :
         {&entry.manifest.packs(), &entry.manifest.references()}) {
      for (const auto& pack : *named) packs.insert(pack.name());
    }
    if (at == dumps_.size() && cut_short_.has_value() &&
        entry.id == cut_short_->id) {
      dumps_.push_back(*std::exchange(cut_short_, std::nullopt));
    }
    ASSERT_LT(at, dumps_.size()) << entry.id;
    EXPECT_EQ(entry.id, dumps_[at].id);
    EXPECT_EQ(entry.manifest.header().sources(0).cache().records(),
              dumps_[at].info.records);
    ++at;
  }
  EXPECT_EQ(at, dumps_.size()) << dumps_[at].id << " is not listed";
  if (after_death) return;
  const auto files = disk_.List(absl::StrCat(path(), "/packs"));
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(files->size(), packs.size());
}

void ArchiveModel::CheckAfterDeath() {
  if (cut_short_.has_value()) ++deaths_survived_;
  CheckListing(/*after_death=*/true);
  cut_short_.reset();
}

bool ArchiveModel::Reaches(const Dump& newer, const Dump& older) {
  const std::string& lineage = older.info.lineage;
  const std::vector<std::string>& ancestors = newer.info.ancestors;
  return newer.info.lineage == lineage ||
         std::find(ancestors.begin(), ancestors.end(), lineage) !=
             ancestors.end();
}

void ArchiveModel::CheckPlan(const Dump& dump,
                             const backup::RestorePlan& plan) const {
  std::vector<std::string> reaching, others;
  for (const Dump* d = &dump + 1; d < dumps_.data() + dumps_.size(); ++d) {
    (Reaches(*d, dump) ? reaching : others).push_back(d->id);
  }
  EXPECT_EQ(plan.snapshot.id, dump.id);
  EXPECT_THAT(plan.newer_snapshots, ElementsAreArray(reaching));
  EXPECT_THAT(plan.newer_of_other_lineages, ElementsAreArray(others));
}

Oracle::State ArchiveModel::Expected(uint64_t which) const {
  const Dump& dump = Pick(which);
  Oracle::State state = dump.state;
  for (const Dump* d = &dump + 1; d < dumps_.data() + dumps_.size(); ++d) {
    if (!Reaches(*d, dump)) continue;
    state.certain.Merge(d->state.certain);
    state.possible.Merge(d->state.possible);
    for (const auto& [ns, generation] : d->state.generations) {
      uint64_t& most = state.generations[ns];
      most = std::max(most, generation);
    }
  }
  return state;
}

std::optional<Oracle::State> ArchiveModel::Restore(
    uint64_t which, const cache::BlobCacheOptions& target) {
  const auto archive = Archive::Open(path(), &disk_);
  if (*died_) return std::nullopt;
  EXPECT_TRUE(archive.ok()) << archive.status();
  if (!archive.ok()) return std::nullopt;
  const Dump& dump = Pick(which);
  backup::RestoreOptions options;
  options.snapshot_id = dump.id;
  options.cache = target;
  const backup::RestoreReport report = backup::Restore(*archive, options);
  if (*died_) return std::nullopt;
  EXPECT_EQ(report.outcome, Outcome::kOk) << report.status;
  if (report.outcome != Outcome::kOk) return std::nullopt;
  CheckPlan(dump, report.plan);
  EXPECT_THAT(report.warnings, ElementsAre());
  EXPECT_TRUE(report.lost.empty());
  EXPECT_EQ(report.records_restored + report.records_skipped,
            dump.info.records);
  EXPECT_EQ(report.digest_equal, report.records_skipped == 0);
  EXPECT_NE(report.restored.lineage, dump.info.lineage);
  skipping_ += report.records_skipped > 0 ? 1 : 0;
  return Expected(which);
}

}  // namespace larder::tests
