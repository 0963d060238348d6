#include "backup/internal/lease.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "backup/archive.h"
#include "backup/archive_test_support.h"
#include "backup/fake_snapshot.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup_internal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class LeaseTest : public ::testing::Test {
 protected:
  LeaseTest() {
    backup::FakeCache cache = backup::MakeFakeCache(3, 100);
    for (std::string* id : {&first_, &second_}) {
      backup::TestBackupOptions options;
      options.full = true;
      options.random_seed = id == &first_ ? 1 : 2;
      *id = backup::TestBackup(&cache, "/archive", &disk_, std::move(options))
                .snapshot_id;
    }
  }
  backup::Archive Open() { return *backup::Archive::Open("/archive", &disk_); }
  LeasesHeld Find() {
    const auto found = FindLeases(Open(), clock_.NowUnixMillis());
    EXPECT_TRUE(found.ok()) << found.status();
    return found.value_or(LeasesHeld());
  }
  std::vector<std::string> Leased() {
    std::vector<std::string> ids;
    for (const auto& [id, held] : Find()) ids.push_back(id);
    return ids;
  }

  cache::l2::SimulatedDisk disk_;
  cache::ManualClock clock_{1'700'000'000'000};
  std::string first_, second_;
};

TEST_F(LeaseTest, IsFoundWhileItIsHeld) {
  const backup::Archive archive = Open();
  EXPECT_THAT(Leased(), IsEmpty());
  {
    const auto one = Lease::Take(&archive, {first_}, &clock_);
    ASSERT_TRUE(one.ok()) << one.status();
    EXPECT_TRUE((*one)->problem().ok());
    const auto two = Lease::Take(&archive, {second_, first_, first_}, &clock_);
    ASSERT_TRUE(two.ok()) << two.status();
    EXPECT_THAT(Leased(), UnorderedElementsAre(first_, second_));
  }
  EXPECT_THAT(Leased(), IsEmpty());
  EXPECT_THAT(*disk_.List("/archive/leases"), IsEmpty());
}

TEST_F(LeaseTest, ExpiresUnlessItIsRenewed) {
  const backup::Archive archive = Open();
  const auto lease = Lease::Take(&archive, {first_}, &clock_);
  ASSERT_TRUE(lease.ok()) << lease.status();
  for (int i = 0; i < 10; ++i) {
    clock_.AdvanceMillis(Lease::kRenewMs);
    (*lease)->Renew();
    EXPECT_THAT(Leased(), UnorderedElementsAre(first_));
  }
  // One file, however often.
  EXPECT_THAT(*disk_.List("/archive/leases"), SizeIs(1));
  clock_.AdvanceMillis(Lease::kLeaseMs - 1);
  EXPECT_THAT(Leased(), UnorderedElementsAre(first_));
  clock_.AdvanceMillis(1);
  EXPECT_THAT(Leased(), IsEmpty());
  // Whoever stood still for too long says again what it reads.
  (*lease)->Renew();
  EXPECT_THAT(Leased(), UnorderedElementsAre(first_));
}

TEST_F(LeaseTest, OneThatStaysIsTakenAgainByItsName) {
  const backup::Archive archive = Open();
  const Lease::Terms terms = {.name = NewLeaseName(),
                              .holder = "/l2 on host",
                              .lease_ms = 100 * Lease::kLeaseMs,
                              .stays = true};
  ASSERT_TRUE(Lease::Take(&archive, {first_}, &clock_, terms).ok());
  EXPECT_THAT(Leased(), UnorderedElementsAre(first_));
  clock_.AdvanceMillis(99 * Lease::kLeaseMs);
  {
    const auto again = Lease::Take(&archive, {first_}, &clock_, terms);
    ASSERT_TRUE(again.ok()) << again.status();
    // A reader's is shorter: it does not say until when.
    const auto reader = Lease::Take(&archive, {first_}, &clock_);
    ASSERT_TRUE(reader.ok()) << reader.status();
    const LeaseHeld held = Find().at(first_);
    EXPECT_EQ(held.holder, "/l2 on host");
    EXPECT_EQ(held.expires_unix_ms,
              clock_.NowUnixMillis() + 100 * Lease::kLeaseMs);
  }
  EXPECT_THAT(*disk_.List("/archive/leases"), ElementsAre(terms.name));
  {
    const auto last = Lease::Take(&archive, {first_}, &clock_, terms);
    ASSERT_TRUE(last.ok()) << last.status();
    (*last)->GiveBack();
    clock_.AdvanceMillis(50 * Lease::kLeaseMs);
    (*last)->Renew();
  }
  EXPECT_THAT(*disk_.List("/archive/leases"), IsEmpty());
}

TEST_F(LeaseTest, NamesAreFilesOfTheirDirectory) {
  EXPECT_TRUE(IsLeaseName(NewLeaseName()));
  EXPECT_NE(NewLeaseName(), NewLeaseName());
  for (const char* name : {"", "pruning", "../manifests/one",
                           "0123456789abcde/", "0123456789abcdef0"}) {
    EXPECT_FALSE(IsLeaseName(name)) << name;
  }
}

TEST_F(LeaseTest, AnExpiredOneIsRemovedADayLater) {
  const backup::Archive archive = Open();
  const Lease::Terms terms = {.name = NewLeaseName(), .stays = true};
  ASSERT_TRUE(Lease::Take(&archive, {first_}, &clock_, terms).ok());
  const int64_t end = clock_.NowUnixMillis() + Lease::kLeaseMs;
  const auto left = [&](int64_t unix_ms) {
    EXPECT_TRUE(RemoveExpiredLeases(archive, unix_ms).ok());
    return *disk_.List("/archive/leases");
  };
  EXPECT_THAT(left(end + kExpiredLeaseKeptMs - 1), ElementsAre(terms.name));
  EXPECT_THAT(left(end + kExpiredLeaseKeptMs), IsEmpty());
}

TEST_F(LeaseTest, AClockSetBackRenewsAtOnce) {
  const backup::Archive archive = Open();
  const auto lease = Lease::Take(&archive, {first_}, &clock_);
  ASSERT_TRUE(lease.ok()) << lease.status();
  clock_.AdvanceMillis(-10 * Lease::kLeaseMs);
  (*lease)->Renew();
  clock_.AdvanceMillis(Lease::kLeaseMs);
  EXPECT_THAT(Leased(), IsEmpty());
}

TEST_F(LeaseTest, WithoutPermissionToWriteTheReaderGoesOn) {
  const backup::Archive archive = Open();
  disk_.SetHook([](const cache::l2::SimulatedDisk::Operation& operation) {
    return absl::StrContains(operation.path, "leases")
               ? absl::InternalError("read-only file system")
               : absl::OkStatus();
  });
  const auto lease = Lease::Take(&archive, {first_}, &clock_);
  disk_.SetHook(nullptr);
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_THAT(std::string((*lease)->problem().message()),
              HasSubstr("read-only"));
  // What was never taken cannot be renewed: it may be pruned already.
  clock_.AdvanceMillis(Lease::kRenewMs);
  (*lease)->Renew();
  EXPECT_FALSE((*lease)->problem().ok());
  EXPECT_FALSE(disk_.Exists("/archive/leases"));
}

TEST_F(LeaseTest, IsRefusedForWhatIsGoneOrGoing) {
  const backup::Archive archive = Open();
  {
    const auto lock = disk_.Lock("/archive/lock");
    ASSERT_TRUE(lock.ok());
    const auto pruning = Pruning::Announce(&archive, {first_});
    ASSERT_TRUE(pruning.ok()) << pruning.status();
    const auto refused = Lease::Take(&archive, {first_, second_}, &clock_);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr(first_));
    EXPECT_TRUE(Lease::Take(&archive, {second_}, &clock_).ok());
  }
  EXPECT_TRUE(Lease::Take(&archive, {first_}, &clock_).ok());
  ASSERT_TRUE(disk_.Remove(archive.ManifestPath(first_)).ok());
  EXPECT_EQ(Lease::Take(&archive, {first_, second_}, &clock_).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(*disk_.List("/archive/leases"), IsEmpty());
}

TEST_F(LeaseTest, WhatAKilledPruneLeftMeansNothing) {
  const backup::Archive archive = Open();
  auto lock = disk_.Lock("/archive/lock");
  ASSERT_TRUE(lock.ok());
  auto pruning = Pruning::Announce(&archive, {first_});
  ASSERT_TRUE(pruning.ok()) << pruning.status();
  disk_.SetHook([](const cache::l2::SimulatedDisk::Operation&) {
    return absl::InternalError("process is dead");
  });
  pruning->reset();
  disk_.SetHook(nullptr);
  disk_.KillProcess();
  ASSERT_TRUE(disk_.Exists("/archive/leases/pruning"));
  EXPECT_TRUE(Lease::Take(&archive, {first_}, &clock_).ok());
}

TEST_F(LeaseTest, ADamagedLeaseIsAnError) {
  const backup::Archive archive = Open();
  const auto lease = Lease::Take(&archive, {first_}, &clock_);
  ASSERT_TRUE(lease.ok()) << lease.status();
  const std::string name = (*disk_.List("/archive/leases"))[0];
  ASSERT_TRUE(disk_.FlipBit("/archive/leases/" + name, 3, 1).ok());
  const auto found = FindLeases(archive, clock_.NowUnixMillis());
  EXPECT_EQ(found.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(found.status().message()), HasSubstr(name));
}

}  // namespace
}  // namespace larder::backup_internal
