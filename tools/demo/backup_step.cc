#include "tools/demo/backup_step.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/blob_cache_source.h"
#include "backup/directory_sink.h"
#include "backup/format/dump.pb.h"
#include "backup/orchestrator.h"
#include "backup/outcome.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/status_macros.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/units.h"

namespace larder::demo {
namespace {

// Enough that a round of sweeps lasts longer than a snapshot takes to begin.
constexpr int64_t kDebt = 1000;
constexpr int64_t kDebtMillisMax = 3000;

// What a round of sweeps had removed when the snapshot began and ended.
struct Moment {
  bool sweeping = false;
  int64_t swept_before = 0;
  int64_t swept_after = 0;
};

// Lets blobs fall due, so that there is something to sweep.
absl::Status CollectDebt(cache::BlobCache* cache, Storm* storm) {
  storm->HoldSweeps(true);
  cache::Clock* clock = cache::SystemClock();
  const int64_t end_ms = clock->NowUnixMillis() + kDebtMillisMax;
  while (clock->NowUnixMillis() < end_ms && !cli::Interrupted()) {
    LARDER_ASSIGN_OR_RETURN(const int64_t debt, cache->SweepDebt());
    if (debt >= kDebt) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return absl::OkStatus();
}

backup::BlobCacheSource::TakeSnapshotFn SnapshotDuringSweep(
    cache::BlobCache* cache, Storm* storm, Moment* moment) {
  return [cache, storm, moment](const cache::EpochLock::PinOptions& pin) {
    const int64_t base = storm->counts().swept;
    storm->HoldSweeps(false);
    while (!storm->sweeping() && storm->status().ok() && !cli::Interrupted()) {
      std::this_thread::yield();
    }
    moment->sweeping = storm->sweeping();
    moment->swept_before = storm->counts().swept - base;
    auto snapshot = cache->TakeSnapshot(pin);
    moment->swept_after = storm->counts().swept - base;
    return snapshot;
  };
}

void Tell(const backup::BackupReport& report, const StormCounts& before,
          const StormCounts& after, const Moment& moment, Stage* stage) {
  const backup::format::CacheInfo& info = report.sources[0].info.cache();
  const backup::format::SourceTotals& totals = report.sources[0].totals;
  Figures& figures = stage->figures;
  figures.snapshot_blobs = totals.records();
  figures.snapshot_raw_bytes = totals.raw_bytes();
  figures.snapshot_stored_bytes = totals.stored_bytes();
  figures.pin_nanos = info.pin_nanos();
  const double seconds = static_cast<double>(report.elapsed_nanos) / 1e9;
  figures.backup_bytes_per_second =
      static_cast<double>(totals.raw_bytes()) / seconds;
  Narrator* narrator = stage->narrator;
  narrator->Check(
      "backup", true,
      absl::StrCat("snapshot ", report.snapshot_id, " of epoch ", info.epoch(),
                   ", pinned in ", cli::FormatNanos(info.pin_nanos())));
  narrator->Check(
      "", true,
      absl::StrCat(
          cli::FormatPlural(totals.records(), "blob"), ", ",
          cli::FormatBytes(totals.raw_bytes()), " as ",
          cli::FormatBytes(totals.stored_bytes()), " to 2 replicas in ",
          cli::FormatNanos(report.elapsed_nanos), " (",
          cli::FormatBytesPerSecond(figures.backup_bytes_per_second), ")"));
  narrator->Check(
      "", moment.sweeping,
      absl::StrCat("begun in the middle of a sweep, after ",
                   cli::FormatPlural(moment.swept_before, "blob"),
                   " of it; it was at ", cli::FormatCount(moment.swept_after),
                   " when the epoch was pinned"));
  narrator->Check(
      "", true,
      absl::StrCat("meanwhile ",
                   cli::FormatPlural(after.puts - before.puts, "put"), ", ",
                   cli::FormatPlural(after.deletes - before.deletes, "delete"),
                   ", ", cli::FormatPlural(after.swept - before.swept, "blob"),
                   " swept"));
}

}  // namespace

absl::Status BackUp(Stage* stage, Readers* readers, Storm* storm) {
  LARDER_RETURN_IF_ERROR(CollectDebt(stage->cache.get(), storm));
  Moment moment;
  backup::BackupOrchestrator orchestrator({});
  orchestrator.AddSource(std::make_unique<backup::BlobCacheSource>(
      SnapshotDuringSweep(stage->cache.get(), storm, &moment),
      backup::BlobCacheSource::Options{.required = true}));
  for (int i = 1; i <= 2; ++i) {
    orchestrator.AddSink(
        backup::DirectorySink::Create(stage->ReplicaPath(i), {}));
  }
  backup::BackupRequest request;
  request.include_blob_cache = true;
  request.cancellation = cli::InterruptFlag();
  const StormCounts before = storm->counts();
  readers->RecordTo(&stage->gets_with_backup);
  const backup::BackupReport report = orchestrator.Run(request);
  readers->RecordTo(nullptr);
  if (report.outcome != backup::Outcome::kOk) {
    absl::Status why = report.status;
    for (const auto& source : report.sources) why.Update(source.status);
    for (const auto& sink : report.sinks) why.Update(sink.status);
    why.Update(absl::InternalError("the backup is not complete"));
    return why;
  }
  stage->snapshot_id = report.snapshot_id;
  stage->snapshot_epoch = report.sources[0].info.cache().epoch();
  Tell(report, before, storm->counts(), moment, stage);
  return absl::OkStatus();
}

}  // namespace larder::demo
