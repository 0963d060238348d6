#include "tools/demo/crash_step.h"

#include <csignal>
#include <cstdint>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/stats.h"
#include "cache/status_macros.h"
#include "sweeper/blob_cache_sweeper.h"
#include "sweeper/reports.h"
#include "tools/cli/json_writer.h"
#include "tools/cli/units.h"
#include "tools/demo/crash_child.h"
#include "tools/demo/subprocess.h"

namespace larder::demo {
namespace {

constexpr int64_t kBlobs = 64;
// What L2 may mark in use ahead of each chain, before it is, and take back with
// its next commit (docs/formats/l2.md).
constexpr int64_t kMarkedAheadBytes = 256 * 1024;

struct Orphans {
  int64_t runs = 0;  // Chains side by side make one.
  int64_t bytes = 0;
};

absl::StatusOr<Orphans> CountOrphans(cache::BlobCache* cache) {
  Orphans orphans;
  LARDER_RETURN_IF_ERROR(cache->L2OrphanChains([&orphans](const auto& chain) {
    ++orphans.runs;
    orphans.bytes += static_cast<int64_t>(chain.bytes);
    return true;
  }));
  return orphans;
}

// Runs the child until it kills itself. Returns the bytes of its chains.
absl::StatusOr<int64_t> RunChild(Stage* stage) {
  LARDER_ASSIGN_OR_RETURN(
      const SubprocessEnd end,
      RunSelf({kCrashChildCommand, "--l2", stage->L2Path(), "--namespace",
               std::string(kCrashNamespace), "--blobs", absl::StrCat(kBlobs)}));
  int64_t bytes = 0;
  if (end.signal != SIGKILL || !absl::SimpleAtoi(end.output, &bytes)) {
    return absl::InternalError(absl::StrCat(
        "the process that should kill itself ended with exit code ",
        end.exit_code, ", signal ", end.signal));
  }
  return bytes;
}

std::string BytesText(int64_t bytes) {
  return absl::StrCat(cli::FormatCount(bytes), " bytes");
}

absl::Status Reclaim(Stage* stage, int64_t expected_bytes) {
  LARDER_ASSIGN_OR_RETURN(const Orphans found,
                          CountOrphans(stage->cache.get()));
  Narrator* narrator = stage->narrator;
  narrator->Check(
      "",
      found.bytes >= expected_bytes &&
          found.bytes <= expected_bytes + kBlobs * kMarkedAheadBytes,
      absl::StrCat("left behind without a record: ", BytesText(found.bytes),
                   ", ", BytesText(expected_bytes),
                   " of chains and what was marked ahead of them"));
  sweeper::BlobCacheSweeper sweeper(stage->cache.get(), cache::SystemClock());
  LARDER_ASSIGN_OR_RETURN(const sweeper::OrphanReport report,
                          sweeper.ReclaimOrphans({}));
  LARDER_ASSIGN_OR_RETURN(const Orphans left, CountOrphans(stage->cache.get()));
  narrator->Check("",
                  report.blob_chains_reclaimed == found.runs &&
                      report.bytes_reclaimed == found.bytes && left.runs == 0,
                  absl::StrCat("reclaimed: ", BytesText(report.bytes_reclaimed),
                               "; left: ", left.bytes));
  stage->figures.orphan_bytes = report.bytes_reclaimed;
  return absl::OkStatus();
}

}  // namespace

absl::Status CrashAndReclaim(Stage* stage) {
  LARDER_RETURN_IF_ERROR(stage->cache->Flush());
  const cache::L2Stats before = stage->cache->Stats().l2;
  stage->cache.reset();
  LARDER_ASSIGN_OR_RETURN(const int64_t bytes, RunChild(stage));
  LARDER_ASSIGN_OR_RETURN(stage->cache,
                          OpenForDemo(stage->L2Path(), /*create=*/false));
  const cache::L2Stats after = stage->cache->Stats().l2;
  Narrator* narrator = stage->narrator;
  narrator->Check(
      "crash", after.content_digest == before.content_digest,
      absl::StrCat("a process killed itself (SIGKILL) after ", kBlobs,
                   " puts, before their commit; digest as before: ",
                   cli::DigestText(after.content_digest)));
  return Reclaim(stage, bytes);
}

}  // namespace larder::demo
