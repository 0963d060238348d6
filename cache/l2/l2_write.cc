// Putting into an L2: encoding, room, staging.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/l2/l2_store.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// `blobs` grows by this share of the budget, within these bounds.
constexpr uint64_t kGrowShare = 64;
constexpr uint64_t kGrowBytesMin = 256 * 1024;
constexpr uint64_t kGrowBytesMax = 16 << 20;
// What `blobs` leaves to `meta`: a share of the budget, at least this.
// Source: 16 KiB blobs need 2 % for their trees, 1 KiB blobs 20 %.
constexpr uint64_t kMetaShare = 8;
// The share that small blobs' trees may take while `blobs` leaves it.
constexpr uint64_t kMetaShareMost = 4;
constexpr uint64_t kMetaReserveMin = 2 << 20;
// How often a put evicts and commits before it gives up for lack of room.
constexpr int kRoomAttempts = 8;
// What a put that finds no room evicts at once: a share of `blobs`, or more of
// a small one, since a commit follows, which costs milliseconds however little
// goes. Source: of the traces' hits, 1/16 costs up to half a point.
constexpr uint64_t kEvictShare = 32;
constexpr uint64_t kEvictShareMost = 16;
constexpr uint64_t kEvictBytesMin = 4 << 20;
// Chains up to this size are written by one call, from one buffer.
constexpr uint64_t kOneWriteBytesMax = 1 << 20;
// A commit rewrites at most so many pages a change: a path in each of three
// trees.
constexpr uint64_t kPagesPerChangeMax = 12;
constexpr int64_t kStagedMin = 64;
// Source: keeps the staging table under about 64 MiB.
constexpr int64_t kStagedMax = 200'000;

}  // namespace

absl::Status L2Store::CheckUsable() const {
  if (!is_degraded_.load(std::memory_order_acquire)) return absl::OkStatus();
  MutexLock lock(&degraded_mu_);
  return absl::UnavailableError(
      absl::StrCat(options_.l2_path, ": takes no changes: ", degraded_));
}

void L2Store::Degrade(const absl::Status& why) {
  MutexLock lock(&degraded_mu_);
  if (degraded_.empty()) degraded_ = std::string(why.message());
  is_degraded_.store(true, std::memory_order_release);
}

uint64_t L2Store::FixedBytes() const {
  return files_.space->Size() + journal_->ReservedBytes();
}

uint64_t L2Store::MetaShareBytes() const {
  const uint64_t budget = static_cast<uint64_t>(options_.l2_bytes_max);
  return std::max({files_.meta->Size(), budget / kMetaShare,
                   std::min(kMetaReserveMin, budget / 4)});
}

uint64_t L2Store::MetaReserveBytes() const {
  return std::max(
      MetaShareBytes(),
      static_cast<uint64_t>(static_cast<double>(meta_live_bytes_.load()) /
                            kMetaFillLow));
}

uint64_t L2Store::MetaBytesMost() const {
  const uint64_t budget = static_cast<uint64_t>(options_.l2_bytes_max);
  const uint64_t taken = files_.blobs->Size() + FixedBytes();
  const uint64_t left = taken < budget ? budget - taken : 0;
  // Less than the share is left where `blobs` grew under a larger budget.
  return std::max(
      files_.meta->Size(),
      std::min(left, std::max(MetaShareBytes(), budget / kMetaShareMost)));
}

absl::Status L2Store::GrowBlobs(uint64_t units) {
  const uint64_t budget = static_cast<uint64_t>(options_.l2_bytes_max);
  MutexLock lock(&grow_mu_);
  const uint64_t taken = MetaReserveBytes() + FixedBytes();
  const uint64_t most = taken < budget ? budget - taken : 0;
  const uint64_t now = blobs_map_->capacity_units() * kUnitBytes;
  const uint64_t step =
      std::max(units * kUnitBytes,
               std::clamp(budget / kGrowShare, kGrowBytesMin, kGrowBytesMax));
  const uint64_t next = std::min(now + step, most) / kUnitBytes * kUnitBytes;
  if (next <= now) {
    return absl::ResourceExhaustedError(
        absl::StrCat(options_.l2_path, ": blobs: ", now, " bytes vs at most ",
                     most, " within l2_bytes_max ", budget));
  }
  LARDER_RETURN_IF_ERROR(files_.blobs->Resize(next));
  return blobs_map_->Grow(next / kUnitBytes);
}

absl::StatusOr<Extents> L2Store::AllocateChain(absl::string_view record_key,
                                               const Record& record,
                                               bool may_evict) {
  const uint64_t units = (record.chain_bytes() + kUnitBytes - 1) / kUnitBytes;
  const int extents_max = ExtentsMaxOf(record_key, record);
  absl::Status last;
  for (int attempt = 0; attempt < kRoomAttempts; ++attempt) {
    absl::StatusOr<Extents> extents = blobs_map_->Allocate(units, extents_max);
    if (extents.ok()) return extents;
    last = extents.status();
    if (!absl::IsResourceExhausted(last)) break;
    // Two puts may grow at once; the second finds room or grows again.
    MutexLock lock(&room_mu_);
    if (extents = blobs_map_->Allocate(units, extents_max); extents.ok()) {
      return extents;
    }
    const absl::Status grown = GrowBlobs(units);
    if (grown.ok()) continue;
    last = grown;
    const uint64_t capacity = blobs_map_->capacity_units();
    if (!may_evict || units > capacity || !absl::IsResourceExhausted(grown)) {
      break;
    }
    const uint64_t batch = std::max(
        capacity * kUnitBytes / kEvictShare,
        std::min(capacity * kUnitBytes / kEvictShareMost, kEvictBytesMin));
    // There may be room already, and in too many pieces: twice as much each
    // time gets to the end of it, and goes at most so far beyond what it takes.
    const uint64_t want = std::max(units * kUnitBytes, batch) << attempt;
    LARDER_RETURN_IF_ERROR(
        EvictBytes(SpaceMap::Lane::kBlobs, want,
                   /*spare_hot=*/attempt < kRoomAttempts / 2));
    LARDER_RETURN_IF_ERROR(CommitNow());
    // What still waits, waits for a snapshot: it gives way, not the cache.
    if (quarantine_->blob_bytes() >= static_cast<int64_t>(want) / 2) {
      epoch_lock_->AbortPinsOverLimit(options_.l2_bytes_max);
      MutexLock commit_lock(&commit_mu_);
      ReleaseQuarantine();
    }
  }
  counters_.full_rejections.fetch_add(1);
  return last;
}

namespace {

ChainHeader HeaderOf(uint64_t name_hash, const BlobAttributes& a,
                     const EncodedFrames& frames, uint64_t raw_bytes) {
  ChainHeader header;
  header.name_hash = name_hash;
  header.raw_bytes = raw_bytes;
  header.stored_bytes = frames.stored_bytes;
  header.frames = frames.frames;
  header.tags = a.tags;
  header.dependencies = a.dependencies;
  header.metadata = a.metadata;
  return header;
}

absl::Status WriteChain(File* blobs, const Extents& extents,
                        absl::string_view header,
                        absl::Span<const absl::string_view> frames) {
  if (header.empty() && frames.size() == 1) {
    return WriteChainBytes(blobs, extents, 0, frames[0]);
  }
  size_t bytes = header.size();
  for (absl::string_view f : frames) bytes += f.size();
  if (bytes <= kOneWriteBytesMax) {
    std::string all;
    all.reserve(bytes);
    all.append(header.data(), header.size());
    for (absl::string_view f : frames) all.append(f.data(), f.size());
    return WriteChainBytes(blobs, extents, 0, all);
  }
  LARDER_RETURN_IF_ERROR(WriteChainBytes(blobs, extents, 0, header));
  uint64_t at = header.size();
  for (absl::string_view f : frames) {
    LARDER_RETURN_IF_ERROR(WriteChainBytes(blobs, extents, at, f));
    at += f.size();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status L2Store::CommitIfDue(bool may_evict) {
  if (!ShouldCommitEarly()) return absl::OkStatus();
  if (may_evict) LARDER_RETURN_IF_ERROR(EvictToWatermark());
  MutexLock lock(&commit_mu_);
  // Of those that came here at once, one commits for all.
  return ShouldCommitEarly() ? CommitLocked(/*even_if_empty=*/false)
                             : absl::OkStatus();
}

absl::Status L2Store::MakeRoomInJournal() {
  return journal_->IsHalfFull() ? CommitIfDue(/*may_evict=*/true)
                                : absl::OkStatus();
}

absl::StatusOr<PreparedPut> L2Store::Prepare(const Namespace& ns,
                                             absl::string_view key,
                                             absl::string_view bytes,
                                             const BlobAttributes& attributes) {
  LARDER_RETURN_IF_ERROR(CheckUsable());
  LARDER_RETURN_IF_ERROR(CommitIfDue(/*may_evict=*/true));
  const bool compress =
      static_cast<int64_t>(bytes.size()) >= options_.compress_bytes_min;
  const int level = compress ? options_.zstd_level : 0;
  PreparedPut put;
  put.record_key = RecordKey(ns.id(), key);
  const uint64_t name_hash = ns.HashOf(key);
  history_.Prefetch(name_hash);
  const bool is_plain = !bytes.empty() && bytes.size() <= kFrameRawBytes &&
                        attributes.tags.empty() &&
                        attributes.dependencies.empty() &&
                        attributes.metadata.empty();
  if (is_plain) {
    std::string packed;
    const Frame frame = EncodeFrame(bytes, level, &packed);
    if (compress && !frame.zstd) counters_.compression_skipped.Add();
    put.record = MakePlainRecord(attributes, frame);
    const absl::string_view stored = frame.zstd ? packed : bytes;
    LARDER_RETURN_IF_ERROR(PlaceChain(name_hash, "", {&stored, 1}, &put));
    return put;
  }
  const EncodedFrames frames = EncodeFrames(bytes, level);
  if (compress && frames.owned.size() < frames.frames.size()) {
    counters_.compression_skipped.Add();
  }
  const ChainHeader header =
      HeaderOf(name_hash, attributes, frames, bytes.size());
  const std::string encoded = EncodeChainHeader(header);
  put.record = MakeRecord(attributes, header, encoded);
  LARDER_RETURN_IF_ERROR(PlaceChain(name_hash, encoded, frames.stored, &put));
  return put;
}

absl::Status L2Store::PlaceChain(uint64_t name_hash, absl::string_view header,
                                 absl::Span<const absl::string_view> frames,
                                 PreparedPut* put) {
  Record& record = put->record;
  const absl::string_view key =
      absl::string_view(put->record_key).substr(kNamespaceIdBytes);
  const int64_t requests = history_.Find(name_hash) + 1;
  // An empty chain takes no unit wherever it is.
  const bool belongs_inline = record.chain_bytes() == 0 || !IsMetaScarce();
  if (belongs_inline && FitsInline(put->record_key, record)) {
    record.inline_chain.assign(header.data(), header.size());
    for (absl::string_view f : frames) {
      record.inline_chain.append(f.data(), f.size());
    }
    record.rank = RankOf(key, record, requests);
    return absl::OkStatus();
  }
  record.rank = RankOf(key, record, requests);
  LARDER_ASSIGN_OR_RETURN(record.extents,
                          AllocateChain(put->record_key, record, true));
  absl::Status written =
      WriteChain(files_.blobs.get(), record.extents, header, frames);
  if (!written.ok()) Discard(*put);
  return written;
}

void L2Store::Discard(const PreparedPut& put) {
  quarantine_->FreeChain(put.record.extents, 0);
}

void L2Store::StageChange(uint64_t epoch, absl::string_view record_key,
                          StagedPtr change) {
  const StagedPtr replaced =
      staging_.Stage(epoch, record_key, std::move(change));
  // A touched record's chain is the committed one, which the commit frees.
  if (replaced != nullptr && replaced->kind == StagedChange::Kind::kPut) {
    quarantine_->FreeChain(replaced->record.extents, epoch);
  }
}

void L2Store::StagePut(const EpochLock::Guard& guard, PreparedPut put, Hlc hlc,
                       int64_t now_unix_ms) {
  put.record.hlc = hlc;
  put.record.rank = std::max(put.record.rank, hlc.value);
  put.record.last_access_unix_ms = std::max<int64_t>(now_unix_ms, 0);
  StageChange(guard.epoch(), put.record_key,
              MakeChange(StagedChange::Kind::kPut, std::move(put.record)));
}

void L2Store::StageLoaded(std::string record_key, Record record) {
  const EpochLock::Guard guard = epoch_lock_->Enter();
  StageChange(guard.epoch(), record_key,
              MakeChange(StagedChange::Kind::kPut, std::move(record)));
}

absl::Status L2Store::StageRemove(const EpochLock::Guard& guard,
                                  const Namespace& ns, absl::string_view key,
                                  Hlc hlc, bool journal) {
  if (journal) {
    LARDER_RETURN_IF_ERROR(CheckUsable());
    LARDER_RETURN_IF_ERROR(journal_->Append(
        {guard.epoch(),
         {TombstoneKind::kKey, ns.name(), std::string(key), hlc},
         0}));
  }
  StageAbsent(guard.epoch(), ns.id(), ns.HashOf(key), key, hlc);
  return absl::OkStatus();
}

absl::Status L2Store::StageTombstone(const EpochLock::Guard& guard,
                                     const Tombstone& tombstone,
                                     uint64_t generation) {
  LARDER_RETURN_IF_ERROR(CheckUsable());
  LARDER_RETURN_IF_ERROR(
      journal_->Append({guard.epoch(), tombstone, generation}));
  MutexLock lock(&tombstones_mu_);
  staged_tombstones_[guard.epoch() % 2].push_back(
      {tombstone, generation, false});
  ++staged_tombstones_count_;
  return absl::OkStatus();
}

void L2Store::StageSpent(const EpochLock::Guard& guard,
                         const Tombstone& tombstone) {
  MutexLock lock(&tombstones_mu_);
  staged_tombstones_[guard.epoch() % 2].push_back(
      {tombstone, 0, /*retire=*/true});
  ++staged_tombstones_count_;
}

// A commit needs room in `meta` for what it copies; with less than that left
// for what is staged, it must come now.
bool L2Store::ShouldCommitEarly() const {
  if (journal_->IsHalfFull()) return true;
  const int64_t staged =
      staging_.size() + swept_.size() + staged_tombstones_count_.load();
  if (staged < kStagedMin) return false;
  if (staging_.size() >= kStagedMax) return true;
  const uint64_t pages_possible = MetaBytesMost() / kPageBytes;
  const uint64_t used = meta_map_->used_units();
  const uint64_t free = pages_possible > used ? pages_possible - used : 0;
  return static_cast<uint64_t>(staged) * kPagesPerChangeMax > free &&
         // A small tree cannot need more than its own size again.
         used * 2 + static_cast<uint64_t>(staged) / 4 > pages_possible;
}

}  // namespace larder::cache::l2
