// The works: each measures one or more rows of the report.
//
// All run every store on the same data, round by round, and report medians
// over the rounds. All are single-owner.
#ifndef LARDER_BENCH_WORK_H_
#define LARDER_BENCH_WORK_H_

#include <vector>

#include "absl/status/statusor.h"
#include "bench/report.h"
#include "bench/setting.h"

namespace larder::bench {

using Rows = std::vector<Row>;

struct Work {
  const char* name;     // Each of its rows' names starts with it.
  const char* measure;  // What it does, for --help.
  absl::StatusOr<Rows> (*run)(const Setting& setting);
};

}  // namespace larder::bench

#endif  // LARDER_BENCH_WORK_H_
