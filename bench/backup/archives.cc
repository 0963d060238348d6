#include "bench/backup/archives.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/blob_cache_source.h"
#include "backup/directory_sink.h"
#include "backup/orchestrator.h"
#include "backup/outcome.h"

namespace larder::bench {

namespace {

absl::StatusOr<Taken> Run(
    std::unique_ptr<backup::SnapshotSource> source,
    backup::BackupRequest request,
    std::vector<std::unique_ptr<backup::SnapshotSink>> sinks) {
  backup::BackupOrchestrator orchestrator({});
  orchestrator.AddSource(std::move(source));
  for (std::unique_ptr<backup::SnapshotSink>& sink : sinks) {
    orchestrator.AddSink(std::move(sink));
  }
  request.include_blob_cache = true;
  const backup::BackupReport report = orchestrator.Run(request);
  for (const backup::SinkResult& sink : report.sinks) {
    const bool as_asked = !(request.full || !request.base_id.empty()) ||
                          sink.base_snapshot_id == request.base_id;
    if (sink.status.ok() && as_asked) continue;
    return absl::InternalError(
        absl::StrCat(sink.name, ": backup on \"", sink.base_snapshot_id,
                     "\": not what was asked: ", sink.status.ToString()));
  }
  if (report.outcome != backup::Outcome::kOk) {
    return absl::InternalError(
        absl::StrCat("backup: not all of it: ", report.status.ToString()));
  }
  return Taken{report.snapshot_id, report.sinks[0].receipt.bytes_written,
               report.sources[0].totals.stored_bytes(), report.bytes_sent};
}

}  // namespace

std::unique_ptr<backup::SnapshotSource> SourceOf(cache::BlobCache* cache) {
  return std::make_unique<backup::BlobCacheSource>(
      [cache](const cache::EpochLock::PinOptions& pin) {
        return cache->TakeSnapshot(pin);
      },
      backup::BlobCacheSource::Options());
}

absl::StatusOr<Taken> BackUpTo(
    std::unique_ptr<backup::SnapshotSource> source,
    std::vector<std::unique_ptr<backup::SnapshotSink>> sinks) {
  return Run(std::move(source), {.full = true}, std::move(sinks));
}

absl::StatusOr<Taken> BackUp(cache::BlobCache* cache, const std::string& dir,
                             const BackupOrder& order) {
  std::vector<std::unique_ptr<backup::SnapshotSink>> sinks;
  sinks.push_back(backup::DirectorySink::Create(dir, {.sync = order.sync}));
  return Run(SourceOf(cache),
             {.full = order.base_id.empty(),
              .base_id = order.base_id,
              .background = order.background},
             std::move(sinks));
}

absl::StatusOr<Taken> BackUpWhatEachLacks(
    cache::BlobCache* cache, const std::vector<std::string>& dirs) {
  std::vector<std::unique_ptr<backup::SnapshotSink>> sinks;
  for (const std::string& dir : dirs) {
    sinks.push_back(backup::DirectorySink::Create(dir, {.sync = false}));
  }
  return Run(SourceOf(cache), {}, std::move(sinks));
}

}  // namespace larder::bench
