// What a benchmark found: rows, as a table for people and as JSON.
#ifndef LARDER_BENCH_REPORT_H_
#define LARDER_BENCH_REPORT_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace larder::bench {

// One condition that a row has to meet: `value` may not pass `limit`.
struct Clause {
  enum class Side { kAtMost, kAtLeast };
  std::string what;  // "time / lmdb"
  double value = 0;
  Side side = Side::kAtMost;
  double limit = 0;
};

Clause AtMost(absl::string_view what, double value, double limit);
Clause AtLeast(absl::string_view what, double value, double limit);

// False also when the value is not a number: nothing was measured.
bool Holds(const Clause& clause);

// One line of the report. A plain value.
struct Row {
  std::string work;
  std::string unit = {};  // Of `larder` and of `peers`.
  double larder = 0;
  std::vector<std::pair<std::string, double>> peers = {};
  std::vector<Clause> bar = {};
};

// Whether all of the bar holds; a row without a bar holds nothing.
bool Holds(const Row& row);

// Each clause with what it came to: "time / lmdb <= 1.3: 1.04; ...", or "-"
// where nothing was measured.
std::string BarText(const Row& row);

// For people: each row with its peers, the ratio of each to Larder, and what
// each clause of its bar came to.
std::string Table(const std::vector<Row>& rows);

// One line: {"rows": [{"work", "unit", "larder", "peers": {name: value}, "bar",
// "holds"}]}, "bar" as BarText() has it. What is not a finite number is null.
std::string Json(const std::vector<Row>& rows);

}  // namespace larder::bench

#endif  // LARDER_BENCH_REPORT_H_
