// Eviction: what leaves a full L2. The least ranks first, from the small end of
// the age tree (docs/adr/0007-l2-eviction.md).
#include <algorithm>

#include "cache/l2/l2_store.h"
#include "cache/l2/slice_clock.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// What puts may take from one commit to the next is kept free: as much as they
// took lately, within these shares of `blobs`. Eviction starts when less is
// free, and stops at twice as much. Source: of the traces' hits, a tenth of
// `blobs` more kept free costs up to three points.
constexpr double kRoomShareMin = 1.0 / 64;
constexpr double kRoomShareMax = 1.0 / 20;
constexpr double kRoomKept = 0.75;  // Of what was taken before, each commit.
// What a record takes in the three trees besides its key thrice and what is
// inline, at a leaf fill of about 70 %.
constexpr uint64_t kTreeBytesPerRecord = 126;
// What a byte of the trees weighs in a record's rank against one of `blobs`: an
// eighth of the budget is theirs. Source: where a trace runs out of `meta`
// (cdn, 10 %), 1 costs a point of byte hits; 30 costs block-io 1.6 of objects.
constexpr uint64_t kTreeByteWeight = 8;
// Records that one eviction moves on though nobody read them: a bound on what
// waits for the commit.
constexpr int64_t kMovesMax = 10'000;

}  // namespace

uint64_t L2Store::TreeBytes(absl::string_view key, const Record& record) {
  return kTreeBytesPerRecord + 3 * key.size() + record.inline_chain.size();
}

uint64_t L2Store::RankOf(absl::string_view key, const Record& record,
                         int64_t requests) {
  const uint64_t blob_bytes =
      record.inline_chain.empty() ? record.chain_bytes() : 0;
  return eviction_clock_.Rank(
      {.requests = requests,
       .disk_bytes = blob_bytes + kTreeByteWeight * TreeBytes(key, record),
       .priority = record.priority});
}

int64_t L2Store::TakeReads(const Namespace& ns, absl::string_view key,
                           const Record& record) {
  const int64_t reads = shared_.accesses->TakeReads(ns.HashOf(key));
  // L1 counts for itself. That it was read there keeps it here, too: what
  // leaves L2 leaves L1.
  const bool in_l1 =
      shared_.last_read_from_l1 &&
      shared_.last_read_from_l1(ns, key) > record.last_access_unix_ms;
  return in_l1 ? reads + 1 : reads;
}

L2Store::Verdict L2Store::JudgeForEviction(Eviction* e, uint64_t rank,
                                           const Namespace& ns,
                                           absl::string_view key, Record* r) {
  if (hydration_floor().value != 0 && IsMarker(*r)) return Verdict::kKeep;
  const bool for_blobs = e->lane == SpaceMap::Lane::kBlobs;
  const bool frees_nothing = for_blobs && r->extents.empty();
  const uint64_t hash = ns.HashOf(key);
  if (e->spare_hot) {
    if (r->rank != rank) return Verdict::kKeep;  // Ranked anew in this epoch.
    eviction_clock_.RaiseTo(rank);
    const int64_t reads = TakeReads(ns, key, *r);
    // What frees nothing moves on, or it would be in the way each time.
    if (reads > 0 || (frees_nothing && e->moves_left-- > 0)) {
      const int64_t others =
          reads > 0 ? history_.Add(hash, reads) : history_.Find(hash);
      r->rank = std::max(RankOf(key, *r, others + 1), r->hlc.value);
      // From here on only newer reads count.
      r->last_access_unix_ms = LastAccess(ns, key, *r);
      return Verdict::kTouch;
    }
  }
  if (frees_nothing) return Verdict::kKeep;
  history_.Add(hash, 1);  // The put.
  const uint64_t bytes =
      for_blobs ? r->allocated_units() * kUnitBytes : TreeBytes(key, *r);
  e->bytes_left -= std::min(bytes, e->bytes_left);
  return Verdict::kRemove;
}

absl::StatusOr<bool> L2Store::EvictSlice(Eviction* e) {
  const ReaderSlots::Guard reading = EnterRead();
  const EpochLock::Guard guard = epoch_lock_->Enter();
  SliceClock clock(shared_.clock, SliceLimit());
  absl::Status bad = absl::OkStatus();
  bool at_end = true;
  // By pointer: the analysis takes a lambda for one that holds no lock.
  std::string* const cursor = &evictor_.cursor;
  const auto visit = [&](absl::string_view key, absl::string_view) {
    uint64_t rank;
    absl::string_view record_key;
    if (!SplitOrderedKey(key, &rank, &record_key)) return true;
    if (e->bytes_left == 0 || !clock.Next()) {
      *cursor = std::string(key);
      at_end = false;
      return false;
    }
    const absl::StatusOr<std::optional<Record>> removed = Revisit(
        record_key,
        [&](const Namespace& ns, absl::string_view user_key, Record* r) {
          return JudgeForEviction(e, rank, ns, user_key, r);
        });
    if (absl::IsDataLoss(removed.status())) {
      // A damaged page hides this record; others can go.
      counters_.damaged_reads.fetch_add(1);
      return true;
    }
    bad.Update(removed.status());
    if (removed.ok() && removed->has_value()) counters_.evictions.fetch_add(1);
    return bad.ok();
  };
  // What a damaged page of the age tree hides stays; the next ranks can go.
  LARDER_RETURN_IF_ERROR(
      TreeAt(root()->age)
          .WalkDespiteDamage(evictor_.cursor, visit, [&](const Tree::Damage&) {
            counters_.damaged_reads.fetch_add(1);
          }));
  LARDER_RETURN_IF_ERROR(bad);
  return at_end;
}

absl::Status L2Store::EvictBytes(SpaceMap::Lane lane, uint64_t bytes,
                                 bool spare_hot) {
  MutexLock lock(&evict_mu_);
  if (evictor_.epoch != committed_epoch_.load()) {
    // What was staged to go went; the small end starts anew.
    evictor_ = {committed_epoch_.load(), ""};
  }
  Eviction e{.lane = lane,
             .spare_hot = spare_hot,
             .bytes_left = bytes,
             .moves_left = kMovesMax};
  while (e.bytes_left > 0) {
    LARDER_ASSIGN_OR_RETURN(const bool at_end, EvictSlice(&e));
    if (!at_end) continue;
    // The rest was read or is not committed yet: after the next commit.
    evictor_.cursor.clear();
    break;
  }
  return absl::OkStatus();
}

bool L2Store::IsMetaScarce() const {
  return static_cast<double>(meta_live_bytes_.load()) >
         kMetaFillLow * static_cast<double>(MetaBytesMost());
}

int64_t L2Store::BlobBytesMost() const {
  return std::max(static_cast<int64_t>(files_.blobs->Size()),
                  options_.l2_bytes_max -
                      static_cast<int64_t>(MetaReserveBytes() + FixedBytes()));
}

int64_t L2Store::BlobBytesFree() const {
  return BlobBytesMost() -
         static_cast<int64_t>(blobs_map_->used_units() * kUnitBytes);
}

double L2Store::BlobsTooMuch(RoomFor room_for) {
  const double most = static_cast<double>(BlobBytesMost());
  const double used =
      static_cast<double>(blobs_map_->used_units() * kUnitBytes) -
      static_cast<double>(quarantine_->blob_bytes() + leaving_[0].blobs +
                          leaving_[1].blobs);
  const double grown = used - blobs_used_before_;
  const double least =
      room_for == RoomFor::kSnapshot ? kRoomShareMax : kRoomShareMin;
  room_ = std::clamp(std::max(grown, kRoomKept * room_), least * most,
                     kRoomShareMax * most);
  const double too_much = used > most - room_ ? used - (most - 2 * room_) : 0;
  blobs_used_before_ = used - too_much;
  return too_much;
}

absl::Status L2Store::EvictToWatermark(RoomFor room_for) {
  LARDER_RETURN_IF_ERROR(CheckUsable());
  MutexLock lock(&watermark_mu_);
  if (const double bytes = BlobsTooMuch(room_for); bytes > 0) {
    LARDER_RETURN_IF_ERROR(EvictBytes(SpaceMap::Lane::kBlobs,
                                      static_cast<uint64_t>(bytes),
                                      /*spare_hot=*/true));
  }
  const double meta_most = static_cast<double>(MetaBytesMost());
  const double meta_used = static_cast<double>(
      meta_live_bytes_ - leaving_[0].meta - leaving_[1].meta);
  if (meta_used > kMetaFillHigh * meta_most) {
    LARDER_RETURN_IF_ERROR(
        EvictBytes(SpaceMap::Lane::kMeta,
                   static_cast<uint64_t>(meta_used - kMetaFillLow * meta_most),
                   /*spare_hot=*/true));
  }
  return absl::OkStatus();
}

}  // namespace larder::cache::l2
