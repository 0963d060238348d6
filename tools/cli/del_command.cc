#include "tools/cli/del_command.h"

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/status_macros.h"
#include "tools/cli/serving_cache.h"
#include "tools/cli/terminal.h"
#include "tools/cli/units.h"

namespace larder::cli {
namespace {

absl::Status Del(const DelFlags& flags, Console* console,
                 CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(const auto cache, OpenToInvalidate(flags.cache));
  LARDER_RETURN_IF_ERROR(CheckNamespaceExists(*cache, flags.ns));
  absl::Status absent;
  int64_t removed = 0;
  for (const std::string& key : flags.keys) {
    // An empty range finds a blob without reading it.
    if (!cache->GetRange(flags.ns, key, 0, 0).has_value()) {
      absent.Update(absl::NotFoundError(
          absl::StrCat(Printable(flags.ns), " ", Printable(key), ": absent")));
    } else {
      ++removed;
    }
    // Also when it seems absent: a damaged blob does, and goes with this.
    LARDER_RETURN_IF_ERROR(cache->InvalidateKey(flags.ns, key).status());
  }
  for (const std::string& prefix : flags.prefixes) {
    LARDER_RETURN_IF_ERROR(cache->InvalidatePrefix(flags.ns, prefix).status());
  }
  if (!flags.tags.empty()) {
    LARDER_RETURN_IF_ERROR(
        cache->InvalidateTags(flags.ns, flags.tags).status());
  }
  LARDER_RETURN_IF_ERROR(cache->Flush());
  result->facts.String("namespace", flags.ns)
      .Int("keys_removed", removed)
      .Int("prefixes", static_cast<int64_t>(flags.prefixes.size()))
      .Int("tags", static_cast<int64_t>(flags.tags.size()));
  if (!flags.keys.empty()) {
    console->Say(absl::StrCat("removed  ", FormatPlural(removed, "key")));
  }
  if (!flags.prefixes.empty() || !flags.tags.empty()) {
    console->Say(
        "invalidated what matches; 'larder sweep' gives its space back");
  }
  return absent;
}

}  // namespace

CommandResult RunDel(const DelFlags& flags, Console* console) {
  CommandResult result;
  result.status = Del(flags, console, &result);
  return result;
}

}  // namespace larder::cli
