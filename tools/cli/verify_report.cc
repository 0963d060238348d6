#include "tools/cli/verify_report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/cli/units.h"

namespace larder::cli {
namespace {

absl::string_view Tick(bool ok) { return ok ? "ok" : "WRONG"; }

}  // namespace

void SayRow(Console* console, absl::string_view name, absl::string_view value) {
  console->Say(absl::StrFormat("%-12s %s", name, value));
}

void AddVerifyFacts(const cache::VerifyReport& report, JsonObject* facts) {
  facts->Bool("clean", report.clean())
      .Id("epoch", report.epoch)
      .Int("pages", report.pages)
      .Int("records", report.records)
      .Int("chains", report.chains)
      .Int("live_bytes", report.live_bytes)
      .Int("free_bytes", report.free_bytes)
      .Int("orphaned_bytes", report.orphaned_bytes)
      .Int("orphan_runs", report.orphan_runs)
      .Int("file_bytes", report.file_bytes)
      .Int("damages", report.damages)
      .Bool("digest_ok", report.digest_ok)
      .Bool("accounting_ok", report.accounting_ok);
}

void SayVerifyReport(const cache::VerifyReport& report, Console* console) {
  SayRow(console, "read",
         absl::StrCat(FormatPlural(report.pages, "page"), ", ",
                      FormatPlural(report.records, "record"), ", ",
                      FormatPlural(report.chains, "chain")));
  SayRow(console, "space",
         absl::StrCat("live ", FormatBytes(report.live_bytes), " + free ",
                      FormatBytes(report.free_bytes), " + orphaned ",
                      FormatBytes(report.orphaned_bytes), " = files ",
                      FormatBytes(report.file_bytes), ": ",
                      Tick(report.accounting_ok)));
  SayRow(console, "digest", Tick(report.digest_ok));
  SayRow(console, "damage",
         report.damages == 0 ? "none" : FormatPlural(report.damages, "piece"));
  if (report.orphan_runs > 0) {
    SayRow(console, "orphans",
           absl::StrCat(FormatPlural(report.orphan_runs, "run"), " of units",
                        ", harmless; 'larder sweep --orphans' reclaims them"));
  }
}

}  // namespace larder::cli
