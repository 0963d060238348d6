#include "bench/report.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace larder::bench {
namespace {

// Three significant digits, never in exponents.
std::string Short(double value) {
  if (!std::isfinite(value)) return "-";
  const double size = std::abs(value);
  if (size >= 99.95) return absl::StrFormat("%.0f", value);
  if (size >= 9.995) return absl::StrFormat("%.1f", value);
  if (size >= 0.9995 || size == 0) return absl::StrFormat("%.2f", value);
  return absl::StrFormat("%.3g", value);
}

std::string ClauseText(const Clause& clause) {
  return absl::StrCat(clause.what,
                      clause.side == Clause::Side::kAtMost ? " <= " : " >= ",
                      clause.limit, ": ", Short(clause.value));
}

std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      absl::StrAppend(&out, "\\", std::string(1, c));
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppendFormat(&out, "\\u%04x", static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
  return out;
}

std::string Number(double value) {
  return std::isfinite(value) ? absl::StrCat(value) : "null";
}

std::string RowJson(const Row& row) {
  const auto peer = [](std::string* out,
                       const std::pair<std::string, double>& p) {
    absl::StrAppend(out, Quoted(p.first), ": ", Number(p.second));
  };
  return absl::StrCat("{\"work\": ", Quoted(row.work),
                      ", \"unit\": ", Quoted(row.unit),
                      ", \"larder\": ", Number(row.larder), ", \"peers\": {",
                      absl::StrJoin(row.peers, ", ", peer),
                      "}, \"bar\": ", Quoted(BarText(row)),
                      ", \"holds\": ", Holds(row) ? "true" : "false", "}");
}

}  // namespace

Clause AtMost(absl::string_view what, double value, double limit) {
  return {std::string(what), value, Clause::Side::kAtMost, limit};
}

Clause AtLeast(absl::string_view what, double value, double limit) {
  return {std::string(what), value, Clause::Side::kAtLeast, limit};
}

bool Holds(const Clause& clause) {
  // Comparisons with NaN are false.
  return clause.side == Clause::Side::kAtMost ? clause.value <= clause.limit
                                              : clause.value >= clause.limit;
}

bool Holds(const Row& row) {
  for (const Clause& clause : row.bar) {
    if (!Holds(clause)) return false;
  }
  return !row.bar.empty();
}

std::string BarText(const Row& row) {
  return absl::StrJoin(row.bar, "; ",
                       [](std::string* out, const Clause& clause) {
                         absl::StrAppend(out, ClauseText(clause));
                       });
}

std::string Table(const std::vector<Row>& rows) {
  std::string out;
  for (const Row& row : rows) {
    absl::StrAppendFormat(&out, "%s  [%s]\n", row.work, row.unit);
    absl::StrAppendFormat(&out, "  %-28s %10s\n", "larder", Short(row.larder));
    for (const auto& [name, value] : row.peers) {
      absl::StrAppendFormat(&out, "  %-28s %10s  %7s x larder\n", name,
                            Short(value), Short(value / row.larder));
    }
    for (const Clause& clause : row.bar) {
      absl::StrAppendFormat(&out, "  %s %s\n",
                            Holds(clause) ? "holds " : "MISSED",
                            ClauseText(clause));
    }
  }
  return out;
}

std::string Json(const std::vector<Row>& rows) {
  return absl::StrCat("{\"rows\": [",
                      absl::StrJoin(rows, ", ",
                                    [](std::string* out, const Row& row) {
                                      absl::StrAppend(out, RowJson(row));
                                    }),
                      "]}");
}

}  // namespace larder::bench
