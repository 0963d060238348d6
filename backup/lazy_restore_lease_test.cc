// What keeps the snapshot of a lazy restore in its archive while no process
// reads it, and what is left to do when nothing did.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "backup/archive.h"
#include "backup/lazy_restore.h"
#include "backup/lazy_restore_fixture.h"
#include "backup/prune.h"
#include "cache/hydration.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kDayMs = int64_t{24} * 3600 * 1000;

// An old snapshot, that is being restored, and a full one behind it.
class LazyRestoreLeaseTest : public ::testing::Test, public LazyRestoreFixture {
 protected:
  static constexpr int kBlobs = 60;

  LazyRestoreLeaseTest() {
    const auto cache = OpenCache("/l2");
    for (int i = 0; i < kBlobs; ++i) {
      Put(cache.get(), "pages", absl::StrCat("key", i),
          RandomBytes(static_cast<uint64_t>(i) + 1, 900));
    }
    old_ = Backup(cache.get(), {"/a", "/b"});
    // A full one: it needs nothing of the other.
    Backup(cache.get(), {"/a", "/b"}, /*full=*/true);
  }
  // Returns: the reasons for which the old one stays in the archive.
  std::vector<std::string> PruneAllButLast(const std::string& archive,
                                           int64_t last = 1) {
    const auto report =
        Prune(*Archive::Open(archive, &disk), {.policy = {.last = last},
                                               .confirm = true,
                                               .zone = absl::UTCTimeZone(),
                                               .clock = &clock});
    EXPECT_TRUE(report.ok()) << report.status();
    if (!report.ok()) return {};
    for (const RetentionDecision& decision : report->decisions) {
      if (decision.id == old_) return decision.reasons;
    }
    ADD_FAILURE() << "pruned before";
    return {};
  }
  std::vector<std::string> Leases(const std::string& archive) {
    const auto names = disk.List(archive + "/leases");
    return names.ok() ? *names : std::vector<std::string>();
  }
  // Serves some of it, and is interrupted.
  void Begin() {
    const auto lazy = Open("/new", {"/a", "/b"}, old_);
    ASSERT_NE(lazy, nullptr);
    EXPECT_TRUE(lazy->Report().unprotected.ok());
    EXPECT_TRUE(lazy->Get("pages", "key3").has_value());
  }
  std::unique_ptr<LazyRestore> OpenRefusingWritesTo(const std::string& part) {
    disk.SetHook([part](const cache::l2::SimulatedDisk::Operation& operation) {
      return absl::StrContains(operation.path, part)
                 ? absl::InternalError("read-only file system")
                 : absl::OkStatus();
    });
    auto lazy = Open("/new", {"/a"}, old_);
    disk.SetHook(nullptr);
    return lazy;
  }

  std::string old_;
};

TEST_F(LazyRestoreLeaseTest, KeepsTheSnapshotBetweenTwoRuns) {
  Begin();
  for (const char* archive : {"/a", "/b"}) {
    EXPECT_THAT(Leases(archive), SizeIs(1));
    EXPECT_THAT(PruneAllButLast(archive),
                ElementsAre("held for /new until 2023-11-21 22:13"));
  }
  // Each run has the same lease, for a week from then on.
  const std::vector<std::string> names = Leases("/a");
  for (int run = 0; run < 3; ++run) {
    clock.AdvanceMillis(6 * kDayMs);
    EXPECT_THAT(PruneAllButLast("/a"), SizeIs(1));
    const auto lazy = Open("/new", {});
    ASSERT_NE(lazy, nullptr);
    EXPECT_EQ(Leases("/a"), names);
  }
  auto lazy = Open("/new", {});
  HydrateAll(lazy.get());
  EXPECT_TRUE(lazy->Report().done);
  EXPECT_THAT(Leases("/a"), IsEmpty());
  EXPECT_THAT(Leases("/b"), IsEmpty());
  EXPECT_THAT(PruneAllButLast("/a"), IsEmpty());
  lazy.reset();
  EXPECT_THAT(Leases("/a"), IsEmpty());
}

TEST_F(LazyRestoreLeaseTest, AlsoAfterACrash) {
  {
    auto lazy = Open("/new", {"/a"}, old_);
    ASSERT_NE(lazy, nullptr);
    disk.SetHook([](const cache::l2::SimulatedDisk::Operation&) {
      return absl::InternalError("dead");
    });
    lazy.reset();
    disk.SetHook(nullptr);
  }
  disk.KillProcess();
  clock.AdvanceMillis(kDayMs);
  EXPECT_THAT(PruneAllButLast("/a"), SizeIs(1));
  const auto lazy = Open("/new", {});
  HydrateAll(lazy.get());
  ExpectHolds(lazy.get(), model);
  EXPECT_THAT(Leases("/a"), IsEmpty());
}

TEST_F(LazyRestoreLeaseTest, IsRenewedWhileItRuns) {
  const auto lazy = Open("/new", {"/a"}, old_);
  for (int day = 0; day < 20; ++day) {
    clock.AdvanceMillis(kDayMs);
    lazy->Hydrate(1).IgnoreError();
  }
  ASSERT_FALSE(lazy->Report().done);
  EXPECT_THAT(PruneAllButLast("/a"), SizeIs(1));
}

TEST_F(LazyRestoreLeaseTest, OneThatNobodyGoesOnWithExpires) {
  Begin();
  clock.AdvanceMillis(7 * kDayMs);
  EXPECT_THAT(PruneAllButLast("/a"), IsEmpty());
  // Its file goes a day later.
  EXPECT_THAT(Leases("/a"), SizeIs(1));
  clock.AdvanceMillis(kDayMs);
  ASSERT_TRUE(Prune(*Archive::Open("/a", &disk), {.policy = {.last = 1},
                                                  .confirm = true,
                                                  .zone = absl::UTCTimeZone(),
                                                  .clock = &clock})
                  .ok());
  EXPECT_THAT(Leases("/a"), IsEmpty());
}

// Expired, and taken again before any one operation of a prune that keeps the
// snapshot for another reason: the next prune must see it.
TEST_F(LazyRestoreLeaseTest, TakenAgainInTheMiddleOfAPruneItStays) {
  Begin();
  int taken = 0;
  for (uint64_t at = 0;; ++at) {
    SCOPED_TRACE(absl::StrCat("taken again at operation ", at));
    clock.AdvanceMillis(7 * kDayMs);
    const uint64_t before = disk.operation_count();
    bool started = false;
    disk.SetHook([&](const cache::l2::SimulatedDisk::Operation& operation) {
      if (started || operation.index < before + at) return absl::OkStatus();
      started = true;
      EXPECT_NE(Open("/new", {}), nullptr);
      return absl::OkStatus();
    });
    PruneAllButLast("/a", /*last=*/2);
    disk.SetHook(nullptr);
    if (!started) break;
    ++taken;
    ASSERT_THAT(PruneAllButLast("/a"),
                ElementsAre(::testing::StartsWith("held for /new until ")));
  }
  EXPECT_GT(taken, 5);
}

// Also one whose end is long past.
TEST_F(LazyRestoreLeaseTest, AnExpiredOneIsReadAgainBeforeItGoes) {
  Begin();
  clock.AdvanceMillis(30 * kDayMs);
  bool taken = false;
  disk.SetHook([&](const cache::l2::SimulatedDisk::Operation& operation) {
    // What was decided is done.
    if (taken || operation.path != "/a/packs" ||
        operation.kind !=
            cache::l2::SimulatedDisk::OperationKind::kSyncDirectory) {
      return absl::OkStatus();
    }
    taken = true;
    EXPECT_NE(Open("/new", {}), nullptr);
    return absl::OkStatus();
  });
  PruneAllButLast("/a", /*last=*/2);
  disk.SetHook(nullptr);
  ASSERT_TRUE(taken);
  EXPECT_THAT(PruneAllButLast("/a"),
              ElementsAre(::testing::StartsWith("held for /new until ")));
}

TEST_F(LazyRestoreLeaseTest, WhatDoesNotBeginKeepsNothing) {
  // As the directory of the new L2 cannot be made.
  disk.SetHook([](const cache::l2::SimulatedDisk::Operation& operation) {
    return absl::StrContains(operation.path, "new")
               ? absl::InternalError("no room")
               : absl::OkStatus();
  });
  EXPECT_FALSE(TryOpen("/new", {"/a", "/b"}, old_).ok());
  disk.SetHook(nullptr);
  EXPECT_THAT(Leases("/a"), IsEmpty());
  EXPECT_THAT(Leases("/b"), IsEmpty());
}

TEST_F(LazyRestoreLeaseTest, AnArchiveThatIsReadOnlyIsToldAndServes) {
  const auto lazy = OpenRefusingWritesTo("/a/leases");
  ASSERT_NE(lazy, nullptr);
  EXPECT_THAT(std::string(lazy->Report().unprotected.message()),
              HasSubstr("read-only"));
  HydrateAll(lazy.get());
  ExpectHolds(lazy.get(), model);
}

TEST_F(LazyRestoreLeaseTest, EndingItEarlyGivesItBack) {
  const auto lazy = Open("/new", {"/a"}, old_);
  ASSERT_TRUE(lazy->EndHydration().ok());
  EXPECT_THAT(Leases("/a"), IsEmpty());
}

TEST_F(LazyRestoreLeaseTest, GivenUpOnceTheSnapshotIsGone) {
  Begin();
  clock.AdvanceMillis(7 * kDayMs);
  EXPECT_THAT(PruneAllButLast("/a"), IsEmpty());
  ASSERT_TRUE(disk.Rename("/b", "/away").ok());
  EXPECT_EQ(TryOpen("/new", {}).status().code(), absl::StatusCode::kNotFound);
  const auto given_up = LazyRestore::GiveUp(CacheOptions("/new"));
  ASSERT_TRUE(given_up.ok()) << given_up.status();
  EXPECT_EQ(given_up->snapshot_id, old_);
  EXPECT_EQ(given_up->records, kBlobs);
  EXPECT_EQ(given_up->records_missing, kBlobs - 1);
  const auto names = disk.List("/new");
  ASSERT_TRUE(names.ok()) << names.status();
  for (const std::string& name : *names) {
    EXPECT_FALSE(absl::StartsWith(name, cache::kHydratingName)) << name;
  }
  // What had come is there, and it is an L2 as any other.
  const auto cache = OpenCache("/new");
  EXPECT_TRUE(cache->Get("pages", "key3").has_value());
  EXPECT_FALSE(cache->Get("pages", "key4").has_value());
  Backup(cache.get(), {"/c"});
}

TEST_F(LazyRestoreLeaseTest, GivenUpBeforeItExpiresItGivesTheLeasesBack) {
  Begin();
  ASSERT_TRUE(LazyRestore::GiveUp(CacheOptions("/new")).ok());
  EXPECT_THAT(Leases("/a"), IsEmpty());
  EXPECT_THAT(Leases("/b"), IsEmpty());
  // There is nothing more to give up.
  EXPECT_EQ(LazyRestore::GiveUp(CacheOptions("/new")).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(LazyRestoreLeaseTest, GivenUpWithoutItsState) {
  Begin();
  ASSERT_TRUE(disk.FlipBit("/new/hydrating.state", 3, 1).ok());
  EXPECT_EQ(TryOpen("/new", {}).status().code(), absl::StatusCode::kDataLoss);
  const auto given_up = LazyRestore::GiveUp(CacheOptions("/new"));
  ASSERT_TRUE(given_up.ok()) << given_up.status();
  EXPECT_EQ(given_up->snapshot_id, "");
  Backup(OpenCache("/new").get(), {"/c"});
}

TEST_F(LazyRestoreLeaseTest, WhoHasTheL2IsNotTroubled) {
  const auto lazy = Open("/new", {"/a"}, old_);
  const std::vector<std::string> names = Leases("/a");
  EXPECT_EQ(LazyRestore::GiveUp(CacheOptions("/new")).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(TryOpen("/new", {}).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(Leases("/a"), names);
  HydrateAll(lazy.get());
  ExpectHolds(lazy.get(), model);
}

}  // namespace
}  // namespace larder::backup
