#include "tools/cli/repair_command.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "cache/repair.h"
#include "cache/repair_report.h"
#include "cache/status_macros.h"
#include "tools/cli/failures.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/terminal.h"
#include "tools/cli/units.h"
#include "tools/cli/verify_report.h"

namespace larder::cli {
namespace {

using cache::RepairReport;

// By DropCause, as --json and as people read it.
struct CauseNames {
  const char* field;
  const char* text;
};
constexpr CauseNames kCauses[cache::kDropCauses] = {
    {"damaged_page", "on damaged pages"},
    {"damaged_record", "with impossible records"},
    {"damaged_chain", "with damaged bytes"},
    {"overlapping_chain", "in another's place"},
    {"lost_invalidation", "that a lost invalidation may have covered"},
    {"lost_namespace", "of namespaces whose entry is lost"},
};

const CauseNames& NamesOf(cache::DropCause cause) {
  return kCauses[static_cast<size_t>(cause)];
}

std::string NamespaceOf(const RepairReport::Dropped& record) {
  return record.ns.empty()
             ? absl::StrCat("(namespace ", record.ns_id, ", its name is lost)")
             : record.ns;
}

JsonObject Facts(const RepairReport& report) {
  JsonObject causes;
  for (size_t i = 0; i < cache::kDropCauses; ++i) {
    causes.Int(kCauses[i].field, report.dropped_by_cause[i]);
  }
  JsonArray dropped;
  for (const RepairReport::Dropped& record : report.dropped) {
    JsonObject object;
    object.Int("namespace_id", record.ns_id);
    if (!record.ns.empty()) object.Bytes("namespace", record.ns);
    object.Bytes("key", record.key)
        .String("cause", NamesOf(record.cause).field)
        .String("why", record.why);
    dropped.Object(object);
  }
  JsonArray invalidated;
  for (const RepairReport::Invalidated& i : report.invalidated) {
    invalidated.Object(
        JsonObject().Bytes("namespace", i.ns).Id("hlc", i.through.value));
  }
  JsonArray damaged;
  for (const std::string& line : report.damaged) damaged.String(line);
  JsonArray rebuilt;
  for (const std::string& tree : report.rebuilt_trees) rebuilt.String(tree);
  JsonArray journals;
  for (const std::string& path : report.lost_journals) journals.String(path);
  return JsonObject()
      .Id("epoch_before", report.epoch_before)
      .Id("epoch", report.epoch)
      .Bool("new_lineage", report.new_lineage)
      .Int("damages", report.damages)
      .Array("damaged", damaged)
      .Int("dropped_records", report.dropped_records)
      .Int("dropped_unnamed", report.dropped_unnamed)
      .Object("dropped_by_cause", causes)
      .Array("dropped", dropped)
      .Array("invalidated_namespaces", invalidated)
      .Int("recovered_records", report.recovered_records)
      .Int("mended_pages", report.mended_pages)
      .Int("rewritten_superblocks", report.rewritten_superblocks)
      .Array("rebuilt_trees", rebuilt)
      .Int("rebuilt_synopses", report.rebuilt_synopses)
      .Int("applied_journal_entries", report.applied_journal_entries)
      .Array("lost_journals", journals)
      .Bool("ended_hydration", report.ended_hydration)
      .Int("freed_bytes", report.freed_bytes)
      .Int("marked_bytes", report.marked_bytes);
}

// What was put right without loss.
std::vector<std::string> Mended(const RepairReport& report) {
  std::vector<std::string> mended;
  if (report.mended_pages > 0) {
    mended.push_back(absl::StrCat(FormatPlural(report.mended_pages, "page"),
                                  ", one flipped bit each"));
  }
  if (report.rewritten_superblocks > 0) {
    mended.push_back("a copy of the superblock");
  }
  for (const std::string& tree : report.rebuilt_trees) {
    mended.push_back(absl::StrCat("the ", tree, " tree"));
  }
  if (report.rebuilt_synopses > 0) {
    mended.push_back(
        absl::StrCat("the synopsis of ",
                     FormatPlural(report.rebuilt_synopses, "namespace")));
  }
  if (report.marked_bytes > 0) {
    mended.push_back(absl::StrCat("the map: ", FormatBytes(report.marked_bytes),
                                  " in use that it called free"));
  }
  return mended;
}

void Say(const RepairReport& report, Console* console) {
  for (const std::string& line : report.damaged) {
    SayRow(console, "found", line);
  }
  if (report.damages > static_cast<int64_t>(report.damaged.size())) {
    SayRow(console, "found",
           absl::StrCat(FormatPlural(report.damages, "damage"), " in all"));
  }
  if (report.recovered_records > 0) {
    SayRow(console, "recovered",
           absl::StrCat(FormatPlural(report.recovered_records, "blob"),
                        " that no sound page led to"));
  }
  const std::vector<std::string> mended = Mended(report);
  if (!mended.empty()) SayRow(console, "mended", absl::StrJoin(mended, ", "));
  if (report.applied_journal_entries > 0) {
    SayRow(console, "applied",
           absl::StrCat(
               FormatPlural(report.applied_journal_entries, "invalidation"),
               " of the journal"));
  }
  for (const RepairReport::Invalidated& i : report.invalidated) {
    SayRow(console, "flushed",
           absl::StrCat(Printable(i.ns),
                        ": what tells of its flushes is lost, so it is taken "
                        "as flushed"));
  }
  if (report.ended_hydration) {
    SayRow(console, "ended",
           "the lazy restore: what had not come yet stays away");
  }
  if (report.new_lineage) {
    SayRow(console, "lineage", "new: the newest commit may be lost");
  }
  for (size_t i = 0; i < cache::kDropCauses; ++i) {
    if (report.dropped_by_cause[i] == 0) continue;
    SayRow(console, "dropped",
           absl::StrCat(FormatPlural(report.dropped_by_cause[i], "blob"), " ",
                        kCauses[i].text));
  }
  if (report.freed_bytes > 0) {
    SayRow(console, "freed", FormatBytes(report.freed_bytes));
  }
  SayRow(console, "repaired",
         report.epoch != report.epoch_before
             ? absl::StrCat("epoch ", report.epoch_before, " to ", report.epoch)
         : report.damages > 0 ? "without a commit"
                              : "nothing was damaged");
}

void Fail(const RepairReport& report, Console* console, Failures* failures) {
  for (const RepairReport::Dropped& record : report.dropped) {
    console->Fail(absl::StrCat(NamespaceOf(record), "/", record.key),
                  absl::StrCat("dropped: ", record.why), failures);
  }
  if (report.dropped_unnamed > 0) {
    console->Warn(absl::StrCat(FormatPlural(report.dropped_unnamed, "blob"),
                               " dropped whose names are lost with them"));
  }
  const int64_t unlisted =
      report.dropped_records - static_cast<int64_t>(report.dropped.size());
  if (unlisted > report.dropped_unnamed) {
    console->Warn(absl::StrCat(
        "and ", FormatCount(unlisted - report.dropped_unnamed), " more"));
  }
  failures->AddUnlisted(unlisted);
  for (const std::string& journal : report.lost_journals) {
    console->Fail(journal,
                  "could not be read: invalidations that no commit held may be "
                  "lost",
                  failures);
  }
}

}  // namespace

absl::Status RepairCache(const CacheFlags& flags, Console* console,
                         CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(
      const RepairReport report,
      cache::RepairL2(ToolOptions(flags, OpenMode::kLook), Interrupted));
  AddVerifyFacts(report.after, &result->facts);
  result->facts.Object("repair", Facts(report));
  Fail(report, console, &result->failures);
  Say(report, console);
  SayVerifyReport(report.after, console);
  if (report.after.clean()) return absl::OkStatus();
  for (const std::string& damage : report.after.damaged) {
    console->Fail(flags.l2, damage, &result->failures);
  }
  return absl::DataLossError(
      absl::StrCat(flags.l2, ": still damaged after the repair"));
}

}  // namespace larder::cli
