#include "tools/demo/demo.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/status_macros.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/units.h"
#include "tools/demo/backup_step.h"
#include "tools/demo/corpus.h"
#include "tools/demo/crash_step.h"
#include "tools/demo/import_step.h"
#include "tools/demo/narrator.h"
#include "tools/demo/readers.h"
#include "tools/demo/report.h"
#include "tools/demo/restore_step.h"
#include "tools/demo/stage.h"
#include "tools/demo/storm.h"
#include "tools/demo/workspace.h"

namespace larder::demo {
namespace {

constexpr int kReaders = 2;
constexpr int64_t kStormMillis = 4'000;
// Times the files' bytes: the L2, two replicas, the restored L2, and what the
// storm writes over; and what the programs' logs and trees take at least.
constexpr int64_t kSpaceFactor = 6;
constexpr int64_t kSpaceBytes = int64_t{512} << 20;

// What a development machine has first, what any Debian has last.
std::vector<std::string> RootsOf(const DemoFlags& flags) {
  if (!flags.from.empty()) return {flags.from};
  return {"/usr/include", "/usr/share", "/usr/lib", "/etc"};
}

CorpusLimits LimitsOf(const DemoFlags& flags) {
  CorpusLimits limits;
  if (flags.from.empty()) return limits;
  limits.files_max_per_root = 20'000;
  limits.bytes_max_per_root = int64_t{256} << 20;
  limits.file_bytes_max = int64_t{64} << 20;
  return limits;
}

absl::Status ChooseFiles(const DemoFlags& flags, Stage* stage) {
  const CorpusLimits limits = LimitsOf(flags);
  LARDER_ASSIGN_OR_RETURN(stage->corpus, CollectCorpus(RootsOf(flags), limits));
  const Corpus& corpus = stage->corpus;
  const auto files = static_cast<int64_t>(corpus.files.size());
  stage->narrator->Tell(
      "files", absl::StrCat(cli::FormatPlural(files, "real file"), ", ",
                            cli::FormatBytes(corpus.bytes), ", from ",
                            absl::StrJoin(corpus.roots, ", "),
                            corpus.more ? " (a part of what is there)" : ""));
  if (flags.from.empty() &&
      (files < limits.files_enough || corpus.bytes < limits.bytes_enough)) {
    stage->narrator->Tell("", "this machine has no more; it will do");
  }
  return absl::OkStatus();
}

// Only once there is something to do, so that a wrong path leaves nothing.
absl::Status ChoosePlace(const DemoFlags& flags, Stage* stage) {
  LARDER_ASSIGN_OR_RETURN(stage->work, MakeWorkDirectory(flags.work));
  return CheckFreeSpace(stage->work,
                        kSpaceBytes + kSpaceFactor * stage->corpus.bytes);
}

// Storm without a backup, for the comparison of latencies.
absl::Status StormAlone(Stage* stage, Readers* readers, Storm* storm) {
  LARDER_RETURN_IF_ERROR(storm->Start());
  readers->RecordTo(&stage->gets_without_backup);
  cache::Clock* clock = cache::SystemClock();
  const int64_t end_nanos = clock->NowSteadyNanos() + kStormMillis * 1'000'000;
  while (clock->NowSteadyNanos() < end_nanos && storm->status().ok()) {
    if (cli::Interrupted()) return cli::InterruptedError();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  readers->RecordTo(nullptr);
  const StormCounts counts = storm->counts();
  stage->narrator->Check(
      "storm", storm->status().ok(),
      absl::StrCat(cli::FormatMillis(kStormMillis), ": ",
                   cli::FormatPlural(counts.puts, "put"), " (",
                   cli::FormatBytes(counts.put_bytes), "), ",
                   cli::FormatPlural(counts.deletes, "delete"), ", ",
                   cli::FormatPlural(counts.invalidations, "tag"),
                   " invalidated, ", cli::FormatPlural(counts.sweeps, "sweep"),
                   " that removed ", cli::FormatPlural(counts.swept, "blob")));
  return storm->status();
}

absl::Status FlushScratch(Stage* stage) {
  cache::Clock* clock = cache::SystemClock();
  const int64_t start_nanos = clock->NowSteadyNanos();
  LARDER_ASSIGN_OR_RETURN(const cache::BlobCache::FlushResult flushed,
                          stage->cache->FlushNamespace(kScratchNamespace));
  stage->figures.flush_nanos = clock->NowSteadyNanos() - start_nanos;
  stage->model.OnFlush(kScratchNamespace, flushed.mutation);
  stage->narrator->Check(
      "flush", flushed.generation_after == flushed.generation_before + 1,
      absl::StrCat("namespace scratch, generation ", flushed.generation_before,
                   " to ", flushed.generation_after, ", in ",
                   cli::FormatNanos(stage->figures.flush_nanos),
                   "; the snapshot still has it"));
  return absl::OkStatus();
}

// Everything that happens beside readers.
absl::Status BusyHalf(Stage* stage) {
  Readers readers(stage);
  Storm storm(stage);
  readers.Start(kReaders);
  LARDER_RETURN_IF_ERROR(ImportFiles(stage, &readers));
  LARDER_RETURN_IF_ERROR(StormAlone(stage, &readers, &storm));
  LARDER_RETURN_IF_ERROR(BackUp(stage, &readers, &storm));
  LARDER_RETURN_IF_ERROR(FlushScratch(stage));
  storm.Stop();
  readers.Stop();
  stage->figures.gets = readers.gets();
  stage->narrator->Check("readers", readers.wrong() == 0,
                         absl::StrCat(cli::FormatPlural(readers.gets(), "get"),
                                      " beside all of this, ", readers.wrong(),
                                      " with wrong or torn bytes"));
  stage->narrator->Check("", stage->cache->Stats().l2.evictions == 0,
                         "nothing was evicted, so that all can be compared");
  return storm.status();
}

absl::Status RunSteps(const DemoFlags& flags, Stage* stage) {
  LARDER_RETURN_IF_ERROR(ChooseFiles(flags, stage));
  LARDER_RETURN_IF_ERROR(ChoosePlace(flags, stage));
  LARDER_ASSIGN_OR_RETURN(stage->cache,
                          OpenForDemo(stage->L2Path(), /*create=*/true));
  LARDER_RETURN_IF_ERROR(BusyHalf(stage));
  LARDER_RETURN_IF_ERROR(CrashAndReclaim(stage));
  LARDER_RETURN_IF_ERROR(RestoreAndCompare(stage));
  return VerifyAll(stage);
}

// Removes what the demo made for itself, unless somebody wants to look at it.
void CleanUp(const DemoFlags& flags, const Stage& stage, bool good) {
  std::error_code ignored;
  if (good && flags.work.empty()) {
    std::filesystem::remove_all(stage.work, ignored);
  } else if (!std::filesystem::remove(stage.work, ignored)) {  // Not empty.
    stage.narrator->Say(absl::StrCat("\nkept: ", stage.work));
  }
}

}  // namespace

cli::CommandResult RunDemo(const DemoFlags& flags, cli::Console* console) {
  cli::InterruptScope interruptible;
  cli::CommandResult result;
  Narrator narrator(console, &result.failures);
  Stage stage(&narrator);
  const int64_t start_nanos = cache::SystemClock()->NowSteadyNanos();
  result.status = RunSteps(flags, &stage);
  stage.cache.reset();
  AddReport(stage, &result.facts);
  if (result.status.ok() && !result.failures.empty()) {
    result.status = absl::DataLossError("not everything is as it must be");
  }
  const int64_t nanos = cache::SystemClock()->NowSteadyNanos() - start_nanos;
  if (result.status.ok()) {
    PrintReport(stage);
    narrator.Say(
        absl::StrCat("\nAll is well, in ", cli::FormatNanos(nanos), "."));
  }
  if (!stage.work.empty()) {
    const bool good = result.status.ok() || absl::IsCancelled(result.status);
    CleanUp(flags, stage, good);
  }
  return result;
}

}  // namespace larder::demo
