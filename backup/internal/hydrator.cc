#include "backup/internal/hydrator.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "absl/strings/str_cat.h"
#include "cache/hlc.h"
#include "cache/name_hash.h"
#include "cache/record_fingerprint.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::Loss;
using backup::format::HydrationPosition;
using backup::format::HydrationState;
using backup::format::LostBlob;
using backup::format::Record;

namespace {

// The shares of the bytes that are hotter than what comes in a later pass.
constexpr double kPassShares[] = {0.125, 0.5};
constexpr int kLostListedMax = 1000;

int64_t LastUsedUnixMs(const Record& record) {
  return std::max(record.last_access_unix_ms(),
                  cache::Hlc{record.hlc()}.unix_millis());
}

int64_t StoredBytes(const Record& record) {
  int64_t bytes = 0;
  for (const uint32_t frame : record.frame_stored_bytes()) bytes += frame;
  return bytes;
}

}  // namespace

Hydrator::Hydrator(const RecordFetcher::Replicas* replicas,
                   RecordFetcher* fetcher,
                   const backup::Cancellation* cancellation,
                   HydrationState* state,
                   std::function<void(const Loss&)> on_loss)
    : replicas_(replicas),
      fetcher_(fetcher),
      cancellation_(cancellation),
      state_(state),
      on_loss_(std::move(on_loss)),
      source_name_(replicas->front()
                       ->chain()
                       .back()
                       .manifest.header()
                       .sources(replicas->front()->sources().back())
                       .name()) {
  const SnapshotReplica& first = *replicas_->front();
  map_ = std::make_unique<SnapshotMap>(
      &first.archive(), &first.chain(), first.sources(),
      replicas_->front()->frames(), cancellation_);
  for (const LostBlob& lost : state_->lost()) {
    lost_.insert(lost.ns().empty() ? BlobPlace{"", lost.reason()}
                                   : BlobPlace{lost.ns(), lost.key()});
  }
  const auto& info =
      first.chain().back().manifest.header().sources(first.sources().back());
  done_ = !info.cache().blobs_included();
}

std::string Hydrator::ChainName() const {
  std::string name;
  for (const backup::SnapshotEntry& entry : replicas_->front()->chain()) {
    absl::StrAppend(&name, entry.id, " ");
  }
  return name;
}

absl::StatusOr<int64_t> Hydrator::Step(int64_t bytes_max) {
  LARDER_RETURN_IF_ERROR(backup::CheckCancelled(cancellation_));
  if (done_) return 0;
  if (state_->passes_since_unix_ms().empty()) return SurveyChunk();
  int64_t bytes = 0;
  while (!done_ && bytes < bytes_max) {
    LARDER_RETURN_IF_ERROR(backup::CheckCancelled(cancellation_));
    if (!started_) LARDER_RETURN_IF_ERROR(StartPasses());
    if (chunk_ == nullptr || at_ == chunk_->records.records.size()) {
      LARDER_RETURN_IF_ERROR(NextChunk());
      break;
    }
    LARDER_ASSIGN_OR_RETURN(const int64_t taken, TakeNext());
    bytes += taken;
  }
  return bytes;
}

// --- How hot what is

size_t Hydrator::BucketOf(const Record& record) const {
  const int64_t made =
      replicas_->front()->chain().back().manifest.header().created_unix_ms();
  const uint64_t age_ms = static_cast<uint64_t>(
      std::max<int64_t>(0, made - LastUsedUnixMs(record)));
  if (age_ms < 4) return static_cast<size_t>(age_ms);
  const auto octave = static_cast<size_t>(std::bit_width(age_ms)) - 1;
  return std::min(kBuckets - 1, 4 * octave + ((age_ms >> (octave - 2)) & 3));
}

absl::StatusOr<int64_t> Hydrator::SurveyChunk() {
  HydrationPosition* at = state_->mutable_position();
  if (!surveying_) {
    surveying_ = true;
    bytes_by_age_ = {};
    at->set_layer(0);
    chunk_ = nullptr;
  }
  LARDER_ASSIGN_OR_RETURN(const LayerMap::Following following,
                          map_->layer(at->layer())->After(chunk_));
  chunk_ = following.next;
  if (chunk_ == nullptr) {
    at->set_layer(at->layer() + 1);
    if (at->layer() == map_->layers()) FinishSurvey();
    return 0;
  }
  for (const PlacedRecord& placed : chunk_->records.records) {
    bytes_by_age_[BucketOf(placed.record)] += StoredBytes(placed.record);
  }
  return static_cast<int64_t>(chunk_->records.records.size()) * 64;
}

void Hydrator::FinishSurvey() {
  int64_t total = 0;
  for (const int64_t bytes : bytes_by_age_) total += bytes;
  const int64_t made =
      replicas_->front()->chain().back().manifest.header().created_unix_ms();
  size_t bucket = 0;
  int64_t hotter = 0;
  for (const double share : kPassShares) {
    const size_t before = bucket;
    while (bucket < kBuckets &&
           (bucket == before ||
            static_cast<double>(hotter) < share * static_cast<double>(total))) {
      hotter += bytes_by_age_[bucket++];
    }
    if (hotter == total) break;
    // What is in the next bucket is at least so old.
    const size_t octave = bucket / 4;
    const uint64_t age_ms =
        bucket < 4 ? bucket : (uint64_t{4 + bucket % 4} << octave) >> 2;
    state_->add_passes_since_unix_ms(made - static_cast<int64_t>(age_ms) + 1);
  }
  state_->add_passes_since_unix_ms(std::numeric_limits<int64_t>::min());
  state_->clear_position();
  surveying_ = false;
  chunk_ = nullptr;
}

bool Hydrator::IsInPass(const Record& record) const {
  const auto& since = state_->passes_since_unix_ms();
  const auto pass = static_cast<int>(state_->position().pass());
  const int64_t used = LastUsedUnixMs(record);
  return used >= since.Get(pass) && (pass == 0 || used < since.Get(pass - 1));
}

// --- Passes

absl::Status Hydrator::StartPasses() {
  HydrationPosition* at = state_->mutable_position();
  const std::string chain = ChainName();
  const bool known =
      at->chain() == chain && at->layer() < map_->layers() &&
      at->pass() < static_cast<uint32_t>(state_->passes_since_unix_ms_size());
  if (!known) {
    // As after the chain was folded: what is there is not taken again.
    at->Clear();
    at->set_chain(chain);
  }
  chunk_ = nullptr;
  at_ = 0;
  if (!at->ns().empty()) {
    const BlobPlace place = {at->ns(), at->key()};
    LARDER_ASSIGN_OR_RETURN(chunk_,
                            map_->layer(at->layer())->LastNotBehind(place));
    if (chunk_ != nullptr) at_ = chunk_->records.FirstNotBefore(place);
  }
  started_ = true;
  return absl::OkStatus();
}

absl::Status Hydrator::NextChunk() {
  HydrationPosition* at = state_->mutable_position();
  LARDER_ASSIGN_OR_RETURN(const LayerMap::Following following,
                          map_->layer(at->layer())->After(chunk_));
  const bool is_last_pass =
      at->pass() + 1 ==
      static_cast<uint32_t>(state_->passes_since_unix_ms_size());
  // How hot what is lost was, nobody knows.
  if (following.gap != nullptr && is_last_pass) {
    LARDER_RETURN_IF_ERROR(TakeGap(*following.gap));
  }
  chunk_ = following.next;
  at_ = 0;
  if (chunk_ != nullptr) return absl::OkStatus();
  at->clear_ns();
  at->clear_key();
  at->set_layer(at->layer() + 1);
  if (at->layer() < map_->layers()) return absl::OkStatus();
  at->set_layer(0);
  at->set_pass(at->pass() + 1);
  done_ = is_last_pass;
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Hydrator::TakeNext() {
  HydrationPosition* at = state_->mutable_position();
  const PlacedRecord& found = chunk_->records.records[at_];
  const BlobPlace place = found.place();
  const auto move_on = [&] {
    ++at_;
    at->set_ns(place.ns);
    at->set_key(place.key);
  };
  if (!IsInPass(found.record)) {
    move_on();
    return 0;
  }
  int64_t bytes = 0;
  const uint64_t fingerprint = cache::RecordFingerprint(
      cache::NameHash(place.ns, place.key), cache::Hlc{found.record.hlc()});
  absl::Status why;
  const absl::StatusOr<bool> hidden =
      map_->IsHidden(at->layer(), place, fingerprint);
  if (!hidden.ok()) {
    why = hidden.status();
  } else if (!*hidden) {
    absl::StatusOr<std::optional<PlacedRecord>> placed =
        TakeRecord(map_->layer(at->layer()), chunk_.get(), at_);
    why = placed.status();
    if (placed.ok() && placed->has_value()) {
      int64_t added = 0;
      absl::StatusOr<Fetched> fetched =
          fetcher_->Take(0, **placed, /*may_evict=*/false, &added);
      why = fetched.status();
      if (why.ok() || absl::IsResourceExhausted(why)) {
        LARDER_RETURN_IF_ERROR(Count(fetched, added));
        why = absl::OkStatus();
      }
      bytes += StoredBytes((*placed)->record);
    }
  }
  if (absl::IsCancelled(why)) return why;
  if (!why.ok()) {
    LARDER_RETURN_IF_ERROR(TakeElsewhere(place, why, /*first=*/1, &bytes));
  }
  move_on();
  return bytes;
}

absl::Status Hydrator::Count(const absl::StatusOr<Fetched>& fetched,
                             int64_t bytes) {
  if (absl::IsResourceExhausted(fetched.status())) {
    // It would take the place of something hotter.
    state_->set_records_without_room(state_->records_without_room() + 1);
    return absl::OkStatus();
  }
  LARDER_RETURN_IF_ERROR(fetched.status());
  switch (*fetched) {
    case Fetched::kAdded:
      state_->set_records_added(state_->records_added() + 1);
      state_->set_bytes_added(state_->bytes_added() + bytes);
      break;
    case Fetched::kExpired:
      state_->set_records_expired(state_->records_expired() + 1);
      break;
    case Fetched::kInvalidated:
      state_->set_records_invalidated(state_->records_invalidated() + 1);
      break;
    case Fetched::kHidden:
      state_->set_records_hidden(state_->records_hidden() + 1);
      break;
    case Fetched::kAbsent:
    case Fetched::kSuperseded:
      break;
  }
  return absl::OkStatus();
}

// --- Damage

absl::Status Hydrator::TakeElsewhere(const BlobPlace& place,
                                     const absl::Status& why, size_t first,
                                     int64_t* bytes) {
  int64_t added = 0;
  const absl::StatusOr<Fetched> fetched =
      fetcher_->Fetch(place, first, /*may_evict=*/false, &added);
  *bytes += added;
  if (!absl::IsDataLoss(fetched.status())) return Count(fetched, added);
  // An archive that is away may come back.
  if (!absl::IsDataLoss(why)) return why;
  Lose(place, why);
  return absl::OkStatus();
}

absl::Status Hydrator::TakeGap(const LayerGap& gap) {
  int64_t bytes = 0;
  for (const BlobPlace& place : gap.names) {
    LARDER_RETURN_IF_ERROR(
        TakeElsewhere(place, gap.reason, /*first=*/0, &bytes));
  }
  if (gap.told) return absl::OkStatus();
  for (size_t replica = 1; replica < replicas_->size(); ++replica) {
    LARDER_ASSIGN_OR_RETURN(const bool whole, TakeStretch(replica, gap));
    if (whole) return absl::OkStatus();
  }
  const int64_t unnamed = static_cast<int64_t>(
      gap.missing - std::min<uint64_t>(gap.missing, gap.names.size()));
  if (unnamed > 0) LoseUnnamed(unnamed, gap.reason);
  return absl::OkStatus();
}

absl::StatusOr<bool> Hydrator::TakeStretch(size_t replica,
                                           const LayerGap& gap) {
  SnapshotReplica& other = *(*replicas_)[replica];
  SnapshotMap map(&other.archive(), &other.chain(), other.sources(),
                  other.frames(), cancellation_);
  bool whole = true;
  for (size_t layer = 0; layer < map.layers(); ++layer) {
    LARDER_ASSIGN_OR_RETURN(LayerMap::ChunkPtr chunk,
                            map.layer(layer)->LastNotBehind(gap.from));
    while (true) {
      for (size_t i = 0; chunk != nullptr && i < chunk->records.records.size();
           ++i) {
        LARDER_RETURN_IF_ERROR(backup::CheckCancelled(cancellation_));
        const BlobPlace place = chunk->records.records[i].place();
        if (place < gap.from || (gap.until.has_value() && place > *gap.until)) {
          continue;
        }
        int64_t bytes = 0;
        LARDER_RETURN_IF_ERROR(
            TakeElsewhere(place, gap.reason, /*first=*/replica, &bytes));
      }
      LARDER_ASSIGN_OR_RETURN(const LayerMap::Following following,
                              map.layer(layer)->After(chunk));
      if (following.gap != nullptr) whole = false;
      chunk = following.next;
      if (chunk == nullptr ||
          (gap.until.has_value() && chunk->records.low > *gap.until)) {
        break;
      }
    }
  }
  return whole;
}

bool Hydrator::IsNewLoss(const BlobPlace& place) {
  if (lost_.size() == kLossesKeptMax) return !lost_.contains(place);
  return lost_.insert(place).second;
}

void Hydrator::Lose(const BlobPlace& place, const absl::Status& why) {
  if (!IsNewLoss(place)) return;
  Tell({.kind = Loss::Kind::kBlob,
        .source = source_name_,
        .ns = place.ns,
        .name = place.key,
        .count = 1,
        .reason = std::string(why.message())});
}

void Hydrator::LoseUnnamed(int64_t count, const absl::Status& why) {
  // No blob has an empty namespace.
  if (!IsNewLoss({"", std::string(why.message())})) return;
  Tell({.kind = Loss::Kind::kUnnamedBlobs,
        .source = source_name_,
        .ns = "",
        .name = "",
        .count = count,
        .reason = std::string(why.message())});
}

void Hydrator::Tell(const Loss& loss) {
  state_->set_records_lost(state_->records_lost() + loss.count);
  if (state_->lost_size() < kLostListedMax) {
    LostBlob* listed = state_->add_lost();
    listed->set_ns(loss.ns);
    listed->set_key(loss.name);
    listed->set_count(loss.count);
    listed->set_source(loss.source);
    listed->set_reason(loss.reason);
  }
  if (on_loss_) on_loss_(loss);
}

}  // namespace larder::backup_internal
