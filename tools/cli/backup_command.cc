#include "tools/cli/backup_command.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "backup/archive.h"
#include "backup/blob_cache_source.h"
#include "backup/crypto/key_ring.h"
#include "backup/directory_sink.h"
#include "backup/directory_source.h"
#include "backup/format/dump.pb.h"
#include "backup/orchestrator.h"
#include "backup/outcome.h"
#include "cache/blob_cache.h"
#include "cache/l2/file.h"
#include "cache/status_macros.h"
#include "replication/claimed_replicas.h"
#include "replication/promotion.h"
#include "tools/cli/hydrating_l2.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/key_flag.h"
#include "tools/cli/units.h"

namespace larder::cli {
namespace {

// Of --limit-rate: see BackupRequest::bytes_per_second_max.
constexpr int64_t kBytesPerSecondMin = 64 * 1024;

using backup::BackupReport;
using backup::SinkResult;
using backup::SourceResult;

JsonObject SourceFacts(const SourceResult& source) {
  JsonObject facts;
  facts.String("name", source.name)
      .Bool("ok", source.status.ok())
      .Int("blobs", source.totals.records())
      .Int("files", source.totals.files())
      .Int("bytes", source.totals.raw_bytes() + source.totals.file_bytes())
      .Int("stored_bytes", source.totals.stored_bytes())
      .Int("problems", source.totals.problems_count())
      .Int("specials_skipped", source.totals.specials_ignored())
      .Int("directories_excluded", source.totals.directories_excluded());
  if (!source.status.ok()) facts.String("error", source.status.message());
  if (source.info.kind() == backup::format::SOURCE_KIND_BLOB_CACHE) {
    const backup::format::CacheInfo& cache = source.info.cache();
    facts.String("lineage", cache.lineage())
        .Id("epoch", cache.epoch())
        .Bool("blobs_included", cache.blobs_included())
        .Int("pin_nanos", cache.pin_nanos());
  }
  return facts;
}

JsonObject SinkFacts(const SinkResult& sink) {
  JsonObject facts;
  facts.String("name", sink.name).Bool("ok", sink.status.ok());
  if (sink.status.ok()) {
    facts.Int("bytes", sink.receipt.bytes_written)
        .Int("packs", sink.receipt.packs)
        .String("base", sink.base_snapshot_id)
        .Bool("sealed_before", sink.sealed_before);
  } else {
    facts.String("error", sink.status.message())
        .Bool("may_hold", sink.may_hold);
  }
  return facts;
}

std::vector<std::string> MayHold(const BackupReport& report) {
  std::vector<std::string> names;
  for (const SinkResult& sink : report.sinks) {
    if (sink.may_hold) names.push_back(sink.name);
  }
  return names;
}

void AddFacts(const BackupReport& report, JsonObject* facts) {
  JsonArray sources;
  for (const SourceResult& source : report.sources) {
    sources.Object(SourceFacts(source));
  }
  JsonArray sinks;
  for (const SinkResult& sink : report.sinks) sinks.Object(SinkFacts(sink));
  if (report.outcome != backup::Outcome::kFailed || !MayHold(report).empty()) {
    facts->String("snapshot", report.snapshot_id)
        .Int("created_unix_ms", report.created_unix_ms);
  }
  facts->Array("sources", sources)
      .Array("sinks", sinks)
      .Int("bytes_sent", report.bytes_sent)
      .Number("seconds", static_cast<double>(report.elapsed_nanos) / 1e9);
}

std::string SourceLine(const SourceResult& source) {
  const backup::format::SourceTotals& totals = source.totals;
  if (source.info.kind() != backup::format::SOURCE_KIND_BLOB_CACHE) {
    return absl::StrCat(FormatPlural(totals.files(), "file"), ", ",
                        FormatBytes(totals.file_bytes()));
  }
  const backup::format::CacheInfo& cache = source.info.cache();
  const std::string epoch =
      absl::StrCat("; epoch ", cache.epoch(), ", pinned in ",
                   FormatNanos(cache.pin_nanos()));
  if (!cache.blobs_included()) {
    return absl::StrCat(
        "flushes and invalidations only (--include-blob-cache takes the "
        "blobs)",
        epoch);
  }
  return absl::StrCat(FormatPlural(totals.records(), "blob"), ", ",
                      FormatBytes(totals.raw_bytes()), ", compressed to ",
                      FormatBytes(totals.stored_bytes()), epoch);
}

void Print(const BackupReport& report, Console* console) {
  const auto row = [console](absl::string_view name, absl::string_view value) {
    console->Say(absl::StrFormat("%-10s %s", name, value));
  };
  row("snapshot", report.snapshot_id);
  for (const SourceResult& source : report.sources) {
    if (source.status.ok()) row(source.name, SourceLine(source));
  }
  for (const SinkResult& sink : report.sinks) {
    if (!sink.status.ok()) continue;
    row("written",
        absl::StrCat(
            sink.name, ": ", FormatBytes(sink.receipt.bytes_written), " in ",
            FormatPlural(sink.receipt.packs, "pack"),
            sink.base_snapshot_id.empty()
                ? ""
                : absl::StrCat(", a delta on ", sink.base_snapshot_id)));
  }
  for (const SourceResult& source : report.sources) {
    if (const int64_t n = source.totals.specials_ignored(); n > 0) {
      row("skipped", absl::StrCat(source.name, ": ", FormatCount(n),
                                  " links and special files"));
    }
    if (const int64_t n = source.totals.directories_excluded(); n > 0) {
      row("skipped", absl::StrCat(source.name,
                                  ": the L2 and archives of this "
                                  "backup, found ",
                                  FormatPlural(n, "time"), " below it"));
    }
  }
  row("took", FormatNanos(report.elapsed_nanos));
}

// Who seals backups and leaves the key out once may not have meant to.
void WarnInTheClear(const BackupReport& report, Console* console) {
  for (const SinkResult& sink : report.sinks) {
    if (!sink.sealed_before) continue;
    console->Warn(absl::StrCat(
        sink.name, ": snapshot ", report.snapshot_id,
        " is in the clear beside sealed ones of the same cache: back up with "
        "--key-file to seal"));
  }
}

// How many have the dump.
int64_t Acknowledged(const BackupReport& report) {
  return std::count_if(report.sinks.begin(), report.sinks.end(),
                       [](const SinkResult& s) { return s.status.ok(); });
}

// Errors: what the first one said that has seen a newer primary.
absl::Status CheckNotFenced(const BackupReport& report) {
  for (const SinkResult& sink : report.sinks) {
    if (absl::IsPermissionDenied(sink.status)) {
      return absl::PermissionDeniedError(
          absl::StrCat(sink.name, ": ", sink.status.message()));
    }
  }
  return absl::OkStatus();
}

// `quorum`: whether enough have the dump, so that one that has not is told and
// no failure.
void AddFailures(const BackupReport& report, bool quorum, Console* console,
                 Failures* failures) {
  for (const SourceResult& source : report.sources) {
    if (!source.status.ok()) {
      console->Fail(source.name, source.status.message(), failures);
    }
    for (const std::string& problem : source.totals.problems()) {
      console->Fail(source.name, problem, failures);
    }
    const int64_t unlisted =
        source.totals.problems_count() - source.totals.problems_size();
    if (unlisted > 0) {
      console->Fail(source.name, absl::StrCat(unlisted, " more problems"),
                    failures);
    }
  }
  for (const SinkResult& sink : report.sinks) {
    if (sink.status.ok()) continue;
    const std::string why =
        absl::StrCat(sink.status.message(),
                     sink.may_hold ? "; it may have the snapshot" : "");
    if (quorum) {
      console->Warn(absl::StrCat(sink.name, ": ", why));
    } else {
      console->Fail(sink.name, why, failures);
    }
  }
}

// Errors: kInvalidArgument when two of the places are the same, as far as their
// names tell; two addresses of a replica are told apart by its sinks, and two
// ways to a directory by its lock.
absl::Status CheckDistinct(const std::vector<std::string>& directories,
                           const std::vector<replication::Endpoint>& replicas) {
  absl::flat_hash_set<std::string> seen;
  for (const replication::Endpoint& replica : replicas) {
    if (!seen.insert(replica.Text()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("--to: grpc://", replica.Text(), ": given twice"));
    }
  }
  for (const std::string& directory : directories) {
    std::error_code error;
    const auto path = std::filesystem::weakly_canonical(
        std::filesystem::absolute(directory) / ".", error);
    if (!error && !seen.insert(path.string()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("--to: ", directory, ": given twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status AddSinks(const BackupFlags& flags, const std::string& lineage,
                      backup::BackupOrchestrator* orchestrator) {
  for (const std::string& directory : flags.directories) {
    orchestrator->AddSink(backup::DirectorySink::Create(directory, {}));
  }
  if (flags.replicas.empty()) return absl::OkStatus();
  LARDER_ASSIGN_OR_RETURN(const Credentials credentials,
                          ReadCredentials(flags.credentials));
  uint64_t term = static_cast<uint64_t>(flags.term);
  if (term == 0) {
    LARDER_ASSIGN_OR_RETURN(
        term,
        replication::PrimaryTerm(cache::l2::PosixFileSystem(), flags.cache.l2));
  }
  const auto claimed = std::make_shared<replication::ClaimedReplicas>();
  for (const replication::Endpoint& replica : flags.replicas) {
    LARDER_ASSIGN_OR_RETURN(
        std::unique_ptr<backup::SnapshotSink> sink,
        MakeReplicaSink(replica, credentials, flags.credentials.insecure,
                        lineage, term, claimed));
    orchestrator->AddSink(std::move(sink));
  }
  return absl::OkStatus();
}

absl::Status Backup(const BackupFlags& flags, Console* console,
                    CommandResult* result) {
  LARDER_RETURN_IF_ERROR(CheckDistinct(flags.directories, flags.replicas));
  const int64_t places =
      static_cast<int64_t>(flags.directories.size() + flags.replicas.size());
  const int64_t quorum = flags.quorum == 0 ? places : flags.quorum;
  if (quorum > places) {
    return absl::InvalidArgumentError(
        absl::StrCat("--quorum: ", quorum, " vs ", places, " that --to names"));
  }
  if (flags.bytes_per_second_max != 0 &&
      flags.bytes_per_second_max < kBytesPerSecondMin) {
    return absl::InvalidArgumentError(
        absl::StrCat("--limit-rate: ", flags.bytes_per_second_max,
                     " bytes a second vs at least ", kBytesPerSecondMin));
  }
  LARDER_ASSIGN_OR_RETURN(const backup::Archive::Keys keys,
                          ReadKeys(flags.cache.key_file));
  LARDER_ASSIGN_OR_RETURN(const auto cache,
                          OpenCache(flags.cache, OpenMode::kLook));
  backup::BackupOrchestrator orchestrator({.keys = keys});
  orchestrator.AddSource(std::make_unique<backup::BlobCacheSource>(
      [&cache](const cache::EpochLock::PinOptions& pin) {
        return cache->TakeSnapshot(pin);
      },
      backup::BlobCacheSource::Options{.required = true}));
  if (!flags.files.empty()) {
    backup::DirectorySource::Options options;
    options.excluded = flags.directories;
    options.excluded.push_back(flags.cache.l2);
    orchestrator.AddSource(std::make_unique<backup::DirectorySource>(
        flags.files, std::move(options)));
  }
  LARDER_RETURN_IF_ERROR(
      AddSinks(flags, cache->Stats().l2.lineage, &orchestrator));
  Progress* progress = console->StartProgress("backup", 0);
  backup::BackupRequest request;
  request.include_blob_cache = flags.include_blob_cache;
  request.full = flags.full;
  request.base_id = flags.base_id;
  request.bytes_per_second_max = flags.bytes_per_second_max;
  request.background = !flags.full_priority;
  request.cancellation = InterruptFlag();
  request.progress = [progress](const backup::BackupProgress& done) {
    progress->Set(done.bytes_done, done.bytes_total);
  };
  const BackupReport report = orchestrator.Run(request);
  console->EndProgress();
  AddFacts(report, &result->facts);
  if (keys != nullptr) {
    result->facts.String("key_id",
                         backup::crypto::PrintKeyId(keys->first().id));
  }
  const int64_t acknowledged = Acknowledged(report);
  result->facts.Int("quorum", quorum).Int("acknowledged", acknowledged);
  // Also when it failed: what was sent is there.
  if (keys == nullptr) WarnInTheClear(report, console);
  if (report.outcome == backup::Outcome::kFailed) {
    LARDER_RETURN_IF_ERROR(CheckNotFenced(report));
    return WithWaysOn(flags.cache.l2, WhyFailed(report));
  }
  Print(report, console);
  if (keys != nullptr) {
    console->Say(absl::StrFormat("%-10s with key ID %s", "sealed",
                                 backup::crypto::PrintKeyId(keys->first().id)));
  }
  AddFailures(report, acknowledged >= quorum, console, &result->failures);
  return CheckNotFenced(report);
}

}  // namespace

absl::Status WhyFailed(const BackupReport& report) {
  const bool interrupted = absl::IsCancelled(report.status);
  const std::vector<std::string> names = MayHold(report);
  if (names.empty()) {
    return interrupted ? absl::CancelledError(
                             "interrupted; nothing was listed anywhere")
                       : report.status;
  }
  return absl::Status(
      report.status.code(),
      absl::StrCat(interrupted ? "interrupted" : report.status.message(), "; ",
                   absl::StrJoin(names, ", "),
                   " was told to finish, and may have snapshot ",
                   report.snapshot_id));
}

CommandResult RunBackup(const BackupFlags& flags, Console* console) {
  InterruptScope interruptible;
  CommandResult result;
  result.status = Backup(flags, console, &result);
  return result;
}

}  // namespace larder::cli
