#include "backup/diff.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/blob_cache_source.h"
#include "backup/directory_sink.h"
#include "backup/orchestrator.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Of a blob: which put wrote it, and its size.
using Model =
    std::map<std::pair<std::string, std::string>, std::pair<uint64_t, int64_t>>;

// The real cache, and what it should hold.
class DiffTest : public ::testing::Test {
 protected:
  void SetUp() override {
    cache::BlobCacheOptions options;
    options.l2_path = "/l2";
    options.l1_bytes_max = 1 << 20;
    options.l2_bytes_max = int64_t{256} << 20;
    options.background_commits = false;
    options.clock = &clock_;
    options.file_system = &disk_;
    auto opened = cache::BlobCache::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    cache_ = *std::move(opened);
  }
  void Put(const std::string& ns, const std::string& key, size_t bytes) {
    ASSERT_TRUE(cache_->Put(ns, key, std::string(bytes, 'x'), {}).ok());
    model_[{ns, key}] = {++puts_, static_cast<int64_t>(bytes)};
  }
  void Delete(const std::string& ns, const std::string& key) {
    ASSERT_TRUE(cache_->InvalidateKey(ns, key).ok());
    model_.erase({ns, key});
  }
  std::string Backup(bool include_blob_cache = true) {
    clock_.AdvanceMillis(1000);
    BackupOrchestrator orchestrator({.clock = &clock_, .random_seed = ++seed_});
    orchestrator.AddSource(std::make_unique<BlobCacheSource>(
        [this](const auto& pin) { return cache_->TakeSnapshot(pin); },
        BlobCacheSource::Options()));
    orchestrator.AddSink(
        DirectorySink::Create("/archive", {.file_system = &disk_}));
    const BackupReport report =
        orchestrator.Run({.include_blob_cache = include_blob_cache});
    EXPECT_EQ(report.outcome, Outcome::kOk) << report.status;
    models_[report.snapshot_id] = model_;
    return report.snapshot_id;
  }
  absl::StatusOr<DiffReport> Diff(const std::string& before,
                                  const std::string& after) {
    told_.clear();
    DiffOptions options;
    options.clock = &clock_;
    options.on_difference = [this](const BlobDifference& d) {
      told_.push_back(absl::StrCat(d.change == BlobChange::kAdded     ? "+"
                                   : d.change == BlobChange::kRemoved ? "-"
                                                                      : "*",
                                   d.ns, " ", d.key, " ", d.bytes_before, " ",
                                   d.bytes_after));
    };
    return DiffSnapshots(*Archive::Open("/archive", &disk_), before, after,
                         options);
  }
  // What Diff() should tell of two of the models.
  std::vector<std::string> Expected(const std::string& before,
                                    const std::string& after) {
    std::map<std::pair<std::string, std::string>, std::string> lines;
    const Model& a = models_.at(before);
    const Model& b = models_.at(after);
    for (const auto& [name, put] : a) {
      const auto at = b.find(name);
      if (at == b.end()) {
        lines[name] = absl::StrCat("-", name.first, " ", name.second, " ",
                                   put.second, " 0");
      } else if (at->second.first != put.first) {
        lines[name] = absl::StrCat("*", name.first, " ", name.second, " ",
                                   put.second, " ", at->second.second);
      }
    }
    for (const auto& [name, put] : b) {
      if (a.contains(name)) continue;
      lines[name] =
          absl::StrCat("+", name.first, " ", name.second, " 0 ", put.second);
    }
    std::vector<std::string> expected;
    for (auto& [name, line] : lines) expected.push_back(std::move(line));
    return expected;
  }

  cache::l2::SimulatedDisk disk_;
  cache::ManualClock clock_{1'700'000'000'000};
  std::unique_ptr<cache::BlobCache> cache_;
  uint64_t seed_ = 0;
  uint64_t puts_ = 0;
  Model model_;
  std::map<std::string, Model> models_;
  std::vector<std::string> told_;
};

TEST_F(DiffTest, TellsWhatCameWentAndChanged) {
  Put("images", "gone", 100);
  Put("pages", "same", 10);
  Put("pages", "grown", 20);
  Put("pages", "again", 30);
  const std::string before = Backup();
  Delete("images", "gone");
  Put("pages", "grown", 25);
  Put("pages", "again", 30);
  Put("pages", "new", 7);
  const std::string after = Backup();

  const auto report = Diff(before, after);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(told_, ElementsAre("-images gone 100 0", "*pages again 30 30",
                                 "*pages grown 20 25", "+pages new 0 7"));
  EXPECT_EQ(report->source, "cache");
  EXPECT_TRUE(report->unprotected.ok()) << report->unprotected;
  EXPECT_EQ(report->unchanged, 1);
  ASSERT_THAT(report->namespaces, SizeIs(2));
  EXPECT_EQ(report->namespaces[0].ns, "images");
  EXPECT_EQ(report->namespaces[0].removed.blobs, 1);
  EXPECT_EQ(report->namespaces[0].removed.bytes_before, 100);
  EXPECT_EQ(report->namespaces[1].changed.blobs, 2);
  EXPECT_EQ(report->namespaces[1].changed.bytes_before, 50);
  EXPECT_EQ(report->namespaces[1].changed.bytes_after, 55);
  EXPECT_EQ(report->namespaces[1].added.bytes_after, 7);
  EXPECT_EQ(report->total.changed.blobs, 2);
  EXPECT_EQ(report->total.removed.blobs, 1);
  // Its lease is given back.
  EXPECT_THAT(*disk_.List("/archive/leases"), IsEmpty());
}

TEST_F(DiffTest, AnySnapshotsOfAnyHistoryDifferAsTheirModelsDo) {
  uint64_t seed = GTEST_FLAG_GET(random_seed);
  if (seed == 0) seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("to repeat: --gtest_random_seed=", seed));
  std::mt19937_64 random(seed);
  std::vector<std::string> made;
  // More than a chain holds.
  for (int step = 0; step < 12; ++step) {
    for (uint64_t i = random() % 80; i > 0; --i) {
      const std::string ns = absl::StrCat("ns", random() % 3);
      const std::string key = absl::StrCat("key", random() % 200);
      if (random() % 3 == 0) {
        Delete(ns, key);
      } else {
        Put(ns, key, random() % 3000);
      }
    }
    made.push_back(Backup());
  }
  for (const std::string& before : made) {
    for (const std::string& after : made) {
      const auto report = Diff(before, after);
      ASSERT_TRUE(report.ok()) << report.status();
      ASSERT_EQ(told_, Expected(before, after)) << before << " " << after;
      EXPECT_EQ(report->unchanged + report->total.added.blobs +
                    report->total.changed.blobs,
                static_cast<int64_t>(models_.at(after).size()));
    }
  }
}

TEST_F(DiffTest, SaysWhyThereIsNoAnswer) {
  Put("pages", "a", 10);
  const std::string whole = Backup();
  const std::string without_blobs = Backup(/*include_blob_cache=*/false);
  EXPECT_EQ(Diff(whole, "nothing").status().code(),
            absl::StatusCode::kNotFound);
  const auto blobless = Diff(whole, without_blobs).status();
  EXPECT_EQ(blobless.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(blobless.message()), HasSubstr(without_blobs));
  // A damaged chunk could hide a difference.
  const Archive archive = *Archive::Open("/archive", &disk_);
  const auto entry = archive.Find(whole);
  const std::string pack = archive.PackPath(entry->manifest.packs(0).name());
  const uint64_t size = entry->manifest.packs(0).bytes();
  int damaged = 0;
  for (uint64_t at = 40; at < size; at += 16) {
    ASSERT_TRUE(disk_.FlipBit(pack, at, 3).ok());
    const auto report = Diff(whole, whole);
    if (report.ok()) {
      EXPECT_EQ(report->unchanged, 1);
    } else {
      EXPECT_EQ(report.status().code(), absl::StatusCode::kDataLoss);
      ++damaged;
    }
    ASSERT_TRUE(disk_.FlipBit(pack, at, 3).ok());
  }
  EXPECT_GT(damaged, 0);
}

}  // namespace
}  // namespace larder::backup
