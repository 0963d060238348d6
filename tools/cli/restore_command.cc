#include "tools/cli/restore_command.h"

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "backup/archive.h"
#include "backup/loss.h"
#include "backup/outcome.h"
#include "backup/restore.h"
#include "cache/options.h"
#include "cache/status_macros.h"
#include "tools/cli/instant.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/key_flag.h"
#include "tools/cli/lazy_restore_command.h"
#include "tools/cli/losses.h"
#include "tools/cli/units.h"

namespace larder::cli {
namespace {

using backup::RestoreOptions;
using backup::RestorePlan;
using backup::RestoreReport;

RestoreOptions OptionsOf(const RestoreFlags& flags) {
  RestoreOptions options;
  options.snapshot_id = flags.snapshot;
  options.not_after_unix_ms = flags.not_after_unix_ms;
  options.files_path = flags.files_out;
  options.cache = ToolOptions(flags.cache, OpenMode::kStore);
  options.dry_run = flags.dry_run;
  options.cancellation = InterruptFlag();
  return options;
}

void AddPlan(const RestorePlan& plan, bool dry_run, JsonObject* facts) {
  facts->String("snapshot", plan.snapshot.id)
      .Bool("dry_run", dry_run)
      .Int("planned_blobs", plan.records)
      .Int("planned_blob_bytes", plan.records_raw_bytes)
      .Int("planned_files", plan.files)
      .Int("planned_file_bytes", plan.files_bytes)
      .Int("bytes_to_read", plan.bytes_to_read);
  JsonArray newer;
  for (const std::string& id : plan.newer_snapshots) newer.String(id);
  JsonArray others;
  for (const std::string& id : plan.newer_of_other_lineages) others.String(id);
  facts->Array("newer_snapshots", newer)
      .Array("newer_of_other_lineages", others);
}

void PrintPlan(const RestorePlan& plan, Console* console) {
  console->Say(absl::StrCat(
      "snapshot   ", plan.snapshot.id, ", made ",
      FormatInstant(plan.snapshot.manifest.header().created_unix_ms(),
                    absl::LocalTimeZone())));
  if (plan.restores_cache) {
    console->Say(absl::StrCat("cache      ", FormatPlural(plan.records, "blob"),
                              ", ", FormatBytes(plan.records_raw_bytes),
                              ", stored in ",
                              FormatBytes(plan.records_stored_bytes)));
  }
  if (plan.restores_files) {
    console->Say(absl::StrCat("files      ", FormatPlural(plan.files, "file"),
                              ", ", FormatBytes(plan.files_bytes)));
  }
  if (!plan.newer_snapshots.empty()) {
    console->Say(absl::StrCat(
        "applied    flushes and invalidations of ",
        FormatPlural(static_cast<int64_t>(plan.newer_snapshots.size()),
                     "newer snapshot")));
  }
  if (!plan.newer_of_other_lineages.empty()) {
    console->Warn(absl::StrCat(
        FormatPlural(static_cast<int64_t>(plan.newer_of_other_lineages.size()),
                     "newer snapshot"),
        " of another lineage (", plan.newer_of_other_lineages.back(),
        "): what was flushed or invalidated there is not applied here"));
  }
}

void Report(const RestoreReport& report, const RestoreFlags& flags,
            Console* console, CommandResult* result) {
  const double seconds = static_cast<double>(report.elapsed_nanos) / 1e9;
  result->facts.Int("blobs", report.records_restored)
      .Int("blobs_skipped", report.records_skipped)
      .Int("files", report.files_restored)
      .Int("bytes", report.bytes_restored)
      .Number("seconds", seconds);
  const bool cache = report.plan.restores_cache;
  if (cache) {
    result->facts.String("lineage", report.restored.lineage)
        .Digest("content_digest", report.restored.content_digest)
        .Bool("digest_equal", report.digest_equal);
    console->Say(absl::StrCat(
        "restored   ", FormatPlural(report.records_restored, "blob"), " to ",
        flags.cache.l2,
        report.digest_equal ? "; its digest equals the snapshot's" : ""));
  }
  if (report.records_skipped > 0) {
    console->Say(absl::StrCat("left out   ",
                              FormatPlural(report.records_skipped, "blob"),
                              " that were invalidated since"));
  }
  if (report.plan.restores_files) {
    console->Say(absl::StrCat("restored   ",
                              FormatPlural(report.files_restored, "file"),
                              " to ", flags.files_out));
  }
  console->Say(absl::StrCat(
      "took       ", FormatNanos(report.elapsed_nanos), ", ",
      FormatBytesPerSecond(static_cast<double>(report.bytes_restored) /
                           seconds),
      " as stored"));
}

absl::Status Restore(const RestoreFlags& flags, Console* console,
                     CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(backup::Archive::Keys keys,
                          ReadKeys(flags.cache.key_file));
  LARDER_ASSIGN_OR_RETURN(
      const backup::Archive archive,
      backup::Archive::Open(flags.directory, /*file_system=*/nullptr,
                            std::move(keys)));
  RestoreOptions options = OptionsOf(flags);
  LARDER_ASSIGN_OR_RETURN(const RestorePlan plan,
                          backup::PlanRestore(archive, options));
  // What is newest could change between plan and restore.
  options.snapshot_id = plan.snapshot.id;
  FitBudget(plan.records, plan.records_stored_bytes, flags.cache,
            &options.cache);
  AddPlan(plan, flags.dry_run, &result->facts);
  PrintPlan(plan, console);
  if (archive.has_keys() && plan.dumps_in_the_clear > 0) {
    console->Warn(backup::TellInTheClear(plan.chain));
  }
  Progress* progress = console->StartProgress("restore", plan.bytes_to_read);
  options.progress = [progress](const backup::RestoreProgress& done) {
    progress->Set(done.bytes_done, done.bytes_total);
  };
  options.on_loss = [&](const backup::Loss& loss) {
    console->Fail(LossName(loss), loss.reason, &result->failures);
  };
  const RestoreReport report = backup::Restore(archive, options);
  console->EndProgress();
  if (report.outcome == backup::Outcome::kFailed) {
    if (absl::IsCancelled(report.status)) {
      return absl::CancelledError("interrupted; nothing was restored");
    }
    return report.status;
  }
  if (!report.unprotected.ok()) {
    console->Warn(absl::StrCat("no lease: ", report.unprotected.message()));
  }
  for (const std::string& warning : report.warnings) {
    console->Fail(plan.snapshot.id, warning, &result->failures);
  }
  if (report.outcome == backup::Outcome::kPartial && result->failures.empty()) {
    console->Fail(plan.snapshot.id, "restored in part", &result->failures);
  }
  if (flags.dry_run) {
    console->Say("dry run    nothing was written");
  } else {
    Report(report, flags, console, result);
  }
  return absl::OkStatus();
}

}  // namespace

CommandResult RunRestore(const RestoreFlags& flags, Console* console) {
  InterruptScope interruptible;
  CommandResult result;
  result.status = flags.lazy ? RestoreLazily(flags, console, &result)
                             : Restore(flags, console, &result);
  return result;
}

}  // namespace larder::cli
