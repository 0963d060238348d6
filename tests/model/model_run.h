// Runs a model in a process of its own and, when it fails, looks for a short
// list of operations that fails the same way.
#ifndef LARDER_TESTS_MODEL_MODEL_RUN_H_
#define LARDER_TESTS_MODEL_MODEL_RUN_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/model/cache_model.h"
#include "tests/model/operation.h"

namespace larder::tests {

struct ModelFailure {
  // What tells it from others: the first check that failed, or how the process
  // ended.
  std::string where;
  std::string output;  // Of the shrunk list.
  Operations operations;
};

// Returns: nothing when all is well, and what was done in `*counts`.
// `shrink_operations_max` bounds the operations that shrinking takes. Requires
// that the test has not failed yet.
std::optional<ModelFailure> RunAndShrink(const CacheModel::Options& options,
                                         const Operations& operations,
                                         int64_t shrink_operations_max,
                                         CacheModel::Counts* counts);

// A list of operations as text, with what the model must be like.
std::string FormatReplay(bool evicting, const Operations& operations);
struct Replay {
  bool evicting = false;
  Operations operations;
};
// Errors: kInvalidArgument, naming the line.
absl::StatusOr<Replay> ParseReplay(const std::string& text);

// The test of one kind of model: LARDER_RUNS runs of LARDER_OPERATIONS
// operations from LARDER_SEED on, or else those given; a failure is shrunk,
// printed and saved. With LARDER_REPLAY=FILE, only what was saved there.
struct ModelTest {
  bool evicting = false;
  int64_t runs = 1;
  int64_t operations = 0;
};
void RunModelTest(const ModelTest& test);

}  // namespace larder::tests

#endif  // LARDER_TESTS_MODEL_MODEL_RUN_H_
