#include "tools/cli/verify_command.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/format/dump.pb.h"
#include "backup/verify.h"
#include "cache/status_macros.h"
#include "cache/verify.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/key_flag.h"
#include "tools/cli/repair_command.h"
#include "tools/cli/units.h"
#include "tools/cli/verified.h"
#include "tools/cli/verify_report.h"

namespace larder::cli {
namespace {

absl::Status VerifyCache(const VerifyFlags& flags, Console* console,
                         CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(
      const cache::VerifyReport report,
      cache::VerifyL2(ToolOptions(flags.cache, OpenMode::kLook), Interrupted));
  AddVerifyFacts(report, &result->facts);
  for (const std::string& damage : report.damaged) {
    console->Fail(flags.cache.l2, damage, &result->failures);
  }
  SayVerifyReport(report, console);
  if (report.clean()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(flags.cache.l2,
                   ": damaged; 'larder verify --repair' mends it, and drops "
                   "what it must"));
}

// "sound" is only what was opened, or was not to be.
absl::string_view JudgementOf(const backup::SnapshotVerdict& verdict) {
  if (!verdict.status.ok() || verdict.known_damaged) return "DAMAGED";
  return verdict.not_opened ? "not opened" : "sound";
}

std::string Found(const backup::SnapshotVerdict& verdict, bool full) {
  if (full && !verdict.not_opened) {
    return absl::StrCat(FormatPlural(verdict.records, "blob"), ", ",
                        FormatPlural(verdict.files, "file"), ", ",
                        FormatBytes(verdict.bytes), " in ",
                        FormatPlural(verdict.chunks, "chunk"));
  }
  const std::string read = absl::StrCat(
      FormatPlural(verdict.packs_read, "pack"), " and ",
      FormatBytes(verdict.bytes_read), " read of ", FormatBytes(verdict.bytes));
  if (!verdict.not_opened) return read;
  return absl::StrCat(read, ", checksums only; sealed with key ID ",
                      verdict.key_id_needed, ": --key-file opens it");
}

// Prints and counts one verdict. `has_keys`: who gave keys means to have all
// opened, and takes what is sound for signed.
JsonObject Judge(const backup::SnapshotVerdict& verdict, bool full,
                 bool has_keys, Console* console, Failures* failures) {
  for (const std::string& problem : verdict.problems) {
    console->Fail(verdict.id, problem, failures);
  }
  if (!verdict.status.ok() && verdict.problems.empty()) {
    console->Fail(verdict.id, verdict.status.message(), failures);
  }
  if (verdict.not_opened && has_keys) {
    console->Fail(verdict.id,
                  absl::StrCat("not opened: ", verdict.not_opened_reason),
                  failures);
  }
  SayRow(
      console, JudgementOf(verdict),
      absl::StrCat(verdict.id, ": ", Found(verdict, full),
                   has_keys && verdict.in_the_clear ? "; in the clear" : ""));
  if (verdict.known_damaged) {
    console->Fail(
        verdict.id,
        absl::StrCat("damage was found by a verification that read more, and "
                     "was not looked at now: ",
                     verdict.in_the_clear ? "--full" : "--full with --key-file",
                     " looks again"),
        failures);
  }
  if (!verdict.lost.empty()) {
    SayRow(console, "",
           absl::StrCat("a restore would lose ",
                        FormatPlural(verdict.lost.blobs, "blob"), " and ",
                        FormatPlural(verdict.lost.files, "file")));
  }
  JsonObject facts;
  facts.String("id", verdict.id)
      .Bool("sound", JudgementOf(verdict) == "sound")
      .Bool("known_damaged", verdict.known_damaged)
      .Bool("opened", full && !verdict.not_opened)
      .Bool("in_the_clear", verdict.in_the_clear)
      .Int("blobs", verdict.records)
      .Int("files", verdict.files)
      .Int("chunks", verdict.chunks)
      .Int("bytes", verdict.bytes)
      .Int("bytes_read", verdict.bytes_read)
      .Int("packs_read", verdict.packs_read)
      .Int("lost_blobs", verdict.lost.blobs)
      .Int("lost_files", verdict.lost.files);
  if (verdict.not_opened) {
    facts.String("key_id_needed", verdict.key_id_needed);
  }
  return facts;
}

backup::VerifyOptions OptionsOf(const VerifyFlags& flags) {
  backup::VerifyOptions options;
  options.snapshot_id = flags.snapshot;
  options.store = true;
  if (flags.quick) options.mode = backup::format::VERIFY_MODE_QUICK;
  if (flags.sample_millionths > 0) {
    options.mode = backup::format::VERIFY_MODE_SAMPLE;
    options.sample_millionths = flags.sample_millionths;
    // Never 0: that asks for any.
    options.seed = flags.seed > 0 ? static_cast<uint64_t>(flags.seed)
                                  : uint64_t{1} + std::random_device()();
  }
  return options;
}

absl::Status VerifyArchive(const VerifyFlags& flags, Console* console,
                           CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(backup::Archive::Keys keys,
                          ReadKeys(flags.cache.key_file));
  LARDER_ASSIGN_OR_RETURN(
      const backup::Archive archive,
      backup::Archive::Open(flags.directory, /*file_system=*/nullptr,
                            std::move(keys)));
  backup::VerifyOptions options = OptionsOf(flags);
  const bool full = options.mode == backup::format::VERIFY_MODE_FULL;
  result->facts.String("mode", ModeName(options.mode));
  if (options.mode == backup::format::VERIFY_MODE_SAMPLE) {
    result->facts.Id("seed", options.seed);
    SayRow(
        console, "seed",
        absl::StrCat(options.seed, " (--seed to read the same packs again)"));
  }
  Progress* progress = console->StartProgress("verify", 0);
  options.cancellation = InterruptFlag();
  options.progress = [progress](const backup::RestoreProgress& done) {
    progress->Set(done.bytes_done, done.bytes_total);
  };
  const auto report = backup::VerifyArchive(archive, options);
  console->EndProgress();
  LARDER_RETURN_IF_ERROR(report.status());
  if (!report->unprotected.ok()) {
    console->Warn(absl::StrCat("no lease: ", report->unprotected.message()));
  }
  if (!report->not_stored.ok()) {
    console->Warn(
        absl::StrCat("verdict not stored: ", report->not_stored.message()));
  }
  JsonArray verdicts;
  for (const backup::SnapshotVerdict& verdict : report->snapshots) {
    verdicts.Object(
        Judge(verdict, full, archive.has_keys(), console, &result->failures));
  }
  const bool locked =
      archive.has_keys() &&
      std::any_of(report->snapshots.begin(), report->snapshots.end(),
                  [](const auto& verdict) { return verdict.not_opened; });
  const auto known =
      std::find_if(report->snapshots.begin(), report->snapshots.end(),
                   [](const auto& verdict) { return verdict.known_damaged; });
  const bool any_known = known != report->snapshots.end();
  result->facts.Bool("clean", report->status.ok() && !locked && !any_known)
      .Array("snapshots", verdicts)
      .Bool("backup_running", report->backup_running)
      .Int("leftover_files", report->leftover_files);
  if (report->snapshots.empty()) {
    console->Say(absl::StrCat("no snapshots in ", flags.directory));
  }
  if (report->backup_running) {
    SayRow(console, "running", "a backup is writing to this archive");
  }
  if (report->leftover_files > 0) {
    SayRow(console, "leftovers",
           absl::StrCat(FormatPlural(report->leftover_files, "file"),
                        " of backups cut short, harmless; the next backup "
                        "removes them"));
  }
  LARDER_RETURN_IF_ERROR(report->status);
  if (!any_known) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("snapshot ", known->id, ": is known to be damaged"));
}

}  // namespace

CommandResult RunVerify(const VerifyFlags& flags, Console* console) {
  InterruptScope interruptible;
  CommandResult result;
  result.status = !flags.directory.empty()
                      ? VerifyArchive(flags, console, &result)
                  : flags.repair ? RepairCache(flags.cache, console, &result)
                                 : VerifyCache(flags, console, &result);
  return result;
}

}  // namespace larder::cli
