#include "tools/cli/sweep_command.h"

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/status_macros.h"
#include "sweeper/blob_cache_sweeper.h"
#include "sweeper/reports.h"
#include "sweeper/sweep_limit.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/terminal.h"
#include "tools/cli/units.h"

namespace larder::cli {
namespace {

sweeper::SweepLimit LimitOf(const SweepFlags& flags) {
  sweeper::SweepLimit limit;
  if (flags.limit_entries > 0) limit.entries = flags.limit_entries;
  if (flags.limit_millis > 0) limit.millis = flags.limit_millis;
  limit.stop = InterruptFlag()->flag();
  return limit;
}

absl::string_view More(bool truncated) {
  return truncated ? "; stopped by its limit, there is more" : "";
}

void Report(const sweeper::SweepReport& report, Console* console,
            JsonObject* facts) {
  JsonArray by_namespace;
  for (const auto& [name, part] : report.by_namespace) {
    by_namespace.Object(JsonObject()
                            .String("name", name)
                            .Int("entries_evicted", part.entries_evicted)
                            .Int("bytes_reclaimed", part.bytes_reclaimed));
  }
  facts->Int("entries_scanned", report.entries_scanned)
      .Int("entries_evicted", report.entries_evicted)
      .Int("bytes_reclaimed", report.bytes_reclaimed)
      .Int("elapsed_ms", report.elapsed_ms)
      .Bool("truncated_due_to_limit", report.truncated_due_to_limit)
      .Int("remaining_debt", report.remaining_debt)
      .Array("by_namespace", by_namespace);
  console->Say(absl::StrCat(
      "swept      ", FormatPlural(report.entries_evicted, "blob"), " of ",
      FormatCount(report.entries_scanned), " looked at, ",
      FormatBytes(report.bytes_reclaimed), " given back in ",
      FormatMillis(report.elapsed_ms), More(report.truncated_due_to_limit)));
  for (const auto& [name, part] : report.by_namespace) {
    console->Say(absl::StrCat("             ", Printable(name), ": ",
                              FormatPlural(part.entries_evicted, "blob"), ", ",
                              FormatBytes(part.bytes_reclaimed)));
  }
}

void Report(const sweeper::OrphanReport& report, Console* console,
            JsonObject* facts) {
  facts->Object(
      "orphans",
      JsonObject()
          .Int("blob_chains_scanned", report.blob_chains_scanned)
          .Int("blob_chains_reclaimed", report.blob_chains_reclaimed)
          .Int("bytes_reclaimed", report.bytes_reclaimed)
          .Int("elapsed_ms", report.elapsed_ms)
          .Bool("truncated_due_to_limit", report.truncated_due_to_limit));
  console->Say(absl::StrCat(
      "reclaimed  ", FormatPlural(report.blob_chains_reclaimed, "orphan"),
      " of ", FormatPlural(report.blob_chains_scanned, "chain"), ", ",
      FormatBytes(report.bytes_reclaimed), " given back in ",
      FormatMillis(report.elapsed_ms), More(report.truncated_due_to_limit)));
}

// What is live is known to this process only: without reclaiming something in
// each run, bounded runs would never end.
absl::StatusOr<sweeper::OrphanReport> ReclaimOrphans(
    const sweeper::SweepLimit& limit, sweeper::BlobCacheSweeper* sweeper) {
  sweeper::OrphanReport sum;
  do {
    LARDER_ASSIGN_OR_RETURN(const sweeper::OrphanReport part,
                            sweeper->ReclaimOrphans(limit));
    sum.blob_chains_scanned += part.blob_chains_scanned;
    sum.blob_chains_reclaimed += part.blob_chains_reclaimed;
    sum.bytes_reclaimed += part.bytes_reclaimed;
    sum.elapsed_ms += part.elapsed_ms;
    sum.truncated_due_to_limit = part.truncated_due_to_limit;
  } while (sum.truncated_due_to_limit && sum.bytes_reclaimed == 0 &&
           !Interrupted());
  return sum;
}

absl::Status Sweep(const SweepFlags& flags, Console* console,
                   CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(const auto cache,
                          OpenCache(flags.cache, OpenMode::kLook));
  sweeper::BlobCacheSweeper sweeper(cache.get(), cache::SystemClock());
  const sweeper::SweepLimit limit = LimitOf(flags);
  LARDER_ASSIGN_OR_RETURN(const sweeper::SweepReport swept,
                          sweeper.SweepExpired(limit));
  Report(swept, console, &result->facts);
  if (flags.orphans && !Interrupted()) {
    LARDER_ASSIGN_OR_RETURN(const sweeper::OrphanReport reclaimed,
                            ReclaimOrphans(limit, &sweeper));
    Report(reclaimed, console, &result->facts);
  }
  LARDER_RETURN_IF_ERROR(cache->Flush());
  return Interrupted() ? InterruptedError() : absl::OkStatus();
}

}  // namespace

CommandResult RunSweep(const SweepFlags& flags, Console* console) {
  InterruptScope interruptible;
  CommandResult result;
  result.status = Sweep(flags, console, &result);
  return result;
}

}  // namespace larder::cli
