#include "tools/cli/promote_command.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"
#include "replication/promotion.h"

namespace larder::cli {
namespace {

absl::Status Promote(const PromoteFlags& flags, Console* console,
                     CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(
      const replication::Promotion promotion,
      replication::Promote(ToolOptions(flags.cache, OpenMode::kLook),
                           static_cast<uint64_t>(flags.term)));
  result->facts.String("l2", flags.cache.l2)
      .String("snapshot", promotion.snapshot_id)
      .String("old_lineage", promotion.old_lineage)
      .Id("old_epoch", promotion.old_epoch)
      .String("lineage", promotion.info.lineage)
      .Id("term", promotion.term)
      .Int("records", promotion.info.records);
  console->Say(absl::StrCat(
      "promoted  ", flags.cache.l2, ": snapshot ", promotion.snapshot_id,
      ", epoch ", promotion.old_epoch, ", ", promotion.info.records,
      " records\nlineage   ", promotion.info.lineage, ", from ",
      promotion.old_lineage, "\nterm      ", promotion.term,
      "\nIt takes puts now. The old primary, once it is back, is refused by "
      "every replica that has heard of term ",
      promotion.term, ": let it follow this one (`larder replica --l2`)."));
  return absl::OkStatus();
}

}  // namespace

CommandResult RunPromote(const PromoteFlags& flags, Console* console) {
  CommandResult result;
  result.status = Promote(flags, console, &result);
  return result;
}

}  // namespace larder::cli
