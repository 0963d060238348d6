// Draws the operations of a model run from its seed.
#ifndef LARDER_TESTS_MODEL_PLAN_H_
#define LARDER_TESTS_MODEL_PLAN_H_

#include <cstdint>

#include "tests/model/operation.h"

namespace larder::tests {

// The same for the same arguments, on every machine.
Operations PlanOperations(uint64_t seed, int64_t count);

}  // namespace larder::tests

#endif  // LARDER_TESTS_MODEL_PLAN_H_
