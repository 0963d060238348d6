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
    std::unique_ptr<backup::SnapshotSource> source, const BackupOrder& order,
    std::vector<std::unique_ptr<backup::SnapshotSink>> sinks) {
  const std::string& base_id = order.base_id;
  backup::BackupOrchestrator orchestrator({});
  orchestrator.AddSource(std::move(source));
  for (std::unique_ptr<backup::SnapshotSink>& sink : sinks) {
    orchestrator.AddSink(std::move(sink));
  }
  const backup::BackupReport report =
      orchestrator.Run({.include_blob_cache = true,
                        .full = base_id.empty(),
                        .base_id = base_id,
                        .background = order.background});
  for (const backup::SinkResult& sink : report.sinks) {
    if (sink.status.ok() && sink.base_snapshot_id == base_id) continue;
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
  return Run(std::move(source), {}, std::move(sinks));
}

absl::StatusOr<Taken> BackUp(cache::BlobCache* cache, const std::string& dir,
                             const BackupOrder& order) {
  std::vector<std::unique_ptr<backup::SnapshotSink>> sinks;
  sinks.push_back(backup::DirectorySink::Create(dir, {.sync = order.sync}));
  return Run(SourceOf(cache), order, std::move(sinks));
}

}  // namespace larder::bench
