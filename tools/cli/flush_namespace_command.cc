#include "tools/cli/flush_namespace_command.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/status_macros.h"
#include "sweeper/blob_cache_sweeper.h"
#include "sweeper/reports.h"
#include "tools/cli/serving_cache.h"
#include "tools/cli/terminal.h"

namespace larder::cli {
namespace {

absl::Status FlushNamespace(const FlushNamespaceFlags& flags, Console* console,
                            CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(const auto cache, OpenToInvalidate(flags.cache));
  // A typing error must not look like success.
  LARDER_RETURN_IF_ERROR(CheckNamespaceExists(*cache, flags.ns));
  sweeper::BlobCacheSweeper sweeper(cache.get(), cache::SystemClock());
  LARDER_ASSIGN_OR_RETURN(const sweeper::NamespaceFlushReport report,
                          sweeper.FlushNamespace(flags.ns));
  result->facts.String("namespace", report.ns)
      .Id("generation_before", report.generation_before)
      .Id("generation_after", report.generation_after)
      .Int("elapsed_micros", report.elapsed_micros);
  console->Say(absl::StrCat(
      "flushed  ", Printable(report.ns), ": generation ",
      report.generation_before, " to ", report.generation_after, " in ",
      report.elapsed_micros, " us; 'larder sweep' gives its space back"));
  return cache->Flush();
}

}  // namespace

CommandResult RunFlushNamespace(const FlushNamespaceFlags& flags,
                                Console* console) {
  CommandResult result;
  result.status = FlushNamespace(flags, console, &result);
  return result;
}

}  // namespace larder::cli
