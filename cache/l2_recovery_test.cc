// What an L2 makes of what a failed sync, a lost write, or a full disk left.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"

namespace larder::cache {
namespace {

using Disk = l2::SimulatedDisk;

constexpr int64_t kStart = 1'700'000'000'000;
constexpr uint64_t kSectorBytes = 512;

class L2RecoveryTest : public ::testing::Test {
 protected:
  absl::Status Open() {
    cache_.reset();
    BlobCacheOptions o;
    o.l2_path = "/l2";
    o.l2_bytes_max = bytes_max_;
    o.l1_bytes_max = 1 << 20;
    o.l1_shards = 1;
    o.background_commits = false;
    o.compress_bytes_min = 1 << 20;
    o.clock = &clock_;
    o.file_system = disk_.get();
    o.random_seed = 7;
    auto opened = BlobCache::Open(o);
    if (opened.ok()) cache_ = *std::move(opened);
    return opened.status();
  }
  absl::Status Put(absl::string_view key, std::string value) {
    return cache_->Put("ns", key, value, {.l1_admission = L1Admission::kNever})
        .status();
  }
  std::string Get(absl::string_view key) {
    const auto hit = cache_->Get("ns", key);
    return hit.has_value() ? std::string(hit->bytes()) : "(miss)";
  }
  absl::Status ReclaimOrphans() {
    while (true) {
      const auto slice = cache_->ReclaimOrphansSlice({});
      if (!slice.ok() || slice->done) return slice.status();
    }
  }
  // Of a file that no process has open.
  std::string Read(const std::string& path, uint64_t offset, uint64_t bytes) {
    std::string found(bytes, '\0');
    const auto file = disk_->Open(path, {});
    EXPECT_TRUE(file.ok()) << file.status();
    EXPECT_TRUE((*file)->ReadAt(offset, absl::MakeSpan(found)).ok());
    return found;
  }
  void Write(const std::string& path, uint64_t offset,
             absl::string_view bytes) {
    const auto file = disk_->Open(path, {});
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->WriteAt(offset, bytes).ok());
    ASSERT_TRUE((*file)->Sync().ok());
  }

  int64_t bytes_max_ = int64_t{64} << 20;
  ManualClock clock_{kStart};
  std::unique_ptr<Disk> disk_ = std::make_unique<Disk>();
  std::unique_ptr<BlobCache> cache_;
};

// The system shows the superblock of a commit whose last sync failed, and does
// not write it at the next sync: it takes it for written.
TEST_F(L2RecoveryTest, WhatAFailedSyncLeftIsDurableOnceItIsSaidToBe) {
  for (uint64_t seed = 1; seed <= 16; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    cache_.reset();
    disk_ = std::make_unique<Disk>();
    ASSERT_TRUE(Open().ok());
    ASSERT_TRUE(Put("a", "1").ok());
    ASSERT_TRUE(cache_->Flush().ok());
    ASSERT_TRUE(Put("b", "2").ok());
    int syncs = 0;
    disk_->SetFaultScript([&](const Disk::Operation& now) {
      const bool is_last = now.kind == Disk::OperationKind::kSync &&
                           now.path == "/l2/meta" && ++syncs == 2;
      return is_last ? Disk::Fault::Fail(EIO) : Disk::Fault();
    });
    EXPECT_FALSE(cache_->Flush().ok());
    EXPECT_EQ(syncs, 2);
    disk_->SetFaultScript(nullptr);
    disk_->KillProcess();
    ASSERT_TRUE(Open().ok());
    ASSERT_EQ(Get("b"), "2");
    const int64_t durable = cache_->Stats().l2.durable_epoch;
    disk_->PowerCut(seed);
    ASSERT_TRUE(Open().ok());
    EXPECT_GE(cache_->Stats().l2.epoch, durable);
    EXPECT_EQ(Get("a"), "1");
    EXPECT_EQ(Get("b"), "2");
  }
}

// A sector of the map that is as an earlier flush left it has a checksum that
// is right: chains that came since are marked free.
TEST_F(L2RecoveryTest, AStaleSectorOfTheMapIsCountedAndNoReasonToDie) {
  const auto put = [&](int from, int until) {
    for (int i = from; i < until; ++i) {
      ASSERT_TRUE(Put(absl::StrCat("k", i), std::string(5000, 'v')).ok());
    }
  };
  ASSERT_TRUE(Open().ok());
  put(0, 20);
  cache_.reset();
  const std::string stale = Read("/l2/space", 0, kSectorBytes);
  ASSERT_TRUE(Open().ok());
  put(20, 40);
  cache_.reset();
  ASSERT_NE(Read("/l2/space", 0, kSectorBytes), stale);
  Write("/l2/space", 0, stale);

  ASSERT_TRUE(Open().ok());
  // Half of them overwritten, one of them where another one lies.
  put(30, 35);
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(cache_->InvalidateKey("ns", absl::StrCat("k", i)).ok());
  }
  ASSERT_TRUE(cache_->Flush().ok());
  EXPECT_GT(cache_->Stats().l2.damaged_reads, 0);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(Get(absl::StrCat("k", i)), "(miss)");
  EXPECT_TRUE(ReclaimOrphans().ok());
  put(40, 60);
  ASSERT_TRUE(Open().ok());
  for (int i = 40; i < 60; ++i) {
    EXPECT_EQ(Get(absl::StrCat("k", i)), std::string(5000, 'v'));
  }
}

class FullL2RecoveryTest : public L2RecoveryTest {
 protected:
  // An L2 whose journal holds the invalidation of "gone", and no commit does.
  void LeaveAJournal() {
    ASSERT_TRUE(Open().ok());
    ASSERT_TRUE(Put("gone", std::string(5000, 'g')).ok());
    ASSERT_TRUE(Put("kept", std::string(5000, 'k')).ok());
    ASSERT_TRUE(cache_->Flush().ok());
    ASSERT_TRUE(cache_->InvalidateKey("ns", "gone").ok());
    disk_->KillProcess();
  }
  // A damaged sector of the map: all is taken as used.
  void TakeAllOfMeta() {
    cache_.reset();
    std::string sector = Read("/l2/space", kSectorBytes, kSectorBytes);
    sector[40] ^= 1;
    Write("/l2/space", kSectorBytes, sector);
  }
  void KeepMetaFromGrowing() {
    disk_->SetFaultScript([](const Disk::Operation& now) {
      const bool grows =
          now.kind == Disk::OperationKind::kResize && now.path == "/l2/meta";
      return grows ? Disk::Fault::Fail(ENOSPC) : Disk::Fault();
    });
  }
};

TEST_F(FullL2RecoveryTest, OrphanPagesMakeRoomForWhatTheJournalHolds) {
  LeaveAJournal();
  TakeAllOfMeta();
  KeepMetaFromGrowing();
  const absl::Status opened = Open();
  ASSERT_TRUE(opened.ok()) << opened;
  EXPECT_EQ(Get("gone"), "(miss)");
  EXPECT_EQ(Get("kept"), std::string(5000, 'k'));
  EXPECT_EQ(cache_->Stats().l2.commit_failures, 1);
  EXPECT_TRUE(cache_->InvalidateKey("ns", "kept").ok());
  const absl::Status flushed = cache_->Flush();
  EXPECT_TRUE(flushed.ok()) << flushed;
}

TEST_F(FullL2RecoveryTest, WithoutAnyRoomItOpensAndRecoversWithTheDisk) {
  LeaveAJournal();
  cache_.reset();
  // Behind the superblocks.
  const auto is_write_of_a_page = [](const Disk::Operation& now) {
    return now.kind == Disk::OperationKind::kWrite && now.path == "/l2/meta" &&
           now.offset >= 4 * 4096;
  };
  disk_->SetFaultScript([&](const Disk::Operation& now) {
    return is_write_of_a_page(now) ? Disk::Fault::Fail(ENOSPC) : Disk::Fault();
  });
  for (int i = 0; i < 2; ++i) {
    const absl::Status opened = Open();
    ASSERT_TRUE(opened.ok()) << opened;
    EXPECT_EQ(Get("gone"), "(miss)");
    EXPECT_EQ(Get("kept"), std::string(5000, 'k'));
    // It must not take the place of what is in the journal.
    const absl::Status refused = cache_->InvalidateKey("ns", "kept").status();
    EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
    disk_->KillProcess();
  }
  ASSERT_TRUE(Open().ok());
  disk_->SetFaultScript(nullptr);
  ASSERT_TRUE(cache_->Flush().ok());
  ASSERT_TRUE(cache_->InvalidateKey("ns", "kept").ok());
  disk_->KillProcess();
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Get("gone"), "(miss)");
  EXPECT_EQ(Get("kept"), "(miss)");
}

}  // namespace
}  // namespace larder::cache
