#include "backup/restore.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/checksum.h"
#include "backup/format/dump.pb.h"
#include "backup/format/dump_seal.h"
#include "backup/format/names.h"
#include "backup/format/record_codec.h"
#include "backup/internal/cache_reader.h"
#include "backup/internal/delta_applier.h"
#include "backup/internal/dump_reader.h"
#include "backup/internal/file_reader.h"
#include "backup/internal/file_target.h"
#include "backup/internal/invalidation_set.h"
#include "backup/internal/lease.h"
#include "backup/internal/lineage_invalidations.h"
#include "backup/internal/loss_reporter.h"
#include "backup/internal/pack_frames.h"
#include "backup/internal/restore_sources.h"
#include "backup/internal/staging_directory.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/stats.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using backup_internal::CacheReader;
using backup_internal::ChooseSource;
using backup_internal::DeltaApplier;
using backup_internal::DirectoryFileTarget;
using backup_internal::FileReader;
using backup_internal::InvalidationSet;
using backup_internal::IsOrDescendsFrom;
using backup_internal::Lease;
using backup_internal::LossReporter;
using backup_internal::MayTellOfLater;
using backup_internal::StagingDirectory;
using cache::l2::FileSystem;

FileSystem* FileSystemOf(const RestoreOptions& options) {
  return options.cache.file_system != nullptr ? options.cache.file_system
                                              : cache::l2::PosixFileSystem();
}

// Tells what of a source that is restored was not in the backup, ever.
void PlanProblems(const format::Manifest& manifest, uint16_t index,
                  RestorePlan* plan) {
  const format::SourceTotals& totals =
      manifest.trailer().sources(index).totals();
  const auto warn = [&](absl::string_view what) {
    plan->warnings.push_back(
        absl::StrCat("when the backup was made: source ",
                     manifest.header().sources(index).name(), ": ", what));
  };
  for (const std::string& problem : totals.problems()) {
    warn(format::Printable(problem));
  }
  const int64_t unlisted = totals.problems_count() - totals.problems_size();
  if (unlisted > 0) {
    warn(absl::StrCat(
        unlisted, totals.problems().empty() ? " problems" : " more problems"));
  }
}

// That all can be opened which a restore will read.
absl::Status CheckSeals(const Archive& archive,
                        const std::vector<SnapshotEntry>& all,
                        RestorePlan* plan) {
  for (const SnapshotEntry& layer : plan->chain) {
    LARDER_RETURN_IF_ERROR(archive.SealOf(layer.manifest).status());
  }
  plan->dumps_in_the_clear = DumpsInTheClear(plan->chain);
  const bool is_sealed =
      plan->dumps_in_the_clear < static_cast<int64_t>(plan->chain.size());
  for (const SnapshotEntry& newer : all) {
    if (is_sealed && !newer.status.ok()) ++plan->unreadable_snapshots;
    // What was flushed there must not come back.
    if (std::find(plan->newer_snapshots.begin(), plan->newer_snapshots.end(),
                  newer.id) == plan->newer_snapshots.end()) {
      continue;
    }
    const format::DumpSeal seal = archive.SealOf(newer.manifest);
    const absl::Status opened = seal.status();
    if (opened.ok() && is_sealed && !seal.sealed()) {
      plan->warnings.push_back(absl::StrCat(
          "snapshot ", newer.id, ": in the clear: nothing proves what it says ",
          "was flushed since"));
    }
    if (opened.ok()) continue;
    return absl::Status(
        opened.code(),
        absl::StrCat(opened.message(),
                     ": needed for what was flushed since snapshot ",
                     plan->snapshot.id));
  }
  return absl::OkStatus();
}

void PlanCache(const SnapshotEntry& snapshot, uint16_t index,
               const std::vector<SnapshotEntry>& all, RestorePlan* plan) {
  const format::CacheInfo& cache =
      snapshot.manifest.header().sources(index).cache();
  const format::SourceTotals& totals =
      snapshot.manifest.trailer().sources(index).totals();
  plan->restores_cache = true;
  const bool is_delta = cache.base_epoch() != 0;
  plan->records = is_delta ? cache.records() : totals.records();
  plan->records_raw_bytes = is_delta ? cache.raw_bytes() : totals.raw_bytes();
  plan->records_stored_bytes =
      is_delta ? cache.stored_bytes() : totals.stored_bytes();
  if (!cache.blobs_included()) {
    plan->warnings.push_back(absl::StrCat(
        "snapshot ", snapshot.id,
        " was made without blobs: restores generations and tombstones only"));
  }
  for (const SnapshotEntry& other : all) {
    if (!other.status.ok() ||
        other.manifest.ordinal() <= snapshot.manifest.ordinal()) {
      continue;
    }
    for (const auto& source : other.manifest.header().sources()) {
      if (source.kind() != format::SOURCE_KIND_BLOB_CACHE) continue;
      if (!IsOrDescendsFrom(source.cache(), cache)) {
        plan->newer_of_other_lineages.push_back(other.id);
      } else if (MayTellOfLater(source.cache(), cache)) {
        plan->newer_snapshots.push_back(other.id);
      }
    }
  }
}

// Everything of one restore that is under way.
class RestoreRun {
 public:
  RestoreRun(const Archive& archive, const RestoreOptions& options,
             RestoreReport* report)
      : archive_(archive),
        options_(options),
        report_(report),
        manifest_(report->plan.snapshot.manifest),
        losses_(&report->lost, options.losses_listed_max, options.on_loss) {}

  absl::Status Run();

 private:
  absl::Status TakeLease();
  absl::Status PrepareCache();
  // Reads one dump of the chain, on top of those before.
  absl::Status ReadLayer(size_t at);
  absl::Status CountLayer(const format::SourceTotals& totals,
                          const CacheReader::Counts& counts, int64_t missing);
  absl::Status PrepareFiles();
  absl::Status FinishCache();
  absl::Status CheckReopened();
  absl::Status FinishFiles();
  absl::Status Publish();
  void Warn(const absl::Status& problem);

  const Archive& archive_;
  const RestoreOptions& options_;
  RestoreReport* const report_;
  const format::Manifest& manifest_;
  LossReporter losses_;

  std::unique_ptr<Lease> lease_;
  InvalidationSet newer_;
  uint16_t cache_index_ = 0;
  std::unique_ptr<StagingDirectory> cache_staging_;
  std::unique_ptr<cache::L2Loader> loader_;
  std::vector<std::string> cache_namespaces_;
  // Of all layers so far.
  struct CacheCounts {
    int64_t restored = 0, restored_bytes = 0, skipped = 0, lost = 0;
    int64_t problems = 0;
  };
  CacheCounts counts_;
  int64_t bytes_done_ = 0;
  std::unique_ptr<StagingDirectory> files_staging_;
  std::unique_ptr<DirectoryFileTarget> files_target_;
  const format::SourceTotals* files_totals_ = nullptr;  // In `manifest_`.
  std::unique_ptr<FileReader> file_reader_;
};

void RestoreRun::Warn(const absl::Status& problem) {
  constexpr size_t kWarningsMax = 1000;
  if (report_->warnings.size() < kWarningsMax) {
    report_->warnings.emplace_back(problem.message());
  }
}

absl::Status RestoreRun::TakeLease() {
  std::vector<std::string> ids = report_->plan.newer_snapshots;
  for (const SnapshotEntry& layer : report_->plan.chain) {
    ids.push_back(layer.id);
  }
  LARDER_ASSIGN_OR_RETURN(
      lease_, Lease::Take(&archive_, std::move(ids), options_.cache.clock));
  return absl::OkStatus();
}

absl::Status RestoreRun::PrepareCache() {
  LARDER_ASSIGN_OR_RETURN(
      cache_index_,
      ChooseSource(manifest_, format::SOURCE_KIND_BLOB_CACHE, ""));
  InvalidationSet merged;
  LARDER_ASSIGN_OR_RETURN(
      const bool all,
      backup_internal::CollectInvalidations(
          {.archive = &archive_,
           .manifest = &manifest_,
           .source = cache_index_,
           .newer = {{.archive = &archive_,
                      .ids = &report_->plan.newer_snapshots,
                      .lease = lease_.get()}},
           .cancellation = options_.cancellation,
           .problem = [this](const absl::Status& problem) { Warn(problem); }},
          &merged, &newer_, /*covering=*/nullptr));
  if (!all) report_->outcome = Outcome::kPartial;
  LARDER_ASSIGN_OR_RETURN(
      cache_staging_, StagingDirectory::Create(options_.cache.l2_path,
                                               manifest_.header().snapshot_id(),
                                               FileSystemOf(options_)));
  cache::SnapshotInfo info =
      format::FromMessage(manifest_.header().sources(cache_index_).cache());
  info.namespaces = merged.Namespaces();
  info.tombstones = merged.Tombstones();
  info.hlc = std::max(info.hlc, merged.newest());
  cache::BlobCacheOptions target = options_.cache;
  target.l2_path = cache_staging_->path();
  auto loader = options_.create_loader ? options_.create_loader(target, info)
                                       : cache::CreateL2Loader(target, info);
  LARDER_RETURN_IF_ERROR(loader.status());
  loader_ = *std::move(loader);
  for (const cache::NamespaceState& n : info.namespaces) {
    cache_namespaces_.push_back(n.name);
  }
  if (report_->plan.chain.size() > 1) losses_.WaitForDeltas();
  return absl::OkStatus();
}

absl::Status RestoreRun::PrepareFiles() {
  LARDER_ASSIGN_OR_RETURN(const uint16_t index,
                          ChooseSource(manifest_, format::SOURCE_KIND_DIRECTORY,
                                       options_.files_source));
  LARDER_ASSIGN_OR_RETURN(
      files_staging_, StagingDirectory::Create(options_.files_path,
                                               manifest_.header().snapshot_id(),
                                               FileSystemOf(options_)));
  files_target_ = std::make_unique<DirectoryFileTarget>(files_staging_->path(),
                                                        FileSystemOf(options_));
  LARDER_RETURN_IF_ERROR(files_target_->Open());
  files_totals_ = &manifest_.trailer().sources(index).totals();
  file_reader_ =
      std::make_unique<FileReader>(manifest_.header().sources(index).name(),
                                   files_totals_, files_target_.get(), &losses_,
                                   [this](const absl::Status& p) { Warn(p); });
  return absl::OkStatus();
}

absl::Status RestoreRun::ReadLayer(size_t at) {
  const SnapshotEntry& layer = report_->plan.chain[at];
  const bool is_last = at + 1 == report_->plan.chain.size();
  const auto warn = [this](const absl::Status& problem) { Warn(problem); };
  backup_internal::SourceReaders readers;
  std::optional<DeltaApplier> delta;
  std::optional<CacheReader> cache_reader;
  const format::SourceTotals* totals = nullptr;
  backup_internal::PackFrames frames(&archive_, &layer.manifest);
  if (loader_ != nullptr) {
    LARDER_ASSIGN_OR_RETURN(
        const uint16_t index,
        backup_internal::CacheSourceIn(report_->plan.chain, at, cache_index_));
    const format::SourceInfo& info = layer.manifest.header().sources(index);
    if (info.cache().base_epoch() != 0) {
      LARDER_RETURN_IF_ERROR(loader_->StartDelta());
      delta.emplace(info.name(), cache_namespaces_, loader_.get(), &losses_);
    }
    totals = &layer.manifest.trailer().sources(index).totals();
    cache_reader.emplace(info.name(), totals, loader_.get(), &newer_, &losses_,
                         delta.has_value() ? &*delta : nullptr, &frames, warn);
    readers[index] = &*cache_reader;
  }
  for (int i = 0; is_last && i < manifest_.header().sources_size(); ++i) {
    if (file_reader_ != nullptr &&
        file_reader_->source() == manifest_.header().sources(i).name()) {
      readers[static_cast<uint16_t>(i)] = file_reader_.get();
    }
  }
  const auto progress = [this](int64_t bytes_done) {
    lease_->Renew();
    if (!options_.progress) return;
    options_.progress({.bytes_done = bytes_done_ + bytes_done,
                       .bytes_total = report_->plan.bytes_to_read});
  };
  LARDER_RETURN_IF_ERROR(backup_internal::ReadDump(
      archive_, layer.manifest, readers,
      {.progress = progress, .cancellation = options_.cancellation}, warn));
  bytes_done_ += layer.bytes;
  if (!cache_reader.has_value()) return absl::OkStatus();
  return CountLayer(*totals, cache_reader->counts(),
                    delta.has_value() ? delta->missing() : 0);
}

absl::Status RestoreRun::CountLayer(const format::SourceTotals& totals,
                                    const CacheReader::Counts& counts,
                                    int64_t missing) {
  if (counts.restored + counts.skipped + counts.lost !=
      totals.records_begun()) {
    return absl::DataLossError(absl::StrFormat(
        "restored cache: %d restored, %d skipped, %d lost vs expected %d in "
        "all",
        counts.restored, counts.skipped, counts.lost, totals.records_begun()));
  }
  // Who lacks more than was lost or skipped never had the base. What one delta
  // misses the next may miss again.
  if (missing > counts_.skipped + counts_.lost + counts_.problems) {
    return absl::DataLossError(absl::StrFormat(
        "restored cache: a delta keeps %d records that are not there vs at "
        "most %d that were lost or skipped: not its base",
        missing, counts_.skipped + counts_.lost + counts_.problems));
  }
  counts_.restored += counts.restored;
  counts_.restored_bytes += counts.restored_bytes;
  counts_.skipped += counts.skipped;
  counts_.lost += counts.lost;
  counts_.problems += totals.problems_count();
  return absl::OkStatus();
}

absl::Status RestoreRun::FinishCache() {
  LARDER_ASSIGN_OR_RETURN(report_->restored, loader_->Close());
  report_->records_restored = report_->restored.records;
  report_->bytes_restored += counts_.restored_bytes;
  const bool is_delta = report_->plan.chain.size() > 1;
  if (!is_delta && report_->restored.records != counts_.restored) {
    return absl::DataLossError(
        absl::StrFormat("restored cache: holds %d records vs %d restored",
                        report_->restored.records, counts_.restored));
  }
  const format::CacheInfo& cache =
      manifest_.header().sources(cache_index_).cache();
  absl::uint128 expected = 0;
  format::DecodeUint128(cache.content_digest(), &expected);
  report_->digest_equal = report_->restored.content_digest == expected;
  // What a layer skipped may have come with a newer one.
  report_->records_skipped =
      is_delta ? std::max<int64_t>(0, cache.records() - counts_.problems -
                                          report_->restored.records -
                                          report_->lost.blobs)
               : counts_.skipped;
  const bool all = cache.blobs_included() && report_->records_skipped == 0 &&
                   report_->lost.blobs == 0 && counts_.problems == 0;
  if (all && !report_->digest_equal) {
    return absl::DataLossError(absl::StrFormat(
        "restored cache: content digest %s vs expected %s",
        format::Hex(report_->restored.content_digest), format::Hex(expected)));
  }
  if (counts_.problems > 0) report_->outcome = Outcome::kPartial;
  return options_.create_loader ? absl::OkStatus() : CheckReopened();
}

// What was written must be what the next process finds.
absl::Status RestoreRun::CheckReopened() {
  loader_.reset();  // It holds the L2.
  cache::BlobCacheOptions options = options_.cache;
  options.l2_path = cache_staging_->path();
  options.l2_must_exist = true;
  options.background_commits = false;
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<cache::BlobCache> reopened,
                          cache::BlobCache::Open(options));
  const cache::L2Stats found = reopened->Stats().l2;
  const cache::SnapshotInfo& expected = report_->restored;
  if (found.lineage == expected.lineage && found.epoch == expected.epoch &&
      found.records == expected.records &&
      found.content_digest == expected.content_digest) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrFormat(
      "restored cache: opened again: lineage %s, epoch %d, %d records, digest "
      "%s vs written %s, %d, %d, %s",
      found.lineage, found.epoch, found.records,
      format::Hex(found.content_digest), expected.lineage, expected.epoch,
      expected.records, format::Hex(expected.content_digest)));
}

absl::Status RestoreRun::FinishFiles() {
  LARDER_RETURN_IF_ERROR(files_target_->Close());
  if (files_totals_->problems_count() > 0) {
    report_->outcome = Outcome::kPartial;
  }
  report_->files_restored = file_reader_->counts().restored;
  report_->bytes_restored += file_reader_->counts().restored_bytes;
  return absl::OkStatus();
}

absl::Status RestoreRun::Publish() {
  if (files_staging_ != nullptr) {
    LARDER_RETURN_IF_ERROR(files_staging_->Publish());
  }
  if (cache_staging_ == nullptr) return absl::OkStatus();
  const absl::Status published = cache_staging_->Publish();
  if (!published.ok() && files_staging_ != nullptr) files_staging_->Retract();
  return published;
}

absl::Status RestoreRun::Run() {
  const RestorePlan& plan = report_->plan;
  report_->outcome = Outcome::kOk;
  report_->warnings = plan.warnings;
  LARDER_RETURN_IF_ERROR(TakeLease());
  if (plan.restores_cache) LARDER_RETURN_IF_ERROR(PrepareCache());
  if (plan.restores_files) LARDER_RETURN_IF_ERROR(PrepareFiles());
  // Files are in the last one alone.
  for (size_t at = loader_ != nullptr ? 0 : plan.chain.size() - 1;
       at < plan.chain.size(); ++at) {
    LARDER_RETURN_IF_ERROR(ReadLayer(at));
  }
  report_->unprotected = lease_->problem();
  lease_.reset();  // The rest reads nothing of the archive.
  losses_.Settle();
  if (loader_ != nullptr) LARDER_RETURN_IF_ERROR(FinishCache());
  if (file_reader_ != nullptr) LARDER_RETURN_IF_ERROR(FinishFiles());
  LARDER_RETURN_IF_ERROR(CheckCancelled(options_.cancellation));
  LARDER_RETURN_IF_ERROR(Publish());
  if (!report_->lost.empty() ||
      (plan.restores_cache && plan.unreadable_snapshots > 0)) {
    report_->outcome = Outcome::kPartial;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RestorePlan> PlanRestore(const Archive& archive,
                                        const RestoreOptions& options) {
  if (options.cache.l2_path.empty() && options.files_path.empty()) {
    return absl::InvalidArgumentError("restore: no target");
  }
  if (backup_internal::Nested(options.cache.l2_path, options.files_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("restore: targets ", options.cache.l2_path, " and ",
                     options.files_path, ": one is within the other"));
  }
  RestorePlan plan;
  LARDER_ASSIGN_OR_RETURN(plan.snapshot,
                          options.snapshot_id.empty()
                              ? archive.FindAt(options.not_after_unix_ms)
                              : archive.Find(options.snapshot_id));
  LARDER_ASSIGN_OR_RETURN(const std::vector<SnapshotEntry> all, archive.List());
  const format::Manifest& manifest = plan.snapshot.manifest;
  for (const SnapshotEntry& other : all) {
    if (!other.status.ok()) {
      plan.warnings.push_back(
          absl::StrCat("snapshot ", other.id, ": ", other.status.message()));
    } else if (!other.complete && (other.id == plan.snapshot.id ||
                                   (options.snapshot_id.empty() &&
                                    other.manifest.header().created_unix_ms() <=
                                        options.not_after_unix_ms))) {
      plan.warnings.push_back(
          absl::StrCat("snapshot ", other.id, ": ", other.incomplete_reason));
    }
  }
  if (!options.cache.l2_path.empty()) {
    LARDER_ASSIGN_OR_RETURN(
        const uint16_t index,
        ChooseSource(manifest, format::SOURCE_KIND_BLOB_CACHE, ""));
    LARDER_RETURN_IF_ERROR(backup_internal::CheckTarget(options.cache.l2_path,
                                                        FileSystemOf(options)));
    PlanCache(plan.snapshot, index, all, &plan);
    PlanProblems(manifest, index, &plan);
    if (plan.records_stored_bytes > options.cache.l2_bytes_max) {
      return absl::ResourceExhaustedError(absl::StrFormat(
          "%s: blobs of %d bytes exceed l2_bytes_max %d", options.cache.l2_path,
          plan.records_stored_bytes, options.cache.l2_bytes_max));
    }
  }
  if (!options.files_path.empty()) {
    LARDER_ASSIGN_OR_RETURN(
        const uint16_t index,
        ChooseSource(manifest, format::SOURCE_KIND_DIRECTORY,
                     options.files_source));
    const absl::Status target =
        backup_internal::CheckTarget(options.files_path, FileSystemOf(options));
    // The L2 is not there: that was checked.
    if (absl::IsAlreadyExists(target) && plan.restores_cache) {
      return absl::AlreadyExistsError(absl::StrCat(
          target.message(),
          "; if a restore of both left these files, they are whole, and only "
          "the cache is left to restore"));
    }
    LARDER_RETURN_IF_ERROR(target);
    PlanProblems(manifest, index, &plan);
    plan.restores_files = true;
    plan.files = manifest.trailer().sources(index).totals().files();
    plan.files_bytes = manifest.trailer().sources(index).totals().file_bytes();
  }
  if (plan.restores_cache) {
    LARDER_ASSIGN_OR_RETURN(plan.chain, archive.Chain(plan.snapshot));
  } else {
    plan.chain = {plan.snapshot};
  }
  LARDER_RETURN_IF_ERROR(CheckSeals(archive, all, &plan));
  for (const SnapshotEntry& layer : plan.chain) {
    for (const format::Pack& pack : layer.manifest.packs()) {
      plan.bytes_to_read += static_cast<int64_t>(pack.bytes());
    }
  }
  return plan;
}

RestoreReport Restore(const Archive& archive, const RestoreOptions& options) {
  RestoreReport report;
  cache::Clock* const clock = options.cache.clock != nullptr
                                  ? options.cache.clock
                                  : cache::SystemClock();
  const int64_t start_nanos = clock->NowSteadyNanos();
  absl::StatusOr<RestorePlan> plan = PlanRestore(archive, options);
  report.status = plan.status();
  if (plan.ok()) {
    report.plan = *std::move(plan);
    report.outcome = Outcome::kOk;
    report.warnings = report.plan.warnings;
    if (!options.dry_run) {
      report.status = RestoreRun(archive, options, &report).Run();
    }
  }
  if (!report.status.ok()) report.outcome = Outcome::kFailed;
  report.elapsed_nanos = clock->NowSteadyNanos() - start_nanos;
  return report;
}

}  // namespace larder::backup
