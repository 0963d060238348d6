#include "tests/crash/power_cut.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tests/support/seeded.h"

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

int64_t CutPowerAtEach(Script::Options options, CutPoints which,
                       uint64_t seed) {
  const uint64_t operations = OperationsOf(options);
  const uint64_t first = static_cast<uint64_t>(
      CountOr("LARDER_FIRST", static_cast<int64_t>(which.first)));
  const int64_t cuts = CountOr("LARDER_CUTS", 1'000'000);
  int64_t done = 0;
  for (uint64_t n = first; n < operations && done < cuts; n += which.stride) {
    SCOPED_TRACE(absl::StrCat("LARDER_FIRST=", n));
    EXPECT_FALSE(CutPowerAt(options, n, seed * 1'000'003 + n));
    if (::testing::Test::HasFailure()) break;
    ++done;
  }
  std::printf("%lld power cuts in %llu operations\n",
              static_cast<long long>(done),
              static_cast<unsigned long long>(operations));
  EXPECT_GT(operations, 200);
  return done;
}

}  // namespace larder::tests
