#include "tests/crash/each_operation.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

// How many operations of the disk the whole script takes.
uint64_t OperationsOf(const Script::Options& options) {
  Script script(options);
  const bool never = false;
  script.Run(&never);
  script.Close();
  return script.disk()->operation_count();
}

}  // namespace

int64_t ForEachOperation(const Script::Options& options, OperationPoints which,
                         const char* count_name,
                         absl::FunctionRef<void(uint64_t operation)> run) {
  const uint64_t operations = OperationsOf(options);
  EXPECT_GT(operations, 200);
  const uint64_t first = static_cast<uint64_t>(
      CountOr("LARDER_FIRST", static_cast<int64_t>(which.first)));
  const int64_t most = CountOr(count_name, 1'000'000);
  int64_t done = 0;
  for (uint64_t n = first; n < operations && done < most; n += which.stride) {
    SCOPED_TRACE(absl::StrCat("LARDER_FIRST=", n));
    run(n);
    if (::testing::Test::HasFailure()) break;
    ++done;
  }
  std::printf("%lld of %llu operations\n", static_cast<long long>(done),
              static_cast<unsigned long long>(operations));
  return done;
}

}  // namespace larder::tests
