#include "tools/cli/list_command.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "backup/archive.h"
#include "backup/format/dump.pb.h"
#include "backup/verification.h"
#include "cache/status_macros.h"
#include "tools/cli/instant.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/units.h"
#include "tools/cli/verified.h"

namespace larder::cli {
namespace {

using LastVerified =
    absl::StatusOr<std::optional<backup::format::Verification>>;

// What a manifest says, added up over its sources.
struct Summary {
  int64_t blobs = 0;
  int64_t files = 0;
  int64_t raw_bytes = 0;
  std::string lineage;
  uint64_t epoch = 0;
};

Summary Summarize(const backup::format::Manifest& manifest) {
  Summary summary;
  for (int i = 0; i < manifest.header().sources_size(); ++i) {
    const auto& totals = manifest.trailer().sources(i).totals();
    const auto& cache = manifest.header().sources(i).cache();
    // A delta stands for the whole snapshot.
    const bool is_delta = cache.base_epoch() != 0;
    summary.blobs += is_delta ? cache.records() : totals.records();
    summary.files += totals.files();
    summary.raw_bytes += is_delta ? cache.raw_bytes() : totals.raw_bytes();
    summary.raw_bytes += totals.file_bytes();
  }
  for (const auto& source : manifest.header().sources()) {
    if (!source.has_cache()) continue;
    summary.lineage = source.cache().lineage();
    summary.epoch = source.cache().epoch();
  }
  return summary;
}

JsonObject EntryFacts(const backup::SnapshotEntry& entry,
                      const LastVerified& verified) {
  JsonObject facts;
  facts.String("id", entry.id).Bool("complete", entry.complete);
  if (!entry.status.ok()) {
    return facts.String("error", entry.status.message());
  }
  if (!entry.complete) facts.String("error", entry.incomplete_reason);
  const Summary summary = Summarize(entry.manifest);
  AddVerified(verified, &facts);
  return facts.Int("created_unix_ms", entry.manifest.header().created_unix_ms())
      .Int("blobs", summary.blobs)
      .Int("files", summary.files)
      .Int("bytes", summary.raw_bytes)
      .Int("archive_bytes", entry.bytes)
      .String("base", entry.manifest.header().base_snapshot_id())
      .String("lineage", summary.lineage)
      .Id("epoch", summary.epoch);
}

void Print(const backup::SnapshotEntry& entry, const LastVerified& verified,
           Console* console) {
  if (!entry.status.ok()) return;
  const Summary summary = Summarize(entry.manifest);
  console->Say(absl::StrFormat(
      "%-25s  %s  %8s  %8s  %10s  %10s  %6d  %-5s  %s", entry.id,
      FormatInstant(entry.manifest.header().created_unix_ms(),
                    absl::LocalTimeZone()),
      FormatCount(summary.blobs), FormatCount(summary.files),
      FormatBytes(summary.raw_bytes), FormatBytes(entry.bytes), summary.epoch,
      entry.manifest.header().base_snapshot_id().empty()
          ? "full"
          : absl::StrCat("+", entry.deltas),
      VerifiedText(verified, absl::LocalTimeZone())));
}

absl::Status List(const ListFlags& flags, Console* console,
                  CommandResult* result) {
  LARDER_ASSIGN_OR_RETURN(
      const backup::Archive archive,
      backup::Archive::Open(flags.directory, /*file_system=*/nullptr));
  LARDER_ASSIGN_OR_RETURN(const std::vector<backup::SnapshotEntry> entries,
                          archive.List());
  if (entries.empty()) {
    console->Say(absl::StrCat("no snapshots in ", flags.directory));
  } else {
    console->Say(
        absl::StrFormat("%-25s  %-19s  %8s  %8s  %10s  %10s  %6s  %-5s  %s",
                        "snapshot", "created", "blobs", "files", "bytes",
                        "archived", "epoch", "delta", "verified"));
  }
  JsonArray array;
  for (const backup::SnapshotEntry& entry : entries) {
    const LastVerified verified = backup::ReadVerification(archive, entry.id);
    array.Object(EntryFacts(entry, verified));
    Print(entry, verified, console);
  }
  for (const backup::SnapshotEntry& entry : entries) {
    if (!entry.status.ok()) {
      console->Fail(entry.id, entry.status.message(), &result->failures);
    } else if (!entry.complete) {
      console->Fail(entry.id, entry.incomplete_reason, &result->failures);
    }
  }
  result->facts.Array("snapshots", array);
  return absl::OkStatus();
}

}  // namespace

CommandResult RunList(const ListFlags& flags, Console* console) {
  CommandResult result;
  result.status = List(flags, console, &result);
  return result;
}

}  // namespace larder::cli
