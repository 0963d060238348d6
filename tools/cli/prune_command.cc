#include "tools/cli/prune_command.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "backup/archive.h"
#include "backup/prune.h"
#include "cache/status_macros.h"
#include "tools/cli/instant.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/terminal.h"
#include "tools/cli/units.h"

namespace larder::cli {
namespace {

absl::Status Prune(const PruneFlags& flags, Console* console,
                   CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(
      const backup::Archive archive,
      backup::Archive::Open(flags.directory, /*file_system=*/nullptr));
  LARDER_ASSIGN_OR_RETURN(
      const backup::PruneReport report,
      backup::Prune(archive, {.policy = flags.policy,
                              .confirm = flags.confirm,
                              .zone = absl::LocalTimeZone()}));
  JsonArray snapshots;
  for (size_t i = 0; i < report.snapshots.size(); ++i) {
    const backup::SnapshotEntry& entry = report.snapshots[i];
    const backup::RetentionDecision& decision = report.decisions[i];
    const std::string made = FormatInstant(
        entry.manifest.header().created_unix_ms(), absl::LocalTimeZone());
    std::vector<std::string> remarks = decision.reasons;
    if (decision.damaged) remarks.insert(remarks.begin(), "DAMAGED");
    console->Say(absl::StrFormat("%-6s  %-25s  %s  %10s  %s",
                                 decision.keep() ? "keep" : "remove", entry.id,
                                 made, FormatBytes(entry.bytes),
                                 Printable(absl::StrJoin(remarks, ", "))));
    JsonArray reasons;
    for (const std::string& reason : decision.reasons) reasons.String(reason);
    snapshots.Object(JsonObject()
                         .String("id", entry.id)
                         .Bool("keep", decision.keep())
                         .Bool("found_damaged", decision.damaged)
                         .Array("reasons", reasons));
  }
  result->facts.Bool("confirmed", flags.confirm)
      .Array("snapshots", snapshots)
      .Int("snapshots_removed", report.snapshots_removed)
      .Int("packs_removed", report.packs_removed)
      .Int("bytes_removed", report.bytes_removed);
  const std::string what =
      absl::StrCat(FormatPlural(report.snapshots_removed, "snapshot"), " and ",
                   FormatPlural(report.packs_removed, "pack"), ", ",
                   FormatBytes(report.bytes_removed));
  console->Say(flags.confirm
                   ? absl::StrCat("removed ", what)
                   : absl::StrCat("would remove ", what,
                                  "; nothing was done: --confirm does it"));
  return absl::OkStatus();
}

}  // namespace

CommandResult RunPrune(const PruneFlags& flags, Console* console) {
  CommandResult result;
  result.status = Prune(flags, console, &result);
  return result;
}

}  // namespace larder::cli
