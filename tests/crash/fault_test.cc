// Makes every single I/O operation of a workload fail, in every way that an
// operation fails: never a crash, never wrong bytes, what was good stays, and
// the cache goes on serving.
//
// Replay of one fault: LARDER_FIRST=N LARDER_FAULTS=1 with --gtest_filter.
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/crash/script.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

using cache::Durability;
using Disk = cache::l2::SimulatedDisk;
using Loss = Oracle::Loss;

// What must hold when the fault is over and the process lives on.
void CheckAlive(Script* script, int64_t damaged_reads_max) {
  script->oracle()->CheckAll(script->cache(), script->now());
  const cache::L2Stats stats = script->cache()->Stats().l2;
  EXPECT_LE(stats.damaged_reads, damaged_reads_max);
  EXPECT_LE(stats.durable_epoch, stats.epoch);
  const absl::Status put = script->Put("alive", 998);
  if (stats.degraded.empty()) {
    EXPECT_TRUE(put.ok()) << put;
    const absl::Status flushed = script->cache()->Flush();
    EXPECT_TRUE(flushed.ok()) << flushed;
    EXPECT_GT(script->cache()->Stats().l2.epoch, script->committed_epoch());
  } else {
    EXPECT_TRUE(absl::IsUnavailable(put)) << put;
  }
}

// Whether an error may follow from the fault: it must say where it was. A pin
// gives way on a full disk.
bool IsClear(const absl::Status& status) {
  return (absl::IsDataLoss(status) || absl::IsResourceExhausted(status) ||
          absl::IsUnavailable(status) || absl::IsAborted(status)) &&
         !status.message().empty();
}

void FailAt(Script::Options options, uint64_t operation, Disk::Fault fault) {
  Script script(options);
  bool hit_a_read = false;
  script.disk()->SetFaultScript([&](const Disk::Operation& now) {
    if (now.index != operation) return Disk::Fault();
    hit_a_read = now.kind == Disk::OperationKind::kRead;
    return fault;
  });
  const bool never = false;
  script.Run(&never, IsClear);
  script.disk()->SetFaultScript(nullptr);
  if (script.cache() == nullptr) {
    // It failed to be created; nothing stands in the way of the next attempt.
    ASSERT_TRUE(script.Open().ok());
  }
  CheckAlive(&script, hit_a_read ? 1 : 0);
  const bool degraded = !script.cache()->Stats().l2.degraded.empty();
  const bool power_cut = degraded && operation % 2 == 0;
  const uint64_t committed = script.cache()->Stats().l2.epoch;
  const uint64_t durable = script.cache()->Stats().l2.durable_epoch;
  script.Close();
  if (power_cut) script.disk()->PowerCut(operation);
  const uint64_t epoch = script.VerifyBeforeOpen();
  EXPECT_GE(epoch, power_cut ? durable : committed);
  EXPECT_GE(epoch, script.acknowledged_epoch());
  const absl::Status opened = script.Open();
  ASSERT_TRUE(opened.ok()) << opened;
  script.oracle()->CheckReopened(script.cache(),
                                 script.LossOf(power_cut  ? Loss::kUnsynced
                                               : degraded ? Loss::kUncommitted
                                                          : Loss::kNone),
                                 epoch, script.now());
  script.ExpectWorks();
}

void FailEverywhere(Script::Options options, Disk::Fault fault,
                    uint64_t stride) {
  const uint64_t operations = OperationsOf(options);
  const uint64_t first = static_cast<uint64_t>(CountOr("LARDER_FIRST", 0));
  const int64_t faults = CountOr("LARDER_FAULTS", 1'000'000);
  int64_t done = 0;
  for (uint64_t n = first; n < operations && done < faults; n += stride) {
    SCOPED_TRACE(absl::StrCat("LARDER_FIRST=", n));
    FailAt(options, n, fault);
    if (::testing::Test::HasFailure()) return;
    ++done;
  }
  std::printf("%lld faults in %llu operations\n", static_cast<long long>(done),
              static_cast<unsigned long long>(operations));
}

TEST(FaultTest, EveryOperationFailsWithEio) {
  FailEverywhere({}, Disk::Fault::Fail(EIO), 1);
}

TEST(FaultTest, EveryOperationFailsWithEnospc) {
  FailEverywhere({}, Disk::Fault::Fail(ENOSPC), 2);
}

TEST(FaultTest, EveryWriteIsShort) {
  FailEverywhere({}, Disk::Fault::ShortWrite(700, ENOSPC), 2);
}

TEST(FaultTest, EveryOperationFailsAtEveryPut) {
  FailEverywhere({.durability = Durability::kEveryPut}, Disk::Fault::Fail(EIO),
                 5);
}

TEST(FaultTest, EvictionsFail) {
  FailEverywhere({.evicting = true}, Disk::Fault::Fail(EIO), 23);
}

// A disk that is full for good: puts are refused, all else goes on.
TEST(FaultTest, FullDisk) {
  for (uint64_t capacity = 40'000; capacity < 900'000; capacity += 37'000) {
    SCOPED_TRACE(absl::StrCat("capacity ", capacity));
    Script script({});
    script.disk()->SetCapacityBytes(capacity);
    const bool never = false;
    script.Run(&never, IsClear);
    script.disk()->SetCapacityBytes(UINT64_MAX);
    if (script.cache() == nullptr) {
      ASSERT_TRUE(script.Open().ok());
    }
    CheckAlive(&script, 0);
    EXPECT_EQ(script.cache()->Stats().l2.degraded, "");
    script.Close();
    ASSERT_TRUE(script.Open().ok());
    script.oracle()->CheckReopened(script.cache(), Loss::kNone, 0,
                                   script.now());
    script.ExpectWorks();
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace larder::tests
