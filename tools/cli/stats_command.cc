#include "tools/cli/stats_command.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cache/blob_cache.h"
#include "cache/stats.h"
#include "cache/status_macros.h"
#include "tools/cli/hydrating_l2.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/terminal.h"
#include "tools/cli/units.h"

namespace larder::cli {
namespace {

void AddFacts(const cache::L2Stats& l2,
              const std::vector<cache::NamespaceStats>& namespaces, int64_t due,
              JsonObject* facts) {
  facts->String("lineage", l2.lineage)
      .Id("epoch", l2.epoch)
      .Id("durable_epoch", l2.durable_epoch)
      .Digest("content_digest", l2.content_digest)
      .Int("records", l2.records)
      .Int("due", due)
      .Int("raw_bytes", l2.raw_bytes)
      .Int("stored_bytes", l2.stored_bytes)
      .Int("bytes_in_use", l2.bytes_in_use)
      .Int("bytes_max", l2.bytes_max)
      .Int("quarantined_bytes", l2.quarantined_bytes)
      .Int("file_bytes", l2.file_bytes)
      .Int("tombstones", l2.tombstones)
      .Int("synopsis_bytes", l2.synopsis_bytes)
      .Int("unreadable_pages", l2.unreadable_pages)
      .String("degraded", l2.degraded);
  JsonArray array;
  for (const cache::NamespaceStats& ns : namespaces) {
    array.Object(JsonObject()
                     .String("name", ns.name)
                     .Id("generation", ns.generation)
                     .Int("records", ns.l2_records)
                     .Int("raw_bytes", ns.l2_raw_bytes)
                     .Int("stored_bytes", ns.l2_stored_bytes));
  }
  facts->Array("namespaces", array);
}

std::string Ratio(int64_t raw_bytes, int64_t stored_bytes) {
  if (stored_bytes <= 0) return "-";
  return absl::StrFormat("%.2fx", static_cast<double>(raw_bytes) /
                                      static_cast<double>(stored_bytes));
}

void Print(const cache::L2Stats& l2,
           const std::vector<cache::NamespaceStats>& namespaces, int64_t due,
           Console* console) {
  const auto row = [console](absl::string_view name, absl::string_view value) {
    console->Say(absl::StrFormat("%-16s %s", name, value));
  };
  row("lineage", l2.lineage);
  row("epoch", absl::StrCat(l2.epoch, " (durable ", l2.durable_epoch, ")"));
  row("content digest", DigestText(l2.content_digest));
  row("records", absl::StrCat(FormatCount(l2.records), ", of which ",
                              FormatCount(due), " due for a sweep"));
  row("blobs", absl::StrCat(FormatBytes(l2.raw_bytes), ", stored in ",
                            FormatBytes(l2.stored_bytes), " (",
                            Ratio(l2.raw_bytes, l2.stored_bytes), ")"));
  row("space", absl::StrCat(FormatBytes(l2.bytes_in_use), " in use of ",
                            FormatBytes(l2.bytes_max), "; files ",
                            FormatBytes(l2.file_bytes)));
  row("tombstones", FormatCount(l2.tombstones));
  if (l2.unreadable_pages > 0) {
    row("unreadable", FormatPlural(l2.unreadable_pages, "page"));
  }
  if (!l2.degraded.empty()) row("degraded", l2.degraded);
  if (namespaces.empty()) return;
  console->Say(absl::StrFormat("\n%-24s %10s %10s %10s %7s %11s", "namespace",
                               "records", "bytes", "stored", "ratio",
                               "generation"));
  for (const cache::NamespaceStats& ns : namespaces) {
    console->Say(absl::StrFormat(
        "%-24s %10s %10s %10s %7s %11d", Printable(ns.name),
        FormatCount(ns.l2_records), FormatBytes(ns.l2_raw_bytes),
        FormatBytes(ns.l2_stored_bytes),
        Ratio(ns.l2_raw_bytes, ns.l2_stored_bytes), ns.generation));
  }
}

absl::Status Stats(const StatsFlags& flags, Console* console,
                   CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(const auto cache,
                          OpenCache(flags.cache, OpenMode::kLook));
  const absl::Status whole = CheckWhole(flags.cache.l2);
  if (!whole.ok()) console->Warn(whole.message());
  result->facts.Bool("hydrating", !whole.ok());
  LARDER_ASSIGN_OR_RETURN(const int64_t due, cache->SweepDebt());
  const cache::L2Stats l2 = cache->Stats().l2;
  const std::vector<cache::NamespaceStats> namespaces =
      cache->NamespacesStats();
  AddFacts(l2, namespaces, due, &result->facts);
  Print(l2, namespaces, due, console);
  return absl::OkStatus();
}

}  // namespace

CommandResult RunStats(const StatsFlags& flags, Console* console) {
  CommandResult result;
  result.status = Stats(flags, console, &result);
  return result;
}

}  // namespace larder::cli
