#include "tests/crash/power_cut.h"

#include <gtest/gtest.h>

#include "absl/status/status.h"

namespace larder::tests {
namespace {

using Loss = Oracle::Loss;

// Returns: whether the script ran to its end before the power went.
bool CutPowerAt(Script::Options options, uint64_t operation, uint64_t seed) {
  Script script(options);
  bool dead = false;
  script.disk()->SetHook([&](const cache::l2::SimulatedDisk::Operation& now) {
    if (now.index < operation) return absl::OkStatus();
    if (!dead) script.disk()->PowerCut(seed);
    dead = true;
    // What the dead process would open from here on, the disk cannot refuse.
    return absl::UnavailableError("the process is dead");
  });
  script.Run(&dead, [&](const absl::Status&) { return dead; });
  script.Close();
  if (!dead) return true;
  script.disk()->SetHook(nullptr);
  const uint64_t epoch = script.VerifyBeforeOpen();
  EXPECT_GE(epoch, script.durable_epoch());
  EXPECT_GE(epoch, script.acknowledged_epoch());
  const absl::Status opened = script.Open();
  EXPECT_TRUE(opened.ok()) << opened;
  if (!opened.ok()) return false;
  script.oracle()->CheckReopened(script.cache(), script.LossOf(Loss::kUnsynced),
                                 epoch, script.now());
  script.ExpectWorks();
  return false;
}

}  // namespace

int64_t CutPowerAtEach(Script::Options options, OperationPoints which,
                       uint64_t seed) {
  return ForEachOperation(options, which, "LARDER_CUTS", [&](uint64_t n) {
    EXPECT_FALSE(CutPowerAt(options, n, seed * 1'000'003 + n));
  });
}

}  // namespace larder::tests
