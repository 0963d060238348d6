// What the programs of benchmarks share: flags, order, report.
#ifndef LARDER_BENCH_PROGRAM_H_
#define LARDER_BENCH_PROGRAM_H_

#include <functional>
#include <string>

#include "absl/types/span.h"
#include "bench/setting.h"
#include "bench/work.h"

namespace larder::bench {

// A plain value.
struct Program {
  const char* name;   // Of the binary, for temporary directories.
  const char* about;  // What is beside what.
  const char* page;   // Which says the rest.
  const char* peers;  // The names that --peers takes.
  absl::Span<const Work> works;
  bool reads_traces = false;
  // Runs this program as a child that a work started (RunAgain()).
  // Returns: the exit code.
  std::function<int(const std::string& child, const Setting& setting)>
      run_child;
};

// Runs the works whose names --rows selects. Prints rows as they come; with
// --json one JSON object on the last line.
// Returns: the exit code: 1 when a work failed, 2 when none is named so.
int RunProgram(const Program& program, int argc, char** argv);

}  // namespace larder::bench

#endif  // LARDER_BENCH_PROGRAM_H_
