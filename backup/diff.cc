#include "backup/diff.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/lease.h"
#include "backup/internal/snapshot_records.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using backup_internal::Lease;
using backup_internal::PlacedRecord;
using backup_internal::SnapshotRecords;

// Errors: kNotFound; kFailedPrecondition.
absl::StatusOr<std::string> OnlyCacheOf(const SnapshotEntry& entry) {
  std::string found;
  for (const auto& source : entry.manifest.header().sources()) {
    if (source.kind() != format::SOURCE_KIND_BLOB_CACHE) continue;
    if (!found.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("snapshot ", entry.id, ": holds several blob caches, ",
                       found, " and ", source.name(), ": name one"));
    }
    found = source.name();
  }
  if (!found.empty()) return found;
  return absl::NotFoundError(
      absl::StrCat("snapshot ", entry.id, ": holds no blob cache"));
}

// One of the two snapshots, record by record.
class Side {
 public:
  Side(const Archive& archive, absl::string_view id)
      : archive_(archive), id_(id) {}

  absl::Status Find() {
    LARDER_ASSIGN_OR_RETURN(const SnapshotEntry entry, archive_.Find(id_));
    LARDER_ASSIGN_OR_RETURN(chain_, archive_.Chain(entry));
    return absl::OkStatus();
  }
  absl::Status Open(absl::string_view source,
                    const Cancellation* cancellation) {
    LARDER_ASSIGN_OR_RETURN(
        records_,
        SnapshotRecords::Open(&archive_, &chain_, source, cancellation));
    return Advance();
  }
  absl::Status Advance() {
    LARDER_ASSIGN_OR_RETURN(head_, records_->Next());
    return absl::OkStatus();
  }

  const std::vector<SnapshotEntry>& chain() const { return chain_; }
  // Nothing at the end.
  const std::optional<PlacedRecord>& head() const { return head_; }

 private:
  const Archive& archive_;
  const absl::string_view id_;
  std::vector<SnapshotEntry> chain_;
  std::unique_ptr<SnapshotRecords> records_;
  std::optional<PlacedRecord> head_;
};

void Count(const BlobDifference& difference, NamespaceDiff* diff) {
  DiffCount& count = difference.change == BlobChange::kAdded ? diff->added
                     : difference.change == BlobChange::kRemoved
                         ? diff->removed
                         : diff->changed;
  ++count.blobs;
  count.bytes_before += difference.bytes_before;
  count.bytes_after += difference.bytes_after;
}

void Report(const BlobDifference& difference, const DiffOptions& options,
            DiffReport* report) {
  if (report->namespaces.empty() ||
      report->namespaces.back().ns != difference.ns) {
    report->namespaces.emplace_back().ns = std::string(difference.ns);
  }
  Count(difference, &report->namespaces.back());
  Count(difference, &report->total);
  if (options.on_difference) options.on_difference(difference);
}

// Compares the heads of both, reports, and moves on. Requires: one is there.
absl::Status Step(Side* before, Side* after, const DiffOptions& options,
                  DiffReport* report) {
  const auto& old_head = before->head();
  const auto& new_head = after->head();
  const bool take_old =
      old_head.has_value() &&
      (!new_head.has_value() || old_head->place() <= new_head->place());
  const bool take_new =
      new_head.has_value() &&
      (!old_head.has_value() || new_head->place() <= old_head->place());
  if (take_old && take_new &&
      old_head->record.hlc() == new_head->record.hlc()) {
    ++report->unchanged;
  } else {
    const format::Record& named =
        take_new ? new_head->record : old_head->record;
    BlobDifference difference = {.change = !take_old   ? BlobChange::kAdded
                                           : !take_new ? BlobChange::kRemoved
                                                       : BlobChange::kChanged,
                                 .ns = named.ns(),
                                 .key = named.key()};
    if (take_old) {
      difference.bytes_before =
          static_cast<int64_t>(old_head->record.raw_bytes());
    }
    if (take_new) {
      difference.bytes_after =
          static_cast<int64_t>(new_head->record.raw_bytes());
    }
    Report(difference, options, report);
  }
  if (take_old) LARDER_RETURN_IF_ERROR(before->Advance());
  if (take_new) LARDER_RETURN_IF_ERROR(after->Advance());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DiffReport> DiffSnapshots(const Archive& archive,
                                         absl::string_view before_id,
                                         absl::string_view after_id,
                                         const DiffOptions& options) {
  Side before(archive, before_id), after(archive, after_id);
  LARDER_RETURN_IF_ERROR(before.Find());
  LARDER_RETURN_IF_ERROR(after.Find());
  DiffReport report;
  report.source = options.source;
  if (report.source.empty()) {
    LARDER_ASSIGN_OR_RETURN(report.source, OnlyCacheOf(after.chain().back()));
  }
  std::vector<std::string> ids;
  for (const Side* side : {&before, &after}) {
    for (const SnapshotEntry& layer : side->chain()) ids.push_back(layer.id);
  }
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<Lease> lease,
                          Lease::Take(&archive, std::move(ids), options.clock));
  LARDER_RETURN_IF_ERROR(before.Open(report.source, options.cancellation));
  LARDER_RETURN_IF_ERROR(after.Open(report.source, options.cancellation));
  while (before.head().has_value() || after.head().has_value()) {
    lease->Renew();
    LARDER_RETURN_IF_ERROR(Step(&before, &after, options, &report));
  }
  report.unprotected = lease->problem();
  return report;
}

}  // namespace larder::backup
