// The model is shown disks that lie, as a cache with a bug would look: it must
// notice, and shrink thousands of operations to the few that it takes.
#include "tests/model/model_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/l2/simulated_disk.h"
#include "tests/model/plan.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

using cache::l2::SimulatedDisk;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::Eq;
using ::testing::Field;
using ::testing::HasSubstr;
using Kind = Operation::Kind;
using OperationKind = SimulatedDisk::OperationKind;

constexpr int64_t kOperations = 4000;
constexpr int64_t kShrinkOperationsMax = 20'000;
constexpr uint64_t kSeedsMax = 6;
// A put, its commit, an invalidation of it, and a kill, which takes some
// operation on the disk to happen.
constexpr size_t kFew = 6;

// Says yes to writes of the journals, and does nothing: an invalidation is not
// durable against a kill.
SimulatedDisk::Fault LoseJournal(const SimulatedDisk::Operation& now) {
  return now.kind == OperationKind::kWrite &&
                 absl::StrContains(now.path, "/journal-")
             ? SimulatedDisk::Fault::Lie()
             : SimulatedDisk::Fault();
}

// The same of every sync of `meta`: a power cut takes what was committed.
SimulatedDisk::Fault LoseSyncs(const SimulatedDisk::Operation& now) {
  return now.kind == OperationKind::kSync && absl::EndsWith(now.path, "/meta")
             ? SimulatedDisk::Fault::Lie()
             : SimulatedDisk::Fault();
}

class PlantedBugTest : public ::testing::TestWithParam<bool> {
 protected:
  // The failure of a run on a lying disk, shrunk to a few operations: what the
  // first seed stumbles over may need more of them, or more luck.
  ModelFailure FindAndShrink(SimulatedDisk::FaultScript faults) {
    const uint64_t first = SeedOr(1);
    for (uint64_t seed = first; seed < first + kSeedsMax; ++seed) {
      CacheModel::Counts counts;
      const auto failure = RunAndShrink(
          {.evicting = GetParam(), .faults = faults},
          PlanOperations(seed, kOperations), kShrinkOperationsMax, &counts);
      if (!failure.has_value()) continue;
      std::printf("seed %llu, %s: %s\n", static_cast<unsigned long long>(seed),
                  failure->where.c_str(),
                  ::testing::PrintToString(failure->operations).c_str());
      EXPECT_LT(failure->operations.size(), kOperations / 4);
      if (failure->operations.size() <= kFew) return *failure;
    }
    ADD_FAILURE() << "no seed leads to a short list";
    return {};
  }

  // The operations fail again when they are read back from text, and do not on
  // an honest disk.
  void ExpectReplays(const ModelFailure& failure,
                     SimulatedDisk::FaultScript faults) {
    const auto replay =
        ParseReplay(FormatReplay(GetParam(), failure.operations));
    ASSERT_TRUE(replay.ok()) << replay.status();
    EXPECT_EQ(replay->evicting, GetParam());
    CacheModel::Counts counts;
    const auto again =
        RunAndShrink({.evicting = GetParam(), .faults = faults},
                     replay->operations, /*shrink_operations_max=*/0, &counts);
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(again->where, failure.where);
    EXPECT_EQ(again->operations, failure.operations);
    EXPECT_FALSE(
        RunAndShrink({.evicting = GetParam()}, replay->operations, 0, &counts)
            .has_value());
  }
};

TEST_P(PlantedBugTest, AJournalThatIsNotWritten) {
  const ModelFailure failure = FindAndShrink(LoseJournal);
  EXPECT_THAT(failure.where, HasSubstr("oracle.cc"));
  EXPECT_THAT(
      failure.operations,
      Contains(Field(&Operation::kind,
                     AnyOf(Eq(Kind::kDelete), Eq(Kind::kPrefix), Eq(Kind::kTag),
                           Eq(Kind::kDependency), Eq(Kind::kFlush)))));
  ASSERT_FALSE(HasFailure());
  ExpectReplays(failure, LoseJournal);
}

TEST_P(PlantedBugTest, AnL2ThatIsNotSynced) {
  const ModelFailure failure = FindAndShrink(LoseSyncs);
  EXPECT_THAT(failure.operations, Contains(Field(&Operation::power, Eq(1u))));
  ASSERT_FALSE(HasFailure());
  ExpectReplays(failure, LoseSyncs);
}

INSTANTIATE_TEST_SUITE_P(Models, PlantedBugTest, ::testing::Bool(),
                         [](const auto& evicting) {
                           return evicting.param ? "Evicting" : "Roomy";
                         });

TEST(ModelRunTest, WhatIsFineIsNoFailure) {
  CacheModel::Counts counts;
  EXPECT_FALSE(RunAndShrink({}, PlanOperations(SeedOr(1), 2000), 1000, &counts)
                   .has_value());
  EXPECT_GT(counts.crashes, 0);
  EXPECT_GT(counts.restores, 0);
}

// Nothing depends on time, addresses or how threads are scheduled.
TEST(ModelRunTest, TheSameOperationsDoTheSame) {
  const Operations operations = PlanOperations(SeedOr(1), 1500);
  std::string first;
  for (int i = 0; i < 3; ++i) {
    std::atomic<int64_t> at{0};
    uint64_t calls = 0;
    CacheModel model({.faults = [&](const SimulatedDisk::Operation& now) {
      // A backup whose archive died reads on for a moment.
      if (now.kind == OperationKind::kRead) return SimulatedDisk::Fault();
      calls = calls * 31 + now.offset + now.length +
              static_cast<uint64_t>(now.kind);
      return SimulatedDisk::Fault();
    }});
    model.Run(operations, &at);
    ASSERT_FALSE(HasFailure());
    const std::string done = absl::StrCat(calls, " ", model.counts().crashes,
                                          " ", model.counts().restores);
    if (i == 0) first = done;
    EXPECT_EQ(done, first);
  }
}

// Any of them can be left out.
TEST(ModelRunTest, AnyPartOfAPlanIsFine) {
  const uint64_t seed = SeedOr(1);
  const Operations all = PlanOperations(seed, 2000);
  for (uint64_t i = 0; i < 10; ++i) {
    Operations some;
    for (size_t k = 0; k < all.size(); ++k) {
      if ((seed + i * 7919 + k * k) % 11 > i) some.push_back(all[k]);
    }
    CacheModel::Counts counts;
    const auto failure =
        RunAndShrink({.evicting = i % 2 == 0}, some, 50'000, &counts);
    ASSERT_FALSE(failure.has_value())
        << failure->where << "\n"
        << FormatReplay(i % 2 == 0, failure->operations);
  }
}

TEST(ModelRunTest, RefusesWhatIsNoReplay) {
  EXPECT_FALSE(ParseReplay("").ok());
  EXPECT_FALSE(ParseReplay("put\n").ok());
  const std::string text = FormatReplay(true, {Operation()});
  EXPECT_TRUE(ParseReplay(text).ok());
  const auto bad = ParseReplay(absl::StrCat(text, "fly\n"));
  EXPECT_THAT(std::string(bad.status().message()), HasSubstr("line 4"));
}

}  // namespace
}  // namespace larder::tests
