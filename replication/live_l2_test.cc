// What a live replica moves and removes is its own.
#include "replication/live_l2.h"

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backup/orchestrator.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2_image.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replication/live_replica_test_support.h"
#include "replication/promotion.h"

namespace larder::replication {
namespace {

using backup::Outcome;
using cache::L2Image;
using cache::ReadImage;
using cache::l2::SimulatedDisk;
using OperationKind = SimulatedDisk::OperationKind;
using ::testing::HasSubstr;

std::string Beside(absl::string_view suffix) {
  return absl::StrCat(kLiveL2, suffix);
}

class LiveL2Test : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 30; ++i) Put(i, "old");
  }

  void Put(int i, const std::string& bytes) {
    ASSERT_TRUE(
        primary_.cache->Put("ns", absl::StrCat("key", i), bytes, {}).ok());
  }
  // Makes a whole L2 of a primary at `path` of the replica's disk.
  L2Image PutPrimary(const std::string& path) {
    cache::BlobCacheOptions options =
        LiveCacheOptions(&clock_, &replica_.disk, 3);
    options.l2_path = path;
    auto opened = cache::BlobCache::Open(options);
    EXPECT_TRUE(opened.ok()) << opened.status();
    EXPECT_TRUE((*opened)->Put("ns", "precious", path, {}).ok());
    EXPECT_TRUE((*opened)->Flush().ok());
    opened->reset();
    return ReadImage(&replica_.disk, path);
  }
  // A start of the replica is refused, and so is a promotion.
  void ExpectRefused(const std::string& why) {
    const absl::Status started = replica_.Start();
    replica_.Stop();
    EXPECT_TRUE(absl::IsFailedPrecondition(started)) << started;
    EXPECT_THAT(std::string(started.message()), HasSubstr(why));
    const absl::Status promoted =
        Promote(LiveCacheOptions(&clock_, &replica_.disk, 1), 0).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(promoted)) << promoted;
    EXPECT_THAT(std::string(promoted.message()), HasSubstr(why));
  }
  void ExpectBackup(bool full) {
    const auto report = primary_.Backup({&replica_}, 1, {.full = full});
    ASSERT_EQ(report.outcome, Outcome::kOk) << report.sinks[0].status;
    EXPECT_EQ(replica_.digest(), primary_.digest());
  }

  // Between its two renames. Requires: it has a snapshot.
  void KillInASwap(LiveReplica* replica) {
    bool is_dead = false;
    replica->disk.SetHook([&](const SimulatedDisk::Operation& o) {
      if (!is_dead && o.kind == OperationKind::kRename &&
          absl::EndsWith(o.path, "/next")) {
        is_dead = true;
        replica->disk.KillProcess();
      }
      return is_dead ? absl::InternalError("the process is dead")
                     : absl::OkStatus();
    });
    EXPECT_EQ(primary_.Backup({replica}, 1, {.full = true}).outcome,
              Outcome::kFailed);
    replica->Stop();
    replica->disk.SetHook(nullptr);
    ASSERT_FALSE(replica->disk.Exists(kLiveL2));
  }

  cache::ManualClock clock_{1'700'000'000'000};
  LivePrimary primary_{&clock_};
  LiveReplica replica_{&clock_, {.changes = 5}};
};

// As `mv cache cache.old` leaves it.
TEST_F(LiveL2Test, WhatStandsBesideItStays) {
  const std::string places[] = {Beside(".old"), Beside(".next"),
                                Beside(".building")};
  L2Image images[3];
  for (int i = 0; i < 3; ++i) images[i] = PutPrimary(places[i]);
  ASSERT_TRUE(replica_.Start().ok());
  EXPECT_EQ(replica_.live->View(), nullptr);
  ExpectBackup(/*full=*/true);
  for (int i = 0; i < 20; ++i) Put(i, "new");
  ExpectBackup(/*full=*/false);  // Beyond the limits: built aside.
  ExpectBackup(/*full=*/true);
  replica_.Stop();
  ASSERT_TRUE(replica_.Start().ok());
  EXPECT_EQ(replica_.digest(), primary_.digest());
  replica_.Stop();
  ASSERT_TRUE(Promote(LiveCacheOptions(&clock_, &replica_.disk, 1), 0).ok());
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(ReadImage(&replica_.disk, places[i]) == images[i]) << places[i];
  }
}

TEST_F(LiveL2Test, APrimaryInItsPlaceIsRefusedBeforeAnythingIsMoved) {
  ASSERT_TRUE(replica_.Start().ok());
  ExpectBackup(/*full=*/true);
  KillInASwap(&replica_);
  // And then somebody restored there.
  const L2Image precious = PutPrimary(kLiveL2);
  const L2Image next = ReadImage(&replica_.disk, Beside(".replica/next"));
  const L2Image old = ReadImage(&replica_.disk, Beside(".replica/old"));
  ExpectRefused("primary's L2");
  EXPECT_TRUE(ReadImage(&replica_.disk, kLiveL2) == precious);
  EXPECT_TRUE(ReadImage(&replica_.disk, Beside(".replica/next")) == next);
  EXPECT_TRUE(ReadImage(&replica_.disk, Beside(".replica/old")) == old);
  // Out of the way, the swap is finished.
  ASSERT_TRUE(replica_.disk.Rename(kLiveL2, "/data/precious").ok());
  ASSERT_TRUE(replica_.Start().ok());
  EXPECT_EQ(replica_.digest(), primary_.digest());
  EXPECT_FALSE(replica_.disk.Exists(Beside(".replica/old")));
}

// What was applied stays so, wherever the start that finishes a swap dies.
TEST_F(LiveL2Test, ASwapIsFinishedOverDeathsOfTheStart) {
  for (const bool has_power : {true, false}) {
    bool is_dead = true;
    uint64_t at = 0;
    for (; is_dead; ++at) {
      SCOPED_TRACE(absl::StrCat("operation ", at, ", power ", has_power));
      LiveReplica replica(&clock_);
      ASSERT_TRUE(replica.Start().ok());
      ASSERT_EQ(primary_.Backup({&replica}).outcome, Outcome::kOk);
      Put(1, absl::StrCat("new", at));
      KillInASwap(&replica);
      is_dead = false;
      const uint64_t first = replica.disk.operation_count();
      replica.disk.SetHook([&](const SimulatedDisk::Operation& o) {
        if (o.index < first + at) return absl::OkStatus();
        if (!is_dead && has_power) replica.disk.KillProcess();
        if (!is_dead && !has_power) replica.disk.PowerCut(at);
        is_dead = true;
        return absl::InternalError("the process is dead");
      });
      replica.Start().IgnoreError();
      replica.Stop();
      replica.disk.SetHook(nullptr);
      ASSERT_TRUE(replica.Start().ok());
      EXPECT_EQ(replica.digest(), primary_.digest());
      for (const char* aside : {"building", "next", "old"}) {
        EXPECT_FALSE(
            replica.disk.Exists(absl::StrCat(kLiveL2, ".replica/", aside)));
      }
      if (HasFailure()) return;
    }
    EXPECT_GT(at, 20);
  }
}

TEST_F(LiveL2Test, APrimaryThatComesWhileItRunsIsNotReplaced) {
  ASSERT_TRUE(replica_.Start().ok());
  const L2Image first = PutPrimary(kLiveL2);
  const auto report = primary_.Backup({&replica_});
  EXPECT_TRUE(absl::IsFailedPrecondition(report.sinks[0].status));
  EXPECT_THAT(std::string(report.sinks[0].status.message()),
              HasSubstr("primary's L2"));
  EXPECT_TRUE(ReadImage(&replica_.disk, kLiveL2) == first);
  ASSERT_TRUE(replica_.disk.Rename(kLiveL2, "/data/first").ok());
  ExpectBackup(/*full=*/true);
  // Also where its own L2 has been.
  ASSERT_TRUE(replica_.disk.Rename(kLiveL2, "/data/its").ok());
  const L2Image second = PutPrimary(kLiveL2);
  EXPECT_EQ(primary_.Backup({&replica_}, 1, {.full = true}).outcome,
            Outcome::kFailed);
  EXPECT_TRUE(ReadImage(&replica_.disk, kLiveL2) == second);
}

// As where L2 is a mount point: what the replica cannot do looks like a cut,
// but not all of the dump is sent again for ever.
TEST_F(LiveL2Test, ARenameThatNeverWorksEndsTheDump) {
  ASSERT_TRUE(replica_.Start().ok());
  int tries = 0;
  replica_.disk.SetHook([&](const SimulatedDisk::Operation& o) {
    if (o.kind != OperationKind::kRename || !absl::EndsWith(o.path, "/next") ||
        ++tries > 100) {
      return absl::OkStatus();
    }
    return absl::InternalError("device or resource busy");
  });
  const auto report = primary_.Backup({&replica_});
  replica_.disk.SetHook(nullptr);
  EXPECT_EQ(report.outcome, Outcome::kFailed);
  EXPECT_LE(tries, 20);
  EXPECT_THAT(std::string(report.sinks[0].status.message()),
              HasSubstr("device or resource busy"));
}

// As `mv cache cache.replica` leaves it; an archive there; and what this
// replica would remove, had it made the directory.
TEST_F(LiveL2Test, ADirectoryThatIsNotItsStateIsRefused) {
  const std::string state = Beside(".replica");
  const L2Image precious = PutPrimary(state);
  ExpectRefused("not a live replica's");
  EXPECT_TRUE(ReadImage(&replica_.disk, state) == precious);
  ASSERT_TRUE(replica_.disk.RemoveTree(state).ok());

  ASSERT_TRUE(
      replica_.disk.CreateDirectories(absl::StrCat(state, "/snapshots")).ok());
  ASSERT_TRUE(replica_.disk
                  .CreateDirectories(absl::StrCat(state, "/incoming/replica.d"))
                  .ok());
  ExpectRefused("not a live replica's");
  EXPECT_TRUE(replica_.disk.Exists(absl::StrCat(state, "/snapshots")));
  ASSERT_TRUE(replica_.disk.RemoveTree(state).ok());

  const L2Image old = PutPrimary(absl::StrCat(state, "/old"));
  ExpectRefused("not a live replica's");
  EXPECT_TRUE(ReadImage(&replica_.disk, absl::StrCat(state, "/old")) == old);
}

}  // namespace
}  // namespace larder::replication
