// Cuts the power after every operation of a repair that changes something, and
// makes every one of its operations fail: the directory is as it was or
// repaired, what could be read can be read, and a second repair ends as the
// first one would have.
//
// Replay of one: LARDER_FIRST=N LARDER_COUNT=1 with --gtest_filter.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2_image.h"
#include "cache/options.h"
#include "cache/repair.h"
#include "cache/verify.h"
#include "tests/support/content.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

using cache::BlobCache;
using cache::L2Anatomy;
using cache::L2Image;
using Disk = cache::l2::SimulatedDisk;
using Name = L2Anatomy::Name;
using Served = std::map<Name, std::string>;

constexpr char kDirectory[] = "/l2";
constexpr int64_t kNow = 1'700'000'000'000;
constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kUnitBytes = 128;
constexpr int kKeys = 90;

std::string KeyName(int i) { return absl::StrCat("key/", 1000 + i); }

bool Writes(const Disk::Operation& now) {
  switch (now.kind) {
    case Disk::OperationKind::kWrite:
    case Disk::OperationKind::kSync:
    case Disk::OperationKind::kResize:
    case Disk::OperationKind::kSyncDirectory:
      return true;
    default:
      return false;
  }
}

class RepairFaultTest : public ::testing::Test {
 protected:
  cache::BlobCacheOptions Options(Disk* disk) {
    cache::BlobCacheOptions o;
    o.l2_path = kDirectory;
    o.l2_bytes_max = int64_t{16} << 20;
    o.l1_bytes_max = 1 << 20;
    o.l1_shards = 1;
    o.background_commits = false;
    o.clock = &clock_;
    o.file_system = disk;
    o.random_seed = 7;
    return o;
  }

  void SetUp() override {
    Disk disk;
    auto opened = BlobCache::Open(Options(&disk));
    ASSERT_TRUE(opened.ok()) << opened.status();
    BlobCache* cache = opened->get();
    const auto put = [&](const std::string& ns, int i, uint64_t content) {
      cache::PutOptions options;
      if (i % 7 == 0) options.tags = {"seven"};
      if (i % 9 == 0) options.ttl_ms = 3'600'000;
      const std::string bytes = ContentOf(content, 2'000);
      ASSERT_TRUE(cache->Put(ns, KeyName(i), bytes, options).ok());
      alive_[{ns, KeyName(i)}] = bytes;
    };
    for (int i = 0; i < kKeys; ++i) put("a", i, static_cast<uint64_t>(i) + 1);
    for (int i = 0; i < 8; ++i) put("b", i, static_cast<uint64_t>(i) + 501);
    ASSERT_TRUE(cache->Flush().ok());
    // The first leaves get newer copies.
    for (int i = 0; i < 20; i += 5) {
      put("a", i, static_cast<uint64_t>(i) + 1001);
    }
    ASSERT_TRUE(cache->InvalidateKey("a", KeyName(3)).ok());
    ASSERT_TRUE(cache->Flush().ok());
    ASSERT_TRUE(cache->InvalidateKey("a", KeyName(4)).ok());
    ASSERT_TRUE(cache->InvalidateTags("a", {"seven"}).ok());
    for (int i = 0; i < kKeys; ++i) {
      if (i % 7 == 0 || i == 3 || i == 4) alive_.erase({"a", KeyName(i)});
    }
    disk.KillProcess();
    opened->reset();
    image_ = cache::ReadImage(&disk, kDirectory);
    whole_ = cache::Dissect(image_);
  }

  void Scramble(const std::string& file, uint64_t offset, uint64_t length) {
    std::string& bytes = image_.at(file);
    for (uint64_t i = offset; i < offset + length; ++i) bytes[i] ^= 0x5a;
  }
  void ScramblePage(uint64_t page) {
    Scramble("meta", page * kPageBytes + 700, 90);
  }

  // A leaf of records, a chain, a page of the due tree, one bit of the age
  // tree, a sector of the map, and one copy of the superblock.
  void DamageALittleOfAll() {
    ScramblePage(whole_.Find("a", KeyName(11))->path.back());
    const auto* blob = whole_.Find("b", KeyName(1));
    for (int i = 1; blob->record.extents.empty(); ++i) {
      blob = whole_.Find("b", KeyName(i));
    }
    Scramble("blobs", blob->record.extents[0].first * kUnitBytes + 30, 9);
    ScramblePage(whole_.due_pages.back());
    image_.at("meta")[whole_.age_pages.back() * kPageBytes + 300] ^= 4;
    Scramble("space", 100, 5);
    Scramble("meta", 2 * (whole_.superblock.epoch % 2) * kPageBytes + 30, 8);
  }
  // The way to all records, which are then only on pages that nothing leads to.
  void DamageTheRoot() {
    ScramblePage(whole_.records_pages.front());
    ScramblePage(whole_.due_pages.front());
  }
  // What tells what was flushed.
  void DamageNamespaces() { ScramblePage(whole_.system_pages.back()); }

  // What a cache on this image serves, if it opens; all must be right.
  std::optional<Served> Serve(const L2Image& image) {
    Disk disk;
    cache::WriteImage(image, &disk, kDirectory);
    auto opened = BlobCache::Open(Options(&disk));
    if (!opened.ok()) {
      EXPECT_TRUE(absl::IsDataLoss(opened.status())) << opened.status();
      return std::nullopt;
    }
    Served served;
    for (const std::string ns : {"a", "b"}) {
      for (int i = 0; i < kKeys; ++i) {
        const auto hit = (*opened)->Get(ns, KeyName(i));
        if (!hit.has_value()) continue;
        const auto alive = alive_.find({ns, KeyName(i)});
        EXPECT_TRUE(alive != alive_.end()) << KeyName(i) << " came back";
        if (alive == alive_.end()) continue;
        EXPECT_TRUE(hit->bytes() == alive->second) << KeyName(i);
        served[alive->first] = alive->second;
      }
    }
    return served;
  }

  static bool Holds(const Served& all, const Served& some) {
    return std::includes(all.begin(), all.end(), some.begin(), some.end());
  }

  // Runs the whole repair, and notes where it writes and what it leaves.
  void RunUndisturbed() {
    before_ = Serve(image_);
    Disk disk;
    cache::WriteImage(image_, &disk, kDirectory);
    first_ = disk.operation_count();
    disk.SetHook([&](const Disk::Operation& now) {
      if (Writes(now)) writes_.push_back(now.index - first_);
      return absl::OkStatus();
    });
    const auto report = cache::RepairL2(Options(&disk));
    ASSERT_TRUE(report.ok()) << report.status();
    ASSERT_TRUE(report->after.clean());
    operations_ = disk.operation_count() - first_;
    disk.SetHook(nullptr);
    epoch_before_ = report->epoch_before;
    epoch_after_ = report->epoch;
    ASSERT_NE(epoch_before_, epoch_after_);
    repaired_ = *Serve(cache::ReadImage(&disk, kDirectory));
  }

  // After a repair on `disk` that did not end well, or did.
  void CheckAndRepairAgain(Disk* disk) {
    const L2Image left = cache::ReadImage(disk, kDirectory);
    const auto verified = cache::VerifyL2(Options(disk));
    ASSERT_TRUE(verified.ok()) << verified.status();
    const bool is_new = verified->epoch == epoch_after_;
    EXPECT_TRUE(is_new || verified->epoch == epoch_before_);
    const std::optional<Served> served = Serve(left);
    if (is_new) {
      // But for orphans, all is done; a superblock may lack its twin.
      EXPECT_LE(verified->damages, 1);
      EXPECT_TRUE(verified->accounting_ok && verified->digest_ok);
      ASSERT_TRUE(served.has_value());
      EXPECT_TRUE(*served == repaired_);
    } else if (before_.has_value()) {
      ASSERT_TRUE(served.has_value());
      EXPECT_TRUE(Holds(*served, *before_));
    }
    const auto again = cache::RepairL2(Options(disk));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE(again->after.clean());
    EXPECT_EQ(again->after.orphaned_bytes, 0);
    EXPECT_TRUE(!is_new || again->dropped_records == 0);
    const auto end = Serve(cache::ReadImage(disk, kDirectory));
    ASSERT_TRUE(end.has_value());
    EXPECT_TRUE(*end == repaired_)
        << end->size() << " blobs vs " << repaired_.size();
  }

  void CutPowerEverywhere() {
    ASSERT_NO_FATAL_FAILURE(RunUndisturbed());
    const uint64_t seed = SeedOr(1);
    const auto first = static_cast<uint64_t>(CountOr("LARDER_FIRST", 0));
    int64_t left = CountOr("LARDER_COUNT", 1'000'000);
    int64_t cuts = 0, published = 0;
    for (const uint64_t at : writes_) {
      if (at < first || left-- == 0) continue;
      for (uint64_t draw = 0; draw < 2; ++draw) {
        SCOPED_TRACE(absl::StrCat("LARDER_FIRST=", at, " draw ", draw));
        Disk disk;
        cache::WriteImage(image_, &disk, kDirectory);
        const uint64_t operation = disk.operation_count() + at + 1;
        bool dead = false;
        disk.SetHook([&](const Disk::Operation& now) {
          if (now.index < operation) return absl::OkStatus();
          if (!dead) disk.PowerCut(seed * 1'000'003 + 2 * at + draw);
          dead = true;
          return absl::UnavailableError("the process is dead");
        });
        const auto report = cache::RepairL2(Options(&disk));
        disk.SetHook(nullptr);
        if (!dead) disk.PowerCut(seed);
        EXPECT_EQ(report.ok(), !dead);
        const auto verified = cache::VerifyL2(Options(&disk));
        ASSERT_TRUE(verified.ok()) << verified.status();
        published += verified->epoch == epoch_after_;
        CheckAndRepairAgain(&disk);
        if (HasFailure()) return;
        ++cuts;
      }
    }
    std::printf(
        "%lld power cuts in %zu writes and syncs, %lld after the "
        "commit\n",
        static_cast<long long>(cuts), writes_.size(),
        static_cast<long long>(published));
    EXPECT_TRUE(left < 0 || cuts > 15);
  }

  void FailEverywhere(const Disk::Fault& fault, uint64_t stride) {
    ASSERT_NO_FATAL_FAILURE(RunUndisturbed());
    const auto first = static_cast<uint64_t>(CountOr("LARDER_FIRST", 0));
    int64_t left = CountOr("LARDER_COUNT", 1'000'000);
    int64_t faults = 0, failures = 0;
    for (uint64_t at = first; at < operations_ && left > 0; ++at) {
      const bool is_write =
          std::binary_search(writes_.begin(), writes_.end(), at);
      if (!is_write && at % stride != 0) continue;
      --left;
      SCOPED_TRACE(absl::StrCat("LARDER_FIRST=", at));
      Disk disk;
      cache::WriteImage(image_, &disk, kDirectory);
      disk.InjectFault(disk.operation_count() + at, fault);
      const auto report = cache::RepairL2(Options(&disk));
      failures += !report.ok();
      if (report.ok()) {
        EXPECT_TRUE(report->after.clean());
      } else {
        EXPECT_TRUE(absl::IsDataLoss(report.status()) ||
                    absl::IsResourceExhausted(report.status()) ||
                    absl::IsUnavailable(report.status()))
            << report.status();
        EXPECT_TRUE(absl::StrContains(report.status().message(), kDirectory))
            << report.status();
      }
      CheckAndRepairAgain(&disk);
      if (HasFailure()) return;
      ++faults;
    }
    std::printf("%lld faults in %llu operations, %lld of them errors\n",
                static_cast<long long>(faults),
                static_cast<unsigned long long>(operations_),
                static_cast<long long>(failures));
    EXPECT_TRUE(left == 0 || failures > 10);
  }

  cache::ManualClock clock_{kNow};
  Served alive_;
  L2Image image_;
  L2Anatomy whole_;
  std::optional<Served> before_;  // What an open serves, if there is one.
  Served repaired_;
  uint64_t first_ = 0, operations_ = 0;
  std::vector<uint64_t> writes_;  // Counted from the first of the repair.
  uint64_t epoch_before_ = 0, epoch_after_ = 0;
};

TEST_F(RepairFaultTest, PowerCutWithALittleOfAllDamaged) {
  DamageALittleOfAll();
  CutPowerEverywhere();
}

TEST_F(RepairFaultTest, PowerCutWithTheRootOfRecordsDamaged) {
  DamageTheRoot();
  CutPowerEverywhere();
}

TEST_F(RepairFaultTest, PowerCutWithNamespacesDamaged) {
  DamageNamespaces();
  CutPowerEverywhere();
}

TEST_F(RepairFaultTest, EveryOperationFailsWithEio) {
  DamageALittleOfAll();
  FailEverywhere(Disk::Fault::Fail(EIO), 3);
}

TEST_F(RepairFaultTest, EveryOperationFailsWithEnospc) {
  DamageALittleOfAll();
  FailEverywhere(Disk::Fault::Fail(ENOSPC), 1'000'000);
}

TEST_F(RepairFaultTest, EveryWriteIsShort) {
  DamageTheRoot();
  FailEverywhere(Disk::Fault::ShortWrite(700, EIO), 1'000'000);
}

}  // namespace
}  // namespace larder::tests
