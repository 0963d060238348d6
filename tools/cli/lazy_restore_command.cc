#include "tools/cli/lazy_restore_command.h"

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/lazy_restore.h"
#include "backup/restore.h"
#include "cache/clock.h"
#include "cache/l2/file.h"
#include "cache/status_macros.h"
#include "tools/cli/hydrating_l2.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/key_flag.h"
#include "tools/cli/losses.h"
#include "tools/cli/units.h"

namespace larder::cli {
namespace {

using backup::HydratingL2;
using backup::LazyRestore;
using backup::LazyRestoreOptions;
using backup::LazyRestoreReport;

// Between two looks at the progress.
constexpr int64_t kSliceBytes = int64_t{8} << 20;

// The archives' paths are kept: the next process may be elsewhere.
std::string Absolute(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.string();
}

absl::StatusOr<LazyRestoreOptions> OptionsOf(const RestoreFlags& flags) {
  LazyRestoreOptions options;
  for (const std::string& path : flags.more_directories) {
    options.archives.push_back(Absolute(path));
  }
  if (!flags.directory.empty()) {
    options.archives.insert(options.archives.begin(),
                            Absolute(flags.directory));
  }
  options.snapshot_id = flags.snapshot;
  options.not_after_unix_ms = flags.not_after_unix_ms;
  options.cache = ToolOptions(flags.cache, OpenMode::kStore);
  options.cache.l2_must_exist = false;
  options.holder = HolderOf(flags.cache.l2);
  options.cancellation = InterruptFlag();
  LARDER_ASSIGN_OR_RETURN(options.keys, ReadKeys(flags.cache.key_file));
  LARDER_ASSIGN_OR_RETURN(
      const std::optional<HydratingL2> hydrating,
      LazyRestore::FindHydrating(cache::l2::PosixFileSystem(), flags.cache.l2));
  if (hydrating.has_value()) {
    FitBudget(hydrating->records, hydrating->stored_bytes, flags.cache,
              &options.cache);
    return options;
  }
  if (options.archives.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        flags.cache.l2, ": no restore to go on with: --from is needed"));
  }
  // An archive that cannot be read is told by the open.
  const absl::StatusOr<backup::Archive> archive =
      backup::Archive::Open(options.archives.front(), nullptr, options.keys);
  if (!archive.ok()) return options;
  backup::RestoreOptions restore;
  restore.snapshot_id = options.snapshot_id;
  restore.not_after_unix_ms = options.not_after_unix_ms;
  restore.cache = options.cache;
  restore.cache.l2_bytes_max = std::numeric_limits<int64_t>::max();
  const absl::StatusOr<backup::RestorePlan> plan =
      backup::PlanRestore(*archive, restore);
  if (plan.ok()) {
    FitBudget(plan->records, plan->records_stored_bytes, flags.cache,
              &options.cache);
  }
  return options;
}

void AddFacts(const LazyRestoreReport& report, double open_millis,
              JsonObject* facts) {
  facts->String("snapshot", report.snapshot_id)
      .Bool("lazy", true)
      .Bool("resumed", report.resumed)
      .Bool("done", report.done)
      .Number("open_ms", open_millis)
      .Int("planned_blobs", report.records)
      .Int("blobs", report.records_added)
      .Int("blobs_expired", report.records_expired)
      .Int("blobs_skipped", report.records_invalidated)
      .Int("blobs_without_room", report.records_without_room)
      .Int("blobs_hidden", report.records_hidden)
      .Int("blobs_lost", report.lost.blobs)
      .Int("bytes", report.bytes_added);
}

absl::Status GiveUp(const RestoreFlags& flags, Console* console,
                    CommandResult* result) {
  cache::BlobCacheOptions options = ToolOptions(flags.cache, OpenMode::kLook);
  // What says how large it was to be may be damaged.
  const auto hydrating =
      LazyRestore::FindHydrating(cache::l2::PosixFileSystem(), flags.cache.l2);
  if (hydrating.ok() && hydrating->has_value()) {
    FitBudget((*hydrating)->records, (*hydrating)->stored_bytes, flags.cache,
              &options);
  }
  LARDER_ASSIGN_OR_RETURN(const backup::HydrationGivenUp given_up,
                          LazyRestore::GiveUp(std::move(options)));
  result->facts.String("snapshot", given_up.snapshot_id)
      .Bool("lazy", true)
      .Bool("given_up", true)
      .Int("planned_blobs", given_up.records)
      .Int("blobs_missing", given_up.records_missing);
  console->Say(given_up.snapshot_id.empty()
                   ? std::string("gave up    an unknown number of blobs")
                   : absl::StrCat("gave up    up to ",
                                  FormatCount(given_up.records_missing), " of ",
                                  FormatPlural(given_up.records, "blob"),
                                  " of snapshot ", given_up.snapshot_id));
  console->Say(
      absl::StrCat("done       ", flags.cache.l2, " is as any other L2 now"));
  return absl::OkStatus();
}

void SayLeftOut(int64_t count, absl::string_view why, Console* console) {
  if (count == 0) return;
  console->Say(absl::StrCat("left out   ", FormatPlural(count, "blob"), why));
}

}  // namespace

absl::Status RestoreLazily(const RestoreFlags& flags, Console* console,
                           CommandResult* result) {
  if (flags.give_up) return GiveUp(flags, console, result);
  LARDER_ASSIGN_OR_RETURN(LazyRestoreOptions options, OptionsOf(flags));
  options.on_loss = [&](const backup::Loss& loss) {
    console->Fail(LossName(loss), loss.reason, &result->failures);
  };
  const int64_t start_nanos = cache::SystemClock()->NowSteadyNanos();
  absl::StatusOr<std::unique_ptr<LazyRestore>> opened =
      LazyRestore::Open(std::move(options));
  // One that is held by another process goes on there.
  if (absl::IsUnavailable(opened.status())) return opened.status();
  if (!opened.ok()) return WithWaysOn(flags.cache.l2, opened.status());
  const std::unique_ptr<LazyRestore> lazy = *std::move(opened);
  const int64_t open_nanos =
      cache::SystemClock()->NowSteadyNanos() - start_nanos;
  const LazyRestoreReport before = lazy->Report();
  for (const std::string& warning : before.warnings) {
    console->Fail(before.snapshot_id, warning, &result->failures);
  }
  // What was lost before an interrupt is lost still.
  for (const backup::Loss& loss : before.lost.listed) {
    console->Fail(LossName(loss), loss.reason, &result->failures);
  }
  if (!before.unprotected.ok()) {
    console->Warn(absl::StrCat("no lease: ", before.unprotected.message()));
  }
  console->Say(absl::StrCat("snapshot   ", before.snapshot_id));
  console->Say(absl::StrCat(
      "open       ", flags.cache.l2,
      before.resumed ? " goes on" : " is published", " after ",
      FormatNanos(open_nanos), "; ", FormatPlural(before.records, "blob"),
      ", stored in ", FormatBytes(before.stored_bytes), ", to come"));
  Progress* progress = console->StartProgress("hydrate", before.stored_bytes);
  absl::StatusOr<bool> done = false;
  while (done.ok() && !*done) {
    done = lazy->Hydrate(kSliceBytes);
    progress->Set(lazy->Report().bytes_added, before.stored_bytes);
  }
  console->EndProgress();
  if (!done.ok()) {
    // So that going on takes nothing twice.
    lazy->Checkpoint().IgnoreError();
  }
  const LazyRestoreReport report = lazy->Report();
  AddFacts(report, static_cast<double>(open_nanos) / 1e6, &result->facts);
  if (absl::IsCancelled(done.status())) {
    return absl::CancelledError(absl::StrCat(
        "interrupted with ", FormatPlural(report.records_added, "blob"),
        " there; 'larder get' fetches the others, and the same command goes "
        "on"));
  }
  LARDER_RETURN_IF_ERROR(done.status());
  console->Say(absl::StrCat("restored   ",
                            FormatPlural(report.records_added, "blob"), " to ",
                            flags.cache.l2));
  SayLeftOut(report.records_expired, " that expired since", console);
  SayLeftOut(report.records_invalidated, " that were invalidated since",
             console);
  SayLeftOut(report.records_without_room, " that there is no room for",
             console);
  SayLeftOut(report.records_hidden, " that damage of the L2 hides", console);
  console->Say(absl::StrCat(
      "took       ",
      FormatNanos(cache::SystemClock()->NowSteadyNanos() - start_nanos)));
  return absl::OkStatus();
}

}  // namespace larder::cli
