#include "backup/internal/delta_applier.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/limits.h"
#include "backup/format/names.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::format::KeyRange;
using backup::format::Record;
using backup::format::Records;

namespace {

absl::Status CheckOrder(const BlobPlace& behind, const KeyRange& range) {
  if (ComesBehind(behind, range)) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("delta: range from ", backup::format::Printable(range.ns()),
                   "/", backup::format::Printable(range.from()), " to ",
                   backup::format::Printable(range.until()), ": out of order"));
}

}  // namespace

DeltaApplier::DeltaApplier(std::string source,
                           std::vector<std::string> namespaces,
                           cache::L2Loader* loader, LossReporter* losses)
    : source_(std::move(source)),
      namespaces_(std::move(namespaces)),
      loader_(loader),
      losses_(losses) {
  std::sort(namespaces_.begin(), namespaces_.end());
}

absl::Status DeltaApplier::Check(const Records& message) const {
  BlobPlace behind = behind_;
  int64_t kept = 0;
  int at = 0;
  for (const KeyRange& range : message.ranges()) {
    LARDER_RETURN_IF_ERROR(CheckOrder(behind, range));
    behind = EndOf(range);
    kept += range.kept_size();
    const int64_t end = int64_t{at} + range.records();
    if (end > message.records_size()) {
      return absl::DataLossError(absl::StrFormat(
          "delta: ranges hold %d records vs %d", end, message.records_size()));
    }
    for (; at < end; ++at) {
      const Record& record = message.records(at);
      const BlobPlace place = {record.ns(), record.key()};
      if (place < StartOf(range) || place >= EndOf(range)) {
        return absl::DataLossError(absl::StrCat(
            "delta: blob ", backup::format::Printable(record.ns()), "/",
            backup::format::Printable(record.key()), ": not in its range"));
      }
    }
  }
  if (at != message.records_size()) {
    return absl::DataLossError(absl::StrFormat(
        "delta: ranges hold %d records vs %d", at, message.records_size()));
  }
  if (kept > backup::format::kKeptPerChunkMax) {
    return absl::DataLossError(
        absl::StrFormat("delta: %d kept records exceed %d", kept,
                        backup::format::kKeptPerChunkMax));
  }
  return absl::OkStatus();
}

absl::Status DeltaApplier::Take(const KeyRange& range) {
  LARDER_ASSIGN_OR_RETURN(
      const int64_t missing,
      loader_->KeepOnly(range.ns(), range.from(), range.until(), range.kept(),
                        [](absl::string_view) {}));
  // Nothing that was lost before in here is part of the snapshot.
  if (missing == 0) {
    losses_->ForgetRange(range.ns(), range.from(), range.until());
  }
  missing_ += missing;
  behind_ = EndOf(range);
  return absl::OkStatus();
}

absl::Status DeltaApplier::Clear(absl::string_view ns, absl::string_view from,
                                 absl::string_view until,
                                 absl::string_view reason) {
  return loader_
      ->KeepOnly(ns, from, until, /*kept=*/{},
                 [&](absl::string_view key) {
                   losses_->AddBlob(source_, ns, key, reason);
                 })
      .status();
}

absl::Status DeltaApplier::Lose(const KeyRange& range,
                                absl::string_view reason) {
  // Names that lie may name what was taken.
  LARDER_RETURN_IF_ERROR(CheckOrder(behind_, range));
  LARDER_RETURN_IF_ERROR(
      Clear(range.ns(), range.from(), range.until(), reason));
  behind_ = EndOf(range);
  return absl::OkStatus();
}

absl::Status DeltaApplier::LoseUpTo(const KeyRange* next,
                                    absl::string_view reason) {
  for (const std::string& ns : namespaces_) {
    if (EndOf(ns) <= behind_) continue;
    if (next != nullptr && ns > next->ns()) break;
    const bool is_last = next != nullptr && ns == next->ns();
    if (is_last && next->from().empty()) break;
    LARDER_RETURN_IF_ERROR(Clear(ns, ns == behind_.ns ? behind_.key : "",
                                 is_last ? next->from() : "", reason));
  }
  return absl::OkStatus();
}

}  // namespace larder::backup_internal
