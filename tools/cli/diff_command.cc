#include "tools/cli/diff_command.h"

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/archive.h"
#include "backup/diff.h"
#include "cache/status_macros.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/key_flag.h"
#include "tools/cli/terminal.h"
#include "tools/cli/units.h"

namespace larder::cli {
namespace {

using backup::BlobChange;
using backup::BlobDifference;
using backup::DiffCount;
using backup::NamespaceDiff;

constexpr int64_t kNamesDefault = 1000;

absl::string_view WordOf(BlobChange change) {
  switch (change) {
    case BlobChange::kAdded:
      return "added";
    case BlobChange::kRemoved:
      return "removed";
    case BlobChange::kChanged:
      return "changed";
  }
  return "";
}

JsonObject CountFacts(const DiffCount& count) {
  JsonObject facts;
  facts.Int("blobs", count.blobs)
      .Int("bytes_before", count.bytes_before)
      .Int("bytes_after", count.bytes_after);
  return facts;
}

JsonObject Facts(const NamespaceDiff& diff) {
  JsonObject facts;
  facts.Object("added", CountFacts(diff.added))
      .Object("removed", CountFacts(diff.removed))
      .Object("changed", CountFacts(diff.changed));
  return facts;
}

void SayCounts(absl::string_view name, const NamespaceDiff& diff,
               Console* console) {
  console->Say(absl::StrFormat(
      "%-20s  %9s  %10s  %9s  %10s  %9s  %10s", name,
      FormatCount(diff.added.blobs), FormatBytes(diff.added.bytes_after),
      FormatCount(diff.removed.blobs), FormatBytes(diff.removed.bytes_before),
      FormatCount(diff.changed.blobs), FormatBytes(diff.changed.bytes_after)));
}

// Tells the first differences by name.
class Names {
 public:
  Names(int64_t limit, Console* console) : limit_(limit), console_(console) {}

  void Add(const BlobDifference& difference) {
    if (++count_ > limit_) return;
    console_->Say(
        absl::StrFormat("%-7s  %10s  %s %s", WordOf(difference.change),
                        FormatBytes(difference.change == BlobChange::kRemoved
                                        ? difference.bytes_before
                                        : difference.bytes_after),
                        Printable(difference.ns), Printable(difference.key)));
    if (!console_->options().json) return;
    told_.Object(JsonObject()
                     .String("change", WordOf(difference.change))
                     .Bytes("namespace", difference.ns)
                     .Bytes("key", difference.key)
                     .Int("bytes_before", difference.bytes_before)
                     .Int("bytes_after", difference.bytes_after));
  }
  void Finish(JsonObject* facts) {
    if (count_ > limit_) {
      console_->Say(absl::StrCat("and ", FormatCount(count_ - limit_),
                                 " more: --limit tells more of them"));
    }
    if (count_ > 0) console_->Say("");
    facts->Array("differences", told_)
        .Bool("differences_truncated", count_ > limit_);
  }

 private:
  const int64_t limit_;
  Console* const console_;
  int64_t count_ = 0;
  JsonArray told_;
};

absl::Status Diff(const DiffFlags& flags, Console* console,
                  CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(backup::Archive::Keys keys, ReadKeys(flags.key_file));
  LARDER_ASSIGN_OR_RETURN(
      const backup::Archive archive,
      backup::Archive::Open(flags.directory, /*file_system=*/nullptr,
                            std::move(keys)));
  backup::DiffOptions options;
  options.source = flags.source;
  options.cancellation = InterruptFlag();
  Names names(flags.limit > 0 ? flags.limit : kNamesDefault, console);
  const bool by_name = flags.names || flags.limit > 0;
  if (by_name) {
    options.on_difference = [&names](const BlobDifference& difference) {
      names.Add(difference);
    };
  }
  LARDER_ASSIGN_OR_RETURN(
      const backup::DiffReport report,
      backup::DiffSnapshots(archive, flags.before, flags.after, options));
  if (!report.unprotected.ok()) {
    console->Warn(absl::StrCat("no lease: ", report.unprotected.message()));
  }
  if (by_name) names.Finish(&result->facts);
  JsonArray namespaces;
  console->Say(absl::StrFormat("%-20s  %9s  %10s  %9s  %10s  %9s  %10s",
                               "namespace", "added", "bytes", "removed",
                               "bytes", "changed", "bytes"));
  for (const NamespaceDiff& diff : report.namespaces) {
    SayCounts(Printable(diff.ns), diff, console);
    namespaces.Object(
        JsonObject().Bytes("namespace", diff.ns).Merge(Facts(diff)));
  }
  SayCounts("in all", report.total, console);
  console->Say(
      absl::StrCat("unchanged: ", FormatPlural(report.unchanged, "blob")));
  result->facts.String("before", flags.before)
      .String("after", flags.after)
      .String("source", report.source)
      .Array("namespaces", namespaces)
      .Object("total", Facts(report.total))
      .Int("unchanged", report.unchanged);
  return absl::OkStatus();
}

}  // namespace

CommandResult RunDiff(const DiffFlags& flags, Console* console) {
  InterruptScope interruptible;
  CommandResult result;
  result.status = Diff(flags, console, &result);
  return result;
}

}  // namespace larder::cli
