// Makes I/O operations of the script fail: never a crash, never wrong bytes,
// what was good stays, and the cache goes on serving.
#ifndef LARDER_TESTS_CRASH_FAULTS_H_
#define LARDER_TESTS_CRASH_FAULTS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "cache/l2/simulated_disk.h"
#include "tests/crash/each_operation.h"
#include "tests/crash/script.h"

namespace larder::tests {

// Whether an error may follow from a fault: it must say where it was. A pin
// gives way on a full disk.
bool IsClear(const absl::Status& status);

// What must hold when the fault is over and the process lives on.
void CheckAlive(Script* script, int64_t damaged_reads_max);

// One after the other, in a new script each. Every other cache that a fault
// degrades loses its power: `seed` says which ones, and what is left.
// LARDER_FIRST and LARDER_FAULTS take the place of `which` and bound how many.
// Returns: how many passed.
int64_t FailAtEach(Script::Options options,
                   cache::l2::SimulatedDisk::Fault fault, OperationPoints which,
                   uint64_t seed);

// Makes the disk break its word at a write, or a sync, one in a new script
// each: what is served stays right, or is a miss. What is left then opens, or
// says what is damaged; it serves no bytes that the key never had. Returns: how
// many passed.
enum class Deceit {
  kLie,        // It does nothing.
  kMisdirect,  // A write overwrites something else.
  kForget,     // Beside it, a page somewhere cannot be read any more.
};
int64_t DeceiveAtEach(Script::Options options, Deceit deceit,
                      OperationPoints which, uint64_t seed);

}  // namespace larder::tests

#endif  // LARDER_TESTS_CRASH_FAULTS_H_
