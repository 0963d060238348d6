#include "backup/internal/record_fetcher.h"

#include <string>
#include <utility>

#include "backup/format/record_codec.h"
#include "backup/internal/frame_files.h"
#include "cache/policy.h"
#include "cache/snapshot.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using cache::StoredRecord;

namespace {

// Reads the frames of a record, in order.
class FrameCursor {
 public:
  FrameCursor(FrameFiles* files, const PlacedRecord* placed)
      : files_(files), placed_(placed) {}

  absl::StatusOr<std::string> Next(size_t frame) {
    while (at_ < placed_->places.size() &&
           in_place_ == placed_->places[at_].frames) {
      ++at_;
      in_place_ = 0;
      offset_ = 0;
    }
    if (at_ == placed_->places.size()) {
      return absl::DataLossError("frames: fewer places than frames");
    }
    const FramesPlace& place = placed_->places[at_];
    const uint64_t bytes =
        placed_->record.frame_stored_bytes(static_cast<int>(frame));
    absl::StatusOr<std::string> read = files_->Read(place, offset_, bytes);
    ++in_place_;
    offset_ += bytes;
    return read;
  }

 private:
  FrameFiles* const files_;
  const PlacedRecord* const placed_;
  size_t at_ = 0;
  uint32_t in_place_ = 0;  // Frames of the place that were read.
  uint64_t offset_ = 0;    // Of the next one, in the place.
};

}  // namespace

RecordFetcher::RecordFetcher(const Replicas* replicas,
                             const InvalidationSet* covering,
                             cache::BlobCache* cache, cache::Clock* clock,
                             const backup::Cancellation* cancellation)
    : replicas_(replicas), covering_(covering), cache_(cache), clock_(clock) {
  for (const std::unique_ptr<SnapshotReplica>& replica : *replicas) {
    auto lookup = std::make_unique<Lookup>();
    cache::MutexLock lock(&lookup->mu);
    lookup->map = std::make_unique<SnapshotMap>(
        &replica->archive(), &replica->chain(), replica->sources(),
        replica->frames(), cancellation);
    lookups_.push_back(std::move(lookup));
  }
}

absl::StatusOr<std::optional<PlacedRecord>> RecordFetcher::Find(
    size_t replica, const BlobPlace& place) {
  Lookup& lookup = *lookups_[replica];
  cache::MutexLock lock(&lookup.mu);
  return lookup.map->Find(place);
}

absl::StatusOr<Fetched> RecordFetcher::Fetch(const BlobPlace& place,
                                             size_t first, bool may_evict,
                                             int64_t* bytes) {
  absl::Status last = absl::DataLossError("no archive is left");
  for (size_t i = first; i < replicas_->size(); ++i) {
    absl::StatusOr<std::optional<PlacedRecord>> found = Find(i, place);
    if (!found.ok()) {
      last = found.status();
      continue;
    }
    if (!found->has_value()) return Fetched::kAbsent;
    const absl::StatusOr<Fetched> taken = Take(i, **found, may_evict, bytes);
    // Others than of this archive are the same with the next one.
    if (taken.ok() || absl::IsResourceExhausted(taken.status()) ||
        absl::IsCancelled(taken.status())) {
      return taken;
    }
    last = taken.status();
  }
  return last;
}

absl::StatusOr<Fetched> RecordFetcher::Take(size_t replica,
                                            const PlacedRecord& placed,
                                            bool may_evict, int64_t* bytes) {
  LARDER_ASSIGN_OR_RETURN(const StoredRecord stored,
                          backup::format::FromMessage(placed.record));
  if (covering_->Covers(stored)) return Fetched::kInvalidated;
  if (cache::Judge(stored.attributes.expiry, clock_->NowUnixMillis(),
                   stored.last_access_unix_ms) == cache::Liveness::kDead) {
    return Fetched::kExpired;
  }
  FrameCursor cursor((*replicas_)[replica]->frames(), &placed);
  const absl::StatusOr<bool> added = cache_->Adopt(
      stored, [&](size_t frame) { return cursor.Next(frame); }, may_evict);
  // What no cache can have held.
  if (absl::IsInvalidArgument(added.status())) {
    return absl::DataLossError(added.status().message());
  }
  if (absl::IsAborted(added.status())) return Fetched::kHidden;
  LARDER_RETURN_IF_ERROR(added.status());
  if (!*added) return Fetched::kSuperseded;
  *bytes += static_cast<int64_t>(stored.stored_bytes);
  return Fetched::kAdded;
}

}  // namespace larder::backup_internal
