#include "backup/verify.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/checksum.h"
#include "backup/internal/cache_reader.h"
#include "backup/internal/delta_applier.h"
#include "backup/internal/dump_reader.h"
#include "backup/internal/file_reader.h"
#include "backup/internal/file_target.h"
#include "backup/internal/lease.h"
#include "backup/internal/leftovers.h"
#include "backup/internal/loss_reporter.h"
#include "backup/internal/pack_frames.h"
#include "cache/snapshot.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using backup_internal::CacheReader;
using backup_internal::DeltaApplier;
using backup_internal::FileReader;
using backup_internal::LossReporter;

// Takes records and keeps nothing; the reader has checked them.
class NullLoader : public cache::L2Loader {
 public:
  absl::Status Begin(const cache::StoredRecord&) override {
    return absl::OkStatus();
  }
  absl::Status AppendFrame(absl::string_view) override {
    return absl::OkStatus();
  }
  absl::Status Finish() override { return absl::OkStatus(); }
  void Abandon() override {}
  absl::Status StartDelta() override { return absl::OkStatus(); }
  absl::StatusOr<int64_t> KeepOnly(
      absl::string_view, absl::string_view, absl::string_view,
      absl::Span<const uint64_t>,
      absl::FunctionRef<void(absl::string_view)>) override {
    return 0;
  }
  absl::StatusOr<cache::SnapshotInfo> Close() override {
    return cache::SnapshotInfo();
  }
};

// Compares what was read of one source with what the manifest counted.
template <typename Reader>
void CheckCounts(const format::SourceInfo& info, int64_t expected,
                 int64_t at_source, const Reader& reader,
                 const backup_internal::ProblemFn& problem) {
  const auto& counts = reader.counts();
  // What the source itself could not give is known, and no damage.
  if (counts.restored == expected && counts.lost == at_source) return;
  problem(absl::DataLossError(absl::StrFormat(
      "source %s: %d whole, %d lost vs expected %d whole, %d left out",
      info.name(), counts.restored, counts.lost, expected, at_source)));
}

class SnapshotCheck {
 public:
  SnapshotCheck(const Archive& archive, const SnapshotEntry& entry,
                const VerifyOptions& options, SnapshotVerdict* verdict)
      : archive_(archive),
        manifest_(entry.manifest),
        options_(options),
        verdict_(verdict),
        losses_(&verdict->lost, options.losses_listed_max, nullptr),
        frames_(&archive_, &manifest_) {}

  // Errors: only what stops the verification as a whole.
  absl::Status Run(int64_t bytes_before, int64_t bytes_total,
                   backup_internal::Lease* lease);

 private:
  void Problem(const absl::Status& status);
  void AddReaders(backup_internal::SourceReaders* readers);
  absl::Status CheckSources();

  const Archive& archive_;
  const format::Manifest& manifest_;
  const VerifyOptions& options_;
  SnapshotVerdict* const verdict_;
  LossReporter losses_;
  NullLoader loader_;
  backup_internal::NullFileTarget file_target_;
  // By source; the other one of each pair is null.
  backup_internal::PackFrames frames_;
  std::vector<std::unique_ptr<DeltaApplier>> deltas_;  // Of those below.
  std::vector<std::unique_ptr<CacheReader>> cache_readers_;
  std::vector<std::unique_ptr<FileReader>> file_readers_;
};

void SnapshotCheck::Problem(const absl::Status& status) {
  constexpr size_t kProblemsMax = 1000;
  if (verdict_->status.ok()) verdict_->status = status;
  if (verdict_->problems.size() < kProblemsMax) {
    verdict_->problems.emplace_back(status.message());
  }
}

void SnapshotCheck::AddReaders(backup_internal::SourceReaders* readers) {
  const auto problem = [this](const absl::Status& s) { Problem(s); };
  for (int i = 0; i < manifest_.header().sources_size(); ++i) {
    const format::SourceInfo& info = manifest_.header().sources(i);
    const format::SourceEnd& end = manifest_.trailer().sources(i);
    cache_readers_.emplace_back();
    file_readers_.emplace_back();
    // A source that failed has no counts that anything could match.
    if (end.status_code() != 0) continue;
    if (info.kind() == format::SOURCE_KIND_BLOB_CACHE) {
      if (info.cache().base_epoch() != 0) {
        deltas_.push_back(std::make_unique<DeltaApplier>(
            info.name(), std::vector<std::string>(), &loader_, &losses_));
      }
      cache_readers_.back() = std::make_unique<CacheReader>(
          info.name(), &end.totals(), &loader_, /*newer=*/nullptr, &losses_,
          info.cache().base_epoch() != 0 ? deltas_.back().get() : nullptr,
          &frames_, problem);
      (*readers)[static_cast<uint16_t>(i)] = cache_readers_.back().get();
    } else if (info.kind() == format::SOURCE_KIND_DIRECTORY) {
      file_readers_.back() = std::make_unique<FileReader>(
          info.name(), &end.totals(), &file_target_, &losses_, problem);
      (*readers)[static_cast<uint16_t>(i)] = file_readers_.back().get();
    }
  }
}

absl::Status SnapshotCheck::CheckSources() {
  const auto problem = [this](const absl::Status& s) { Problem(s); };
  for (int i = 0; i < manifest_.header().sources_size(); ++i) {
    const format::SourceInfo& info = manifest_.header().sources(i);
    const format::SourceTotals& totals =
        manifest_.trailer().sources(i).totals();
    const size_t at = static_cast<size_t>(i);
    if (cache_readers_[at] != nullptr) {
      CheckCounts(info, totals.records(),
                  totals.records_begun() - totals.records(),
                  *cache_readers_[at], problem);
      verdict_->records += cache_readers_[at]->counts().restored;
      backup_internal::InvalidationSet set;
      const absl::Status read = backup_internal::ReadInvalidations(
          archive_, manifest_, static_cast<uint16_t>(i),
          [](const absl::Status&) {}, options_.cancellation, &set);
      if (absl::IsCancelled(read)) return read;
      if (!read.ok()) Problem(read);
    }
    if (file_readers_[at] != nullptr) {
      CheckCounts(info, totals.files(), totals.files_begun() - totals.files(),
                  *file_readers_[at], problem);
      verdict_->files += file_readers_[at]->counts().restored;
    }
  }
  return absl::OkStatus();
}

absl::Status SnapshotCheck::Run(int64_t bytes_before, int64_t bytes_total,
                                backup_internal::Lease* lease) {
  backup_internal::SourceReaders readers;
  AddReaders(&readers);
  const auto progress = [&](int64_t bytes_done) {
    lease->Renew();
    if (!options_.progress) return;
    options_.progress(
        {.bytes_done = bytes_before + bytes_done, .bytes_total = bytes_total});
  };
  const absl::Status read =
      backup_internal::ReadDump(archive_, manifest_, readers,
                                {.read_all = true,
                                 .progress = progress,
                                 .cancellation = options_.cancellation},
                                [this](const absl::Status& s) { Problem(s); });
  if (absl::IsCancelled(read)) return read;
  if (!read.ok()) {
    Problem(read);
    return absl::OkStatus();
  }
  verdict_->chunks = static_cast<int64_t>(manifest_.trailer().chunks() + 1);
  return CheckSources();
}

}  // namespace

absl::StatusOr<VerifyReport> VerifyArchive(const Archive& archive,
                                           const VerifyOptions& options) {
  VerifyReport report;
  report.backup_running = backup_internal::BackupIsRunning(archive);
  LARDER_ASSIGN_OR_RETURN(const std::vector<SnapshotEntry> all, archive.List());
  std::vector<const SnapshotEntry*> chosen;
  int64_t bytes_total = 0;
  for (const SnapshotEntry& entry : all) {
    if (!options.snapshot_id.empty() && entry.id != options.snapshot_id) {
      continue;
    }
    chosen.push_back(&entry);
    bytes_total += entry.bytes;
  }
  if (chosen.empty() && !options.snapshot_id.empty()) {
    return archive.Find(options.snapshot_id).status();
  }
  if (!report.backup_running) {
    LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> leftovers,
                            backup_internal::FindLeftovers(archive, all));
    report.leftover_files = static_cast<int64_t>(leftovers.size());
  }
  std::vector<std::string> ids;
  for (const SnapshotEntry* entry : chosen) ids.push_back(entry->id);
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<backup_internal::Lease> lease,
      backup_internal::Lease::Take(&archive, std::move(ids), options.clock));
  int64_t bytes_before = 0;
  for (const SnapshotEntry* entry : chosen) {
    SnapshotVerdict verdict;
    verdict.id = entry->id;
    if (!entry->status.ok()) {
      verdict.status = entry->status;
      verdict.problems.emplace_back(entry->status.message());
    } else {
      LARDER_RETURN_IF_ERROR(SnapshotCheck(archive, *entry, options, &verdict)
                                 .Run(bytes_before, bytes_total, lease.get()));
    }
    verdict.bytes = entry->bytes;
    bytes_before += entry->bytes;
    if (report.status.ok()) report.status = verdict.status;
    report.snapshots.push_back(std::move(verdict));
  }
  report.unprotected = lease->problem();
  return report;
}

}  // namespace larder::backup
