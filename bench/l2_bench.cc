// L2 beside its peers; see docs/bench/l2.md.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <system_error>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/l2/absent.h"
#include "bench/l2/eviction.h"
#include "bench/l2/footprint.h"
#include "bench/l2/gets.h"
#include "bench/l2/invalidations.h"
#include "bench/l2/puts.h"
#include "bench/l2/reopen.h"
#include "bench/l2/sweep.h"
#include "bench/l2/work.h"
#include "bench/measure.h"
#include "bench/report.h"
#include "bench/setting.h"

namespace larder::bench {
namespace {

// Relative to the workspace, when Bazel says where that is.
std::string DefaultTraces() {
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  return absl::StrCat(workspace == nullptr ? "." : workspace,
                      "/../shared/traces");
}

constexpr Work kWorks[] = {
    {"get 16 KiB", "32,000 incompressible blobs, in random order", Get16KiB},
    {"get 1 KiB", "200,000 incompressible blobs, in random order", Get1KiB},
    {"get 5 MiB incompressible", "64 blobs", Get5MiB},
    {"get 5 MiB JSON", "64 blobs, compressed on disk", Get5MiBJson},
    {"partial get", "64 KiB in the middle of 64 MiB", GetPart},
    {"put 16 KiB", "32,000 new keys, interval durability", Put16KiB},
    {"put every_put", "1 KiB, group commit: 8 threads against 1", PutEveryPut},
    {"absent key", "1,000,000 records; skip rate while they grow", AbsentKey},
    {"reopen", "1,000,000 records, after a close and a kill -9", Reopen},
    {"FlushNamespace", "1,000,000 records; p99", FlushNamespaces},
    {"invalidate", "by tag, dependency, prefix; 1,000,000 records", Invalidate},
    {"SweepExpired", "1,000,000 due records, beside a reader", SweepDue},
    {"memory", "anonymous memory, at 1,000,000 records", MemoryPerRecord},
    {"disk after churn", "10x a budget of 128 MiB put, once", DiskAfterChurn},
    {"eviction", "hit ratios on traces beside FIFO and LRU, once", Eviction},
};

std::string Footer() {
  std::string out = "Rows (--rows takes any part of a name):\n";
  for (const Work& work : kWorks) {
    absl::StrAppendFormat(&out, "  %-28s %s\n", work.name, work.measure);
  }
  absl::StrAppend(&out,
                  "Each row's peers, bar and caveats: docs/bench/l2.md\n");
  return out;
}

// Runs what `rows` selects. Prints rows as they come; JSON at the end.
int Run(const Setting& setting, const std::string& rows, bool json) {
  Rows all;
  bool failed = false;
  for (const Work& work : kWorks) {
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

int Main(int argc, char** argv) {
  Setting setting;
  setting.traces = DefaultTraces();
  std::string rows;
  bool json = false;
  CLI::App app("Larder's L2 beside LMDB, RocksDB, Redis and plain files.");
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
                 "Only these stores beside larder, for a quick look: lmdb, "
                 "rocksdb, \"rocksdb blobdb\", redis, raw")
      ->delimiter(',');
  app.add_option("--traces", setting.traces,
                 "Directory of the traces (default: ../shared/traces beside "
                 "the workspace)");
  app.add_flag("--json", json, "One JSON object on the last line");
  std::string child;
  app.add_option("--child", child)->group("");  // For ourselves.
  app.footer(Footer());
  CLI11_PARSE(app, argc, argv);
  if (child == "killed") return RunKilledChild(setting.dir);
  if (child == "memory") return RunMemoryChild(setting.dir);

  std::string made = "/tmp/l2_bench.XXXXXX";
  if (setting.dir.empty()) {
    if (mkdtemp(made.data()) == nullptr) {
      std::cerr << made << ": cannot be made\n";
      return 1;
    }
    setting.dir = made;
  } else {
    made.clear();
  }
  const int code = Run(setting, rows, json);
  std::error_code ignored;
  if (!made.empty()) std::filesystem::remove_all(made, ignored);
  return code;
}

}  // namespace
}  // namespace larder::bench

int main(int argc, char** argv) { return larder::bench::Main(argc, argv); }
