#include "bench/program.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <system_error>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/measure.h"
#include "bench/report.h"

namespace larder::bench {
namespace {

// Relative to the workspace, when Bazel says where that is.
std::string DefaultTraces() {
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  return absl::StrCat(workspace == nullptr ? "." : workspace,
                      "/../shared/traces");
}

std::string Footer(const Program& program) {
  std::string out = "Rows (--rows takes any part of a name):\n";
  for (const Work& work : program.works) {
    absl::StrAppendFormat(&out, "  %-28s %s\n", work.name, work.measure);
  }
  absl::StrAppend(&out, "Each row's peers, bar and caveats: ", program.page,
                  "\n");
  return out;
}

int RunWorks(const Program& program, const Setting& setting,
             const std::string& rows, bool json) {
  Rows all;
  bool failed = false;
  for (const Work& work : program.works) {
    if (!absl::StrContains(work.name, rows)) continue;
    const Stopwatch watch;
    absl::StatusOr<Rows> found = work.run(setting);
    if (!found.ok()) {
      std::cerr << work.name << ": " << found.status().ToString() << "\n";
      failed = true;
      continue;
    }
    std::cout << Table(*found) << std::flush;
    std::cerr << absl::StrFormat("(%s took %.0f s)\n", work.name,
                                 watch.seconds());
    all.insert(all.end(), found->begin(), found->end());
  }
  if (json) std::cout << Json(all) << std::endl;
  if (!all.empty()) return failed ? 1 : 0;
  if (!failed) std::cerr << "no row is named like " << rows << "\n";
  return failed ? 1 : 2;
}

}  // namespace

int RunProgram(const Program& program, int argc, char** argv) {
  Setting setting;
  std::string rows;
  bool json = false;
  CLI::App app(program.about);
  app.add_option("--rows", rows, "Only the rows whose name contains this");
  app.add_option("--dir", setting.dir,
                 "Where to write; up to 10 GiB, deleted afterwards "
                 "(default: a temporary directory)");
  app.add_option("--scale", setting.scale,
                 "Fraction of the full counts of keys; the bars speak of 1")
      ->check(CLI::Range(0.0001, 1.0));
  app.add_option("--rounds", setting.rounds, "Rounds to take medians over")
      ->check(CLI::Range(1, 1000));
  app.add_option("--peers", setting.peers,
                 absl::StrCat("Only these beside larder, for a quick look: ",
                              program.peers))
      ->delimiter(',');
  if (program.reads_traces) {
    setting.traces = DefaultTraces();
    app.add_option("--traces", setting.traces,
                   "Directory of the traces (default: ../shared/traces beside "
                   "the workspace)");
  }
  app.add_flag("--json", json, "One JSON object on the last line");
  std::string child;
  app.add_option("--child", child)->group("");  // For ourselves.
  app.footer(Footer(program));
  CLI11_PARSE(app, argc, argv);
  if (!child.empty()) return program.run_child(child, setting);

  std::string made = absl::StrCat("/tmp/", program.name, ".XXXXXX");
  if (setting.dir.empty()) {
    if (mkdtemp(made.data()) == nullptr) {
      std::cerr << made << ": cannot be made\n";
      return 1;
    }
    setting.dir = made;
  } else {
    made.clear();
  }
  const int code = RunWorks(program, setting, rows, json);
  std::error_code ignored;
  if (!made.empty()) std::filesystem::remove_all(made, ignored);
  return code;
}

}  // namespace larder::bench
