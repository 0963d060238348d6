#include "tools/demo/restore_step.h"

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/outcome.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/options.h"
#include "cache/status_macros.h"
#include "cache/verify.h"
#include "tools/cli/interrupt.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/units.h"
#include "tools/demo/compare.h"

namespace larder::demo {
namespace {

constexpr int64_t kMinuteMillis = 60'000;

// Waits until what expires within seconds has, so that both sides of a
// comparison agree on it. Returns the time.
int64_t WaitForExpiries(const Model& model) {
  cache::Clock* clock = cache::SystemClock();
  const int64_t last =
      model.LastExpiryBefore(clock->NowUnixMillis() + kMinuteMillis);
  while (clock->NowUnixMillis() <= last && !cli::Interrupted()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return clock->NowUnixMillis();
}

absl::Status RestoreSnapshot(Stage* stage) {
  LARDER_ASSIGN_OR_RETURN(
      const backup::Archive archive,
      backup::Archive::Open(stage->ReplicaPath(2), /*file_system=*/nullptr));
  backup::RestoreOptions options;
  options.snapshot_id = stage->snapshot_id;
  options.cache.l2_path = stage->RestoredPath();
  options.cancellation = cli::InterruptFlag();
  const backup::RestoreReport report = backup::Restore(archive, options);
  if (report.outcome == backup::Outcome::kFailed) return report.status;
  stage->figures.restore_bytes_per_second =
      static_cast<double>(report.plan.records_raw_bytes) /
      (static_cast<double>(report.elapsed_nanos) / 1e9);
  stage->narrator->Check(
      "restore", report.outcome == backup::Outcome::kOk && report.digest_equal,
      absl::StrCat(
          cli::FormatPlural(report.records_restored, "blob"),
          " from replica 2 in ", cli::FormatNanos(report.elapsed_nanos), " (",
          cli::FormatBytesPerSecond(stage->figures.restore_bytes_per_second),
          "); content digest equal to the snapshot's: ",
          cli::DigestText(report.restored.content_digest)));
  return absl::OkStatus();
}

absl::Status CompareOne(cache::BlobCache* cache, absl::string_view what,
                        uint64_t epoch, int64_t now_unix_ms, Stage* stage) {
  LARDER_ASSIGN_OR_RETURN(const Comparison comparison,
                          Compare(cache, stage->corpus,
                                  stage->model.ContentsAt(epoch, now_unix_ms)));
  stage->figures.compared_blobs += comparison.equal;
  stage->figures.compared_bytes += comparison.equal_bytes;
  stage->narrator->Check(
      "compare", comparison.ok(),
      absl::StrCat(what, ": ", cli::FormatPlural(comparison.equal, "blob"),
                   ", ", cli::FormatBytes(comparison.equal_bytes),
                   " equal to their files, byte for byte; ", comparison.missing,
                   " missing, ", comparison.unexpected, " unexpected, ",
                   comparison.different, " different"));
  for (const std::string& example : comparison.examples) {
    stage->narrator->Tell("", example);
  }
  return absl::OkStatus();
}

absl::Status VerifyOneL2(const std::string& path, absl::string_view what,
                         Stage* stage) {
  cache::BlobCacheOptions options;
  options.l2_path = path;
  LARDER_ASSIGN_OR_RETURN(const cache::VerifyReport report,
                          cache::VerifyL2(options));
  stage->narrator->Check(
      "verify", report.clean() && report.orphan_runs == 0,
      absl::StrCat(what, ": ", cli::FormatPlural(report.pages, "page"), ", ",
                   cli::FormatPlural(report.chains, "chain"), ", ",
                   cli::FormatPlural(report.damages, "damage"), ", ",
                   cli::FormatBytes(report.orphaned_bytes), " orphaned",
                   "; live + free + orphaned = file size"));
  for (const std::string& damage : report.damaged) {
    stage->narrator->Tell("", damage);
  }
  return absl::OkStatus();
}

absl::Status VerifyReplica(int i, Stage* stage) {
  LARDER_ASSIGN_OR_RETURN(
      const backup::Archive archive,
      backup::Archive::Open(stage->ReplicaPath(i), /*file_system=*/nullptr));
  LARDER_ASSIGN_OR_RETURN(const backup::VerifyReport report,
                          backup::VerifyArchive(archive, {}));
  int64_t bytes = 0;
  for (const auto& snapshot : report.snapshots) bytes += snapshot.bytes;
  stage->narrator->Check(
      "verify", report.status.ok() && report.snapshots.size() == 1,
      absl::StrCat("replica ", i, ": ", cli::FormatBytes(bytes),
                   " read, every checksum right"));
  return absl::OkStatus();
}

}  // namespace

absl::Status RestoreAndCompare(Stage* stage) {
  LARDER_RETURN_IF_ERROR(RestoreSnapshot(stage));
  const int64_t now_unix_ms = WaitForExpiries(stage->model);
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<cache::BlobCache> restored,
                          OpenForDemo(stage->RestoredPath(), /*create=*/false));
  LARDER_RETURN_IF_ERROR(
      CompareOne(restored.get(),
                 absl::StrCat("restored, with what was done up to epoch ",
                              stage->snapshot_epoch),
                 stage->snapshot_epoch, now_unix_ms, stage));
  LARDER_RETURN_IF_ERROR(stage->cache->Flush());
  return CompareOne(stage->cache.get(),
                    "the living cache, with all that was done",
                    std::numeric_limits<uint64_t>::max(), now_unix_ms, stage);
}

absl::Status VerifyAll(Stage* stage) {
  stage->cache.reset();
  LARDER_RETURN_IF_ERROR(VerifyOneL2(stage->L2Path(), "cache", stage));
  LARDER_RETURN_IF_ERROR(VerifyOneL2(stage->RestoredPath(), "restored", stage));
  LARDER_RETURN_IF_ERROR(VerifyReplica(1, stage));
  return VerifyReplica(2, stage);
}

}  // namespace larder::demo
