#include "bench/backup/archives.h"

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/blob_cache_source.h"
#include "backup/directory_sink.h"
#include "backup/orchestrator.h"
#include "backup/outcome.h"

namespace larder::bench {

absl::StatusOr<Taken> BackUp(cache::BlobCache* cache, const std::string& dir,
                             const BackupOrder& order) {
  backup::BackupOrchestrator orchestrator({});
  orchestrator.AddSource(std::make_unique<backup::BlobCacheSource>(
      [cache](const cache::EpochLock::PinOptions& pin) {
        return cache->TakeSnapshot(pin);
      },
      backup::BlobCacheSource::Options()));
  orchestrator.AddSink(
      backup::DirectorySink::Create(dir, {.sync = order.sync}));
  const backup::BackupReport report =
      orchestrator.Run({.include_blob_cache = true,
                        .full = order.base_id.empty(),
                        .base_id = order.base_id});
  if (report.outcome != backup::Outcome::kOk ||
      report.sinks[0].base_snapshot_id != order.base_id) {
    return absl::InternalError(absl::StrCat(
        dir, ": backup on \"", report.sinks[0].base_snapshot_id,
        "\": not all of what was asked: ", report.status.ToString()));
  }
  return Taken{report.snapshot_id, report.sinks[0].receipt.bytes_written,
               report.sources[0].totals.stored_bytes()};
}

}  // namespace larder::bench
