// Cuts the power after I/O operations of the script, opens the L2 again, and
// expects the state of a committed epoch no older than the last durable one, a
// sound directory, and a cache that goes on working.
#ifndef LARDER_TESTS_CRASH_POWER_CUT_H_
#define LARDER_TESTS_CRASH_POWER_CUT_H_

#include <cstdint>

#include "tests/crash/script.h"

namespace larder::tests {

// Which of the script's operations something goes wrong at: from `first` on,
// each `stride`-th.
struct CutPoints {
  uint64_t first = 0;
  uint64_t stride = 1;
};

// One after the other, in a new script each. `seed` says what of the unsynced
// writes survives. LARDER_FIRST and LARDER_CUTS take the place of `which` and
// bound how many. Returns: how many it cut without a failure.
int64_t CutPowerAtEach(Script::Options options, CutPoints which, uint64_t seed);

}  // namespace larder::tests

#endif  // LARDER_TESTS_CRASH_POWER_CUT_H_
