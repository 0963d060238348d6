// Cuts the power after I/O operations of the script, opens the L2 again, and
// expects the state of a committed epoch no older than the last durable one, a
// sound directory, and a cache that goes on working.
#ifndef LARDER_TESTS_CRASH_POWER_CUT_H_
#define LARDER_TESTS_CRASH_POWER_CUT_H_

#include <cstdint>

#include "tests/crash/each_operation.h"
#include "tests/crash/script.h"

namespace larder::tests {

// One after the other, in a new script each. `seed` says what of the unsynced
// writes survives. LARDER_FIRST and LARDER_CUTS take the place of `which` and
// bound how many. Returns: how many it cut without a failure.
int64_t CutPowerAtEach(Script::Options options, OperationPoints which,
                       uint64_t seed);

}  // namespace larder::tests

#endif  // LARDER_TESTS_CRASH_POWER_CUT_H_
