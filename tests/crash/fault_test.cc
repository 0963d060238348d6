// Makes I/O operations of a workload fail, in every way that an operation
// fails: each of them with EIO, some in other ways; fault_long_test does all.
//
// Replay of one fault: LARDER_FIRST=N LARDER_FAULTS=1 with --gtest_filter, and
// LARDER_SEED.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/crash/faults.h"
#include "tests/crash/script.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

using cache::Durability;
using Disk = cache::l2::SimulatedDisk;
using Loss = Oracle::Loss;

// After a full disk that has room again.
void ExpectNothingLost(Script* script) {
  CheckAlive(script, 0);
  EXPECT_EQ(script->cache()->Stats().l2.degraded, "");
  script->Close();
  ASSERT_TRUE(script->Open().ok());
  script->oracle()->CheckReopened(script->cache(), Loss::kNone, 0,
                                  script->now());
  script->ExpectWorks();
}

TEST(FaultTest, EveryOperationFailsWithEio) {
  EXPECT_GT(FailAtEach({}, Disk::Fault::Fail(EIO), {}, SeedOr(2)), 0);
}

TEST(FaultTest, OperationsFailWithEnospc) {
  EXPECT_GT(FailAtEach({}, Disk::Fault::Fail(ENOSPC), {.stride = 2}, SeedOr(2)),
            0);
}

TEST(FaultTest, WritesAreShort) {
  EXPECT_GT(FailAtEach({}, Disk::Fault::ShortWrite(700, ENOSPC), {.stride = 2},
                       SeedOr(2)),
            0);
}

TEST(FaultTest, OperationsFailAtEveryPut) {
  EXPECT_GT(FailAtEach({.durability = Durability::kEveryPut},
                       Disk::Fault::Fail(EIO), {.stride = 5}, SeedOr(2)),
            0);
}

TEST(FaultTest, EvictionsFail) {
  EXPECT_GT(FailAtEach({.evicting = true}, Disk::Fault::Fail(EIO),
                       {.stride = 23}, SeedOr(2)),
            0);
}

TEST(FaultTest, WritesThatLieCostMisses) {
  EXPECT_GT(DeceiveAtEach({}, Deceit::kLie, {}, SeedOr(1)), 100);
}

TEST(FaultTest, WritesThatGoElsewhereCostMisses) {
  EXPECT_GT(DeceiveAtEach({}, Deceit::kMisdirect, {}, SeedOr(1)), 100);
}

TEST(FaultTest, PagesThatAreForgottenCostMisses) {
  EXPECT_GT(DeceiveAtEach({}, Deceit::kForget, {}, SeedOr(1)), 100);
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
    ExpectNothingLost(&script);
    if (::testing::Test::HasFailure()) return;
  }
}

// The same, where a file takes its room as it grows, not as it is written.
TEST(FaultTest, FilesThatCannotGrow) {
  int64_t refused = 0;
  for (uint64_t capacity = 100'000; capacity < 2'000'000; capacity += 90'000) {
    SCOPED_TRACE(absl::StrCat("capacity ", capacity));
    Script script({});
    std::map<std::string, uint64_t> sizes;
    script.disk()->SetFaultScript([&](const Disk::Operation& now) {
      if (now.kind != Disk::OperationKind::kResize) return Disk::Fault();
      uint64_t others = 0;
      for (const auto& [path, bytes] : sizes) {
        if (path != now.path) others += bytes;
      }
      if (now.length > sizes[now.path] && others + now.length > capacity) {
        ++refused;
        return Disk::Fault::Fail(ENOSPC);
      }
      sizes[now.path] = now.length;
      return Disk::Fault();
    });
    const bool never = false;
    script.Run(&never, IsClear);
    script.disk()->SetFaultScript(nullptr);
    if (script.cache() == nullptr) {
      ASSERT_TRUE(script.Open().ok());
    }
    ExpectNothingLost(&script);
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(refused, 20);
}

}  // namespace
}  // namespace larder::tests
