#include "tests/model/model_run.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <new>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cache/check.h"
#include "tests/model/plan.h"
#include "tests/support/failure_directory.h"
#include "tests/support/forked.h"
#include "tests/support/seeded.h"
#include "tests/support/shrink.h"

namespace larder::tests {
namespace {

// A run that was cut down ends within this, also on a loaded machine.
constexpr int kSilenceMsMax = 120'000;
constexpr size_t kPrintedOperationsMax = 300;
constexpr char kHeader[] = "# operations of larder's cache model, format 1";

// What the forked process tells while it runs.
struct Shared {
  std::atomic<int64_t> at{0};
  CacheModel::Counts counts;
};

class SharedMemory {
 public:
  SharedMemory() {
    void* mapped = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    LARDER_CHECK(mapped != MAP_FAILED);
    shared_ = new (mapped) Shared;
  }
  ~SharedMemory() { munmap(shared_, sizeof(Shared)); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  Shared* operator->() { return shared_; }

 private:
  Shared* shared_;
};

// Runs lists of operations, each in a process of its own.
class Runner {
 public:
  explicit Runner(const CacheModel::Options& options) : options_(options) {}

  // Returns: whether all is well; else `where()` and `output()` say what is
  // not.
  bool Run(const Operations& operations, int silence_ms_max) {
    const ForkedRun run = RunForked(
        [&] {
          {
            CacheModel model(options_);
            model.Run(operations, &shared_->at);
            shared_->counts = model.counts();
          }
          return !::testing::Test::HasFailure();
        },
        silence_ms_max);
    where_ = run.passed ? "" : Where(run);
    output_ = run.output;
    return run.passed;
  }

  const std::string& where() const { return where_; }
  const std::string& output() const { return output_; }
  // Of the last run: the operation that it ended in.
  size_t at() { return static_cast<size_t>(shared_->at); }
  const CacheModel::Counts& counts() { return shared_->counts; }

 private:
  static std::string Where(const ForkedRun& run) {
    const std::vector<std::string> lines = absl::StrSplit(run.output, '\n');
    for (const std::string& line : lines) {
      if (absl::StrContains(line, ": Failure") ||
          absl::StrContains(line, ": CHECK failed")) {
        return line;
      }
    }
    return run.end;
  }

  const CacheModel::Options options_;
  SharedMemory shared_;
  std::string where_, output_;
};

Operations Pick(const Operations& operations, const Selection& selection) {
  Operations picked;
  for (const size_t i : selection) picked.push_back(operations[i]);
  return picked;
}

// Makes a failing list short and plain, as long as it fails in the same place.
class Shrinker {
 public:
  Shrinker(Runner* runner, int64_t operations_max, ModelFailure* failure)
      : runner_(runner), budget_(operations_max), failure_(failure) {}

  void Run() {
    // What one step makes plainer, the next may make shorter.
    constexpr int kRoundsMax = 5;
    for (int round = 0; round < kRoundsMax; ++round) {
      const Operations before = failure_->operations;
      failure_->operations = Pick(
          before,
          ShrinkList(before.size(), budget_ / 2, [&](const Selection& some) {
            return Fails(Pick(before, some));
          }));
      DropKinds();
      MoveDeathsToTheEnd();
      SetToZero();
      if (failure_->operations == before) return;
    }
  }

 private:
  bool Fails(const Operations& operations) {
    const int64_t cost = static_cast<int64_t>(operations.size());
    if (cost > budget_) return false;
    budget_ -= cost;
    if (runner_->Run(operations, kSilenceMsMax)) return false;
    if (runner_->where() != failure_->where) return false;
    failure_->output = runner_->output();
    return true;
  }

  // Takes over `operations` if they fail.
  bool Try(const Operations& operations) {
    if (!Fails(operations)) return false;
    // What comes behind the failure did not run.
    failure_->operations.assign(
        operations.begin(),
        operations.begin() + static_cast<ptrdiff_t>(std::min(
                                 runner_->at() + 1, operations.size())));
    return true;
  }

  // What is cut out of the middle changes what a later power cut takes; the
  // reads and sweeps all over the list often do not.
  void DropKinds() {
    std::set<Operation::Kind> kinds;
    for (const Operation& o : failure_->operations) kinds.insert(o.kind);
    for (const Operation::Kind kind : kinds) {
      Operations rest = failure_->operations;
      std::erase_if(rest, [&](const Operation& o) { return o.kind == kind; });
      Try(rest);
    }
  }

  // A crash that is armed to come later needs operations that use the disk
  // until then; one that comes at once needs none.
  void MoveDeathsToTheEnd() {
    for (size_t i = 0; i < failure_->operations.size(); ++i) {
      if (failure_->operations[i].kind != Operation::Kind::kCrash) continue;
      for (size_t to = failure_->operations.size() - 1; to >= i + 1; --to) {
        Operations moved = failure_->operations;
        Operation crash = moved[i];
        crash.dies = 0;
        moved.erase(moved.begin() + static_cast<ptrdiff_t>(i));
        moved.insert(moved.begin() + static_cast<ptrdiff_t>(to), crash);
        if (Try(moved)) break;
      }
    }
  }

  // Whatever need not be anything else.
  void SetToZero() {
    for (size_t i = 0; i < failure_->operations.size(); ++i) {
      for (uint64_t Operation::*field : FieldsInUse(failure_->operations[i])) {
        Operations plainer = failure_->operations;
        plainer[i].*field = 0;
        Try(plainer);
        if (i >= failure_->operations.size()) return;
      }
    }
  }

  Runner* const runner_;
  int64_t budget_;
  ModelFailure* const failure_;
};

void Report(const ModelTest& test, const std::string& from,
            const ModelFailure& failure) {
  const std::string text = FormatReplay(test.evicting, failure.operations);
  const std::string path =
      absl::StrCat(FailureDirectory(), "/model_",
                   test.evicting ? "evicting" : "roomy", ".operations");
  std::ofstream(path) << text;
  std::printf("%s\nThe %zu operations that are needed for it:\n%s",
              failure.output.c_str(), failure.operations.size(),
              failure.operations.size() > kPrintedOperationsMax
                  ? "(too many to print)\n"
                  : text.c_str());
  ADD_FAILURE() << from << ": " << failure.where << "\nsaved in " << path
                << " (from Bazel: in outputs.zip beside test.log); replay: "
                   "--test_env=LARDER_REPLAY=FILE";
}

std::string Describe(const CacheModel::Counts& c) {
  return absl::StrCat(c.crashes, " crashes, ", c.backups, " backups (",
                      c.backup_deaths, " died), ", c.restores, " restores (",
                      c.restore_deaths, " died, ", c.restores_skipping,
                      " skipped what was flushed later, ", c.switches,
                      " gone on with)");
}

void RunReplay(const ModelTest& test, const char* path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  const auto replay = ParseReplay(text.str());
  ASSERT_TRUE(replay.ok()) << path << ": " << replay.status();
  if (replay->evicting != test.evicting) {
    GTEST_SKIP() << path << " is for the other kind of model";
  }
  // In this process, where a debugger finds it.
  std::atomic<int64_t> at{0};
  CacheModel({.evicting = test.evicting}).Run(replay->operations, &at);
  std::printf("%s: ended in operation %lld of %zu\n", path,
              static_cast<long long>(at), replay->operations.size());
}

}  // namespace

std::optional<ModelFailure> RunAndShrink(const CacheModel::Options& options,
                                         const Operations& operations,
                                         int64_t shrink_operations_max,
                                         CacheModel::Counts* counts) {
  Runner runner(options);
  if (runner.Run(operations, -1)) {
    *counts = runner.counts();
    return std::nullopt;
  }
  ModelFailure failure;
  failure.where = runner.where();
  failure.output = runner.output();
  failure.operations = operations;
  // What comes behind the failure did not run.
  failure.operations.resize(std::min(runner.at() + 1, operations.size()));
  // In case that what follows is cut short.
  std::printf("%s\nin operation %zu of %zu; shrinking\n", failure.where.c_str(),
              runner.at(), operations.size());
  std::fflush(stdout);
  Shrinker(&runner, shrink_operations_max, &failure).Run();
  return failure;
}

std::string FormatReplay(bool evicting, const Operations& operations) {
  std::string text =
      absl::StrCat(kHeader, "\n", evicting ? "evicting" : "roomy", "\n");
  for (const Operation& o : operations) {
    absl::StrAppend(&text, FormatOperation(o), "\n");
  }
  return text;
}

absl::StatusOr<Replay> ParseReplay(const std::string& text) {
  const std::vector<std::string> lines =
      absl::StrSplit(text, '\n', absl::SkipEmpty());
  if (lines.size() < 2 || lines[0] != kHeader ||
      (lines[1] != "evicting" && lines[1] != "roomy")) {
    return absl::InvalidArgumentError("no operations of a model");
  }
  Replay replay;
  replay.evicting = lines[1] == "evicting";
  for (size_t i = 2; i < lines.size(); ++i) {
    const auto operation = ParseOperation(lines[i]);
    if (!operation.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", i + 1, ": ", operation.status().message()));
    }
    replay.operations.push_back(*operation);
  }
  return replay;
}

void RunModelTest(const ModelTest& test) {
  if (const char* path = std::getenv("LARDER_REPLAY"); path != nullptr) {
    return RunReplay(test, path);
  }
  const uint64_t first = SeedOr(1);
  const int64_t runs = CountOr("LARDER_RUNS", test.runs);
  const int64_t operations = CountOr("LARDER_OPERATIONS", test.operations);
  for (int64_t i = 0; i < runs; ++i) {
    const uint64_t seed = first + static_cast<uint64_t>(i);
    std::printf("LARDER_SEED=%llu: ", static_cast<unsigned long long>(seed));
    std::fflush(stdout);
    CacheModel::Counts done;
    const auto failure = RunAndShrink(
        {.evicting = test.evicting}, PlanOperations(seed, operations),
        /*shrink_operations_max=*/100'000 + 2 * operations, &done);
    if (failure.has_value()) {
      return Report(test, absl::StrCat("LARDER_SEED=", seed), *failure);
    }
    std::printf("%lld operations, %s\n", static_cast<long long>(operations),
                Describe(done).c_str());
    // What it is made of came to pass, in all but the shortest runs.
    if (operations < 10'000) continue;
    EXPECT_GT(done.crashes, 0);
    EXPECT_GT(done.backup_deaths, 0);
    EXPECT_GT(done.restore_deaths, 0);
    EXPECT_GT(done.restores_skipping, 0);
    EXPECT_GT(done.switches, 0);
  }
}

}  // namespace larder::tests
