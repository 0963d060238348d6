#include "backup/verify.h"

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/archive_test_support.h"
#include "backup/fake_snapshot.h"
#include "backup/format/archive_file.h"
#include "backup/format/dump.pb.h"
#include "backup/verification.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using cache::l2::SimulatedDisk;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A full dump of many packs, and a delta on it.
class VerifyTest : public ::testing::Test {
 protected:
  VerifyTest() {
    FakeCache cache = MakeFakeCache(60, 1500);
    full_ = Backup(&cache, 1);
    ++cache.info.epoch;
    delta_ = Backup(&cache, 2);
  }
  std::string Backup(FakeCache* cache, uint64_t seed) {
    TestBackupOptions options;
    options.random_seed = seed;
    const BackupReport report =
        TestBackup(cache, "/archive", &disk_, std::move(options));
    EXPECT_EQ(report.outcome, Outcome::kOk) << report.status;
    return report.snapshot_id;
  }
  Archive Open() { return *Archive::Open("/archive", &disk_); }
  VerifyReport Verify(VerifyOptions options) {
    options.clock = &clock_;
    const auto report = VerifyArchive(Open(), options);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.value_or(VerifyReport());
  }
  std::string PackPath(int index) {
    return Open().PackPath(format::PackName(full_, index));
  }

  SimulatedDisk disk_;
  cache::ManualClock clock_{1'700'000'000'000};
  std::string full_, delta_;
};

TEST_F(VerifyTest, QuickFindsWhatIsNotThereAndNoMore) {
  const VerifyOptions quick{.mode = format::VERIFY_MODE_QUICK};
  const VerifyReport sound = Verify(quick);
  EXPECT_TRUE(sound.status.ok()) << sound.status;
  ASSERT_THAT(sound.snapshots, SizeIs(2));
  EXPECT_EQ(sound.snapshots[0].packs_read, 0);
  EXPECT_LT(sound.snapshots[0].bytes_read, sound.snapshots[0].bytes / 10);

  // Within a pack: that takes another mode.
  ASSERT_TRUE(disk_.FlipBit(PackPath(3), 1000, 2).ok());
  EXPECT_TRUE(Verify(quick).status.ok());
  EXPECT_FALSE(Verify({}).status.ok());
  ASSERT_TRUE(disk_.FlipBit(PackPath(3), 1000, 2).ok());

  ASSERT_TRUE(disk_.FlipBit(PackPath(2), 20, 2).ok());
  VerifyReport report = Verify(quick);
  EXPECT_EQ(report.status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(report.status.message()), HasSubstr(PackPath(2)));
  // Nor can what builds on it be restored whole.
  EXPECT_THAT(std::string(report.snapshots[1].status.message()),
              HasSubstr(PackPath(2)));
  ASSERT_TRUE(disk_.FlipBit(PackPath(2), 20, 2).ok());

  auto file = disk_.Open(PackPath(4), {});
  ASSERT_TRUE((*file)->Resize((*file)->Size() - 1).ok());
  report = Verify(quick);
  EXPECT_THAT(std::string(report.snapshots[0].status.message()),
              HasSubstr(PackPath(4)));
  EXPECT_THAT(std::string(report.snapshots[1].status.message()),
              HasSubstr(full_));
}

TEST_F(VerifyTest, APackOfAnotherDumpIsFoundByItsHead) {
  const Archive archive = Open();
  const auto file = disk_.Open(PackPath(1), {.read_only = true});
  const auto other = disk_.Open(PackPath(2), {});
  std::string head(format::kPackHeadBytes, '\0');
  ASSERT_TRUE((*file)->ReadAt(0, absl::MakeSpan(head)).ok());
  ASSERT_TRUE((*other)->WriteAt(0, head).ok());
  const VerifyReport report = Verify({.mode = format::VERIFY_MODE_QUICK});
  EXPECT_THAT(std::string(report.status.message()),
              HasSubstr("head is of another pack"));
}

TEST_F(VerifyTest, ASampleIsChosenByItsSeedAndReadInFull) {
  const int packs = Open().Find(full_)->manifest.packs_size();
  ASSERT_GT(packs, 10);
  const Archive archive = Open();
  const auto sampled = [&](uint64_t seed, uint32_t millionths) {
    std::set<std::string> read;
    disk_.SetHook([&](const SimulatedDisk::Operation& operation) {
      // Behind its head.
      if (operation.kind == SimulatedDisk::OperationKind::kRead &&
          operation.length > format::kPackHeadBytes &&
          absl::StrContains(operation.path, ".pack")) {
        read.insert(operation.path);
      }
      return absl::OkStatus();
    });
    const VerifyReport report = Verify({.mode = format::VERIFY_MODE_SAMPLE,
                                        .sample_millionths = millionths,
                                        .seed = seed});
    disk_.SetHook(nullptr);
    EXPECT_TRUE(report.status.ok()) << report.status;
    EXPECT_EQ(static_cast<size_t>(report.snapshots[0].packs_read +
                                  report.snapshots[1].packs_read),
              read.size());
    return read;
  };
  const size_t all = sampled(1, 1'000'000).size();
  EXPECT_GT(all, static_cast<size_t>(packs));
  EXPECT_THAT(sampled(1, 1), SizeIs(1));
  EXPECT_THAT(sampled(1, 250'000), SizeIs((all + 3) / 4));
  EXPECT_EQ(sampled(7, 250'000), sampled(7, 250'000));
  EXPECT_NE(sampled(7, 250'000), sampled(8, 250'000));

  // One damaged byte: found by the seeds whose sample has it.
  ASSERT_TRUE(disk_.FlipBit(PackPath(3), 1000, 2).ok());
  int found = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const VerifyReport report = Verify({.mode = format::VERIFY_MODE_SAMPLE,
                                        .sample_millionths = 250'000,
                                        .seed = seed});
    if (!report.status.ok()) {
      EXPECT_THAT(std::string(report.status.message()), HasSubstr(PackPath(3)));
      ++found;
    }
  }
  EXPECT_GT(found, 0);
  EXPECT_LT(found, 40);
}

TEST_F(VerifyTest, VerdictsAreStored) {
  EXPECT_FALSE(ReadVerification(Open(), full_)->has_value());
  Verify({});
  EXPECT_FALSE(ReadVerification(Open(), full_)->has_value());
  ASSERT_TRUE(disk_.FlipBit(PackPath(3), 1000, 2).ok());
  VerifyReport report = Verify({.store = true});
  EXPECT_TRUE(report.not_stored.ok()) << report.not_stored;
  auto stored = *ReadVerification(Open(), full_);
  ASSERT_TRUE(stored.has_value());
  EXPECT_EQ(stored->mode(), format::VERIFY_MODE_FULL);
  EXPECT_EQ(stored->finished_unix_ms(), clock_.NowUnixMillis());
  EXPECT_EQ(stored->status_code(),
            static_cast<int>(absl::StatusCode::kDataLoss));
  EXPECT_THAT(stored->status_message(), HasSubstr(PackPath(3)));
  EXPECT_GE(stored->problems(), 1);
  const auto of_delta = *ReadVerification(Open(), delta_);
  EXPECT_EQ(of_delta->status_code(), stored->status_code());
  EXPECT_THAT(of_delta->status_message(),
              HasSubstr(absl::StrCat("it builds on snapshot ", full_)));

  // The last one counts.
  ASSERT_TRUE(disk_.FlipBit(PackPath(3), 1000, 2).ok());
  Verify({.store = true});
  clock_.AdvanceMillis(5);
  Verify({.snapshot_id = full_,
          .mode = format::VERIFY_MODE_SAMPLE,
          .sample_millionths = 7,
          .seed = 9,
          .store = true});
  stored = *ReadVerification(Open(), full_);
  EXPECT_EQ(stored->mode(), format::VERIFY_MODE_SAMPLE);
  EXPECT_EQ(stored->seed(), 9u);
  EXPECT_EQ(stored->sample_millionths(), 7u);
  EXPECT_EQ(stored->status_code(), 0);
  EXPECT_EQ(stored->finished_unix_ms(), clock_.NowUnixMillis());

  ASSERT_TRUE(disk_.FlipBit("/archive/verified/" + full_, 2, 2).ok());
  EXPECT_EQ(ReadVerification(Open(), full_).status().code(),
            absl::StatusCode::kDataLoss);
}

// Who did not read what was damaged knows nothing of it.
TEST_F(VerifyTest, DamageIsForgottenOnlyByAVerdictThatReadAsMuch) {
  const VerifyOptions quick{.mode = format::VERIFY_MODE_QUICK, .store = true};
  const VerifyOptions some{.mode = format::VERIFY_MODE_SAMPLE,
                           .sample_millionths = 7,
                           .seed = 9,
                           .store = true};
  const VerifyOptions all{.mode = format::VERIFY_MODE_SAMPLE,
                          .sample_millionths = 1'000'000,
                          .store = true};
  const VerifyOptions full{.store = true};
  const auto mode = [&] { return (*ReadVerification(Open(), full_))->mode(); };
  const auto known = [&] {
    const std::vector<SnapshotEntry> entries = *Open().List();
    const Archive archive = Open();
    return KnownDamage(archive, entries).Of(entries[0]);
  };
  for (const VerifyOptions& finds : {all, full}) {
    ASSERT_TRUE(disk_.FlipBit(PackPath(3), 1000, 2).ok());
    EXPECT_FALSE(Verify(finds).status.ok());
    ASSERT_TRUE(disk_.FlipBit(PackPath(3), 1000, 2).ok());
    EXPECT_TRUE(known());
    for (const VerifyOptions& looks : {quick, some}) {
      const VerifyReport report = Verify(looks);
      EXPECT_TRUE(report.status.ok()) << report.status;
      EXPECT_TRUE(report.snapshots[0].known_damaged);
      EXPECT_EQ(mode(), finds.mode);
      EXPECT_TRUE(known());
    }
    EXPECT_EQ(Verify(all).snapshots[0].known_damaged,
              finds.mode == format::VERIFY_MODE_FULL);
    EXPECT_EQ(known(), finds.mode == format::VERIFY_MODE_FULL);
    EXPECT_FALSE(Verify(full).snapshots[0].known_damaged);
    EXPECT_FALSE(known());
    EXPECT_FALSE(Verify(quick).snapshots[0].known_damaged);
    EXPECT_EQ(mode(), format::VERIFY_MODE_QUICK);
  }
  // What a quick one found, a quick one may find mended.
  ASSERT_TRUE(disk_.FlipBit(PackPath(3), 20, 2).ok());
  EXPECT_FALSE(Verify(quick).status.ok());
  ASSERT_TRUE(disk_.FlipBit(PackPath(3), 20, 2).ok());
  EXPECT_FALSE(Verify(quick).snapshots[0].known_damaged);
  EXPECT_FALSE(known());
}

TEST_F(VerifyTest, AnArchiveThatCannotBeWrittenIsVerifiedWithoutStoring) {
  disk_.SetHook([](const SimulatedDisk::Operation& operation) {
    return operation.kind == SimulatedDisk::OperationKind::kCreateDirectories
               ? absl::InternalError("read-only file system")
               : absl::OkStatus();
  });
  const VerifyReport report = Verify({.store = true});
  disk_.SetHook(nullptr);
  EXPECT_TRUE(report.status.ok()) << report.status;
  EXPECT_THAT(std::string(report.not_stored.message()), HasSubstr("read-only"));
  EXPECT_FALSE(report.unprotected.ok());
  EXPECT_FALSE(ReadVerification(Open(), full_)->has_value());
}

}  // namespace
}  // namespace larder::backup
