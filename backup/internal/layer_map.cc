#include "backup/internal/layer_map.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/chunk.h"
#include "backup/format/coding.h"
#include "backup/format/message.h"
#include "backup/format/names.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::format::ChunkType;

namespace {

// Damage to what is read, rather than to the machine.
bool IsDamage(const absl::Status& status) { return absl::IsDataLoss(status); }

}  // namespace

bool LayerGap::Concerns(const BlobPlace& place) const {
  if (!told) return true;
  for (const auto& [from_place, until_place] : ranges) {
    if (from_place <= place && place < until_place) return true;
  }
  return std::find(names.begin(), names.end(), place) != names.end();
}

LayerMap::LayerMap(const backup::Archive* archive,
                   const backup::format::Manifest* manifest, uint16_t source,
                   FrameFiles* frames, const backup::Cancellation* cancellation)
    : manifest_(manifest),
      source_(source),
      is_delta_(manifest->header().sources(source).cache().base_epoch() != 0),
      frames_(frames),
      tables_(archive, manifest, source, frames->files(), cancellation) {}

void LayerMap::NoteStart(uint64_t sequence, Start start) {
  if (starts_.size() == kStartsMax) starts_.clear();
  starts_[sequence] = std::move(start);
}

absl::StatusOr<LayerMap::ChunkPtr> LayerMap::Load(Spot spot,
                                                  absl::Status* why) {
  LARDER_ASSIGN_OR_RETURN(const std::shared_ptr<const PackTable> table,
                          tables_.Table(spot.pack));
  const TableEntry& entry = table->entries[spot.entry];
  const uint64_t sequence = entry.header.sequence;
  const auto found = std::find_if(
      chunks_.begin(), chunks_.end(),
      [&](const ChunkPtr& c) { return c->records.sequence == sequence; });
  if (found != chunks_.end()) {
    chunks_.splice(chunks_.end(), chunks_, found);
    NoteStart(sequence, {true, absl::OkStatus(), chunks_.back()->records.low});
    return chunks_.back();
  }
  if (const auto start = starts_.find(sequence);
      start != starts_.end() && !start->second.readable) {
    *why = start->second.why;
    return ChunkPtr();
  }
  absl::StatusOr<RecordsChunk> parsed = RecordsChunk();
  absl::StatusOr<std::string> payload = tables_.Payload(spot.pack, entry);
  if (payload.ok()) {
    parsed = RecordsChunk::Parse(*payload, sequence, is_delta_, *manifest_);
  } else {
    parsed = payload.status();
  }
  if (!parsed.ok() && !IsDamage(parsed.status())) return parsed.status();
  if (!parsed.ok()) {
    *why = parsed.status();
    NoteStart(sequence, {false, *why, BlobPlace()});
    return ChunkPtr();
  }
  NoteStart(sequence, {true, absl::OkStatus(), parsed->low});
  auto chunk = std::make_shared<Chunk>();
  chunk->pack = spot.pack;
  chunk->entry = spot.entry;
  chunk->next_pack = spot.pack;
  chunk->next_entry = spot.entry + 1;
  chunk->records = *std::move(parsed);
  chunks_.push_back(chunk);
  if (chunks_.size() > kChunksMax) chunks_.pop_front();
  return chunk;
}

absl::StatusOr<std::optional<std::pair<LayerMap::Spot, bool>>>
LayerMap::FirstReadable(Spot spot, Spot end, const BlobPlace& place) {
  for (; spot.pack <= end.pack && spot.pack < tables_.packs();
       ++spot.pack, spot.entry = 0) {
    LARDER_ASSIGN_OR_RETURN(const std::shared_ptr<const PackTable> table,
                            tables_.Table(spot.pack));
    for (const size_t entry : table->records) {
      const Spot at = {spot.pack, entry};
      if (entry < spot.entry) continue;
      if (at >= end) return std::optional<std::pair<Spot, bool>>();
      const uint64_t sequence = table->entries[entry].header.sequence;
      auto start = starts_.find(sequence);
      if (start == starts_.end()) {
        absl::Status why;
        LARDER_RETURN_IF_ERROR(Load(at, &why).status());
        start = starts_.find(sequence);
      }
      if (!start->second.readable) continue;
      RecordsChunk probe;
      probe.is_delta = is_delta_;
      probe.low = start->second.low;
      return std::make_optional(std::pair(at, probe.StartsNotBehind(place)));
    }
  }
  return std::optional<std::pair<Spot, bool>>();
}

absl::StatusOr<LayerMap::ChunkPtr> LayerMap::LastNotBehind(
    const BlobPlace& place) {
  // The packs in [first, last) may have it.
  int first = 0;
  int last = tables_.packs();
  while (last - first > 1) {
    const int middle = first + (last - first) / 2;
    LARDER_ASSIGN_OR_RETURN(const auto found,
                            FirstReadable({middle, 0}, {last, 0}, place));
    if (found.has_value() && found->second) {
      first = found->first.pack;
    } else {
      last = middle;
    }
  }
  if (first == tables_.packs()) return ChunkPtr();
  LARDER_ASSIGN_OR_RETURN(const std::shared_ptr<const PackTable> table,
                          tables_.Table(first));
  const std::vector<size_t>& all = table->records;
  // Of the pack's Records chunks those before `low` start not behind it.
  size_t low = 0;
  size_t high = all.size();
  std::optional<Spot> best;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    const Spot end =
        high == all.size() ? Spot{first + 1, 0} : Spot{first, all[high]};
    LARDER_ASSIGN_OR_RETURN(const auto found,
                            FirstReadable({first, all[middle]}, end, place));
    if (found.has_value() && found->second) {
      best = found->first;
      low = static_cast<size_t>(
          std::upper_bound(all.begin(), all.end(), best->entry) - all.begin());
    } else {
      high = middle;
    }
  }
  if (!best.has_value()) return ChunkPtr();
  absl::Status why;
  LARDER_ASSIGN_OR_RETURN(ChunkPtr chunk, Load(*best, &why));
  return chunk;
}

absl::StatusOr<std::optional<LayerMap::Spot>> LayerMap::NextSpot(Spot spot) {
  for (; spot.pack < tables_.packs(); ++spot.pack, spot.entry = 0) {
    LARDER_ASSIGN_OR_RETURN(const std::shared_ptr<const PackTable> table,
                            tables_.Table(spot.pack));
    const auto it = std::lower_bound(table->records.begin(),
                                     table->records.end(), spot.entry);
    if (it != table->records.end()) {
      return std::make_optional(Spot{spot.pack, *it});
    }
  }
  return std::optional<Spot>();
}

absl::StatusOr<LayerMap::Following> LayerMap::After(const ChunkPtr& chunk) {
  if (after_last_.has_value() && last_ == chunk) return *after_last_;
  Spot from;
  if (chunk != nullptr) from = {chunk->pack, chunk->entry + 1};
  Following following;
  absl::Status reason = absl::DataLossError("it is not in the dump");
  while (following.next == nullptr) {
    LARDER_ASSIGN_OR_RETURN(const std::optional<Spot> spot, NextSpot(from));
    if (!spot.has_value()) break;
    LARDER_ASSIGN_OR_RETURN(following.next, Load(*spot, &reason));
    from = {spot->pack, spot->entry + 1};
  }
  LARDER_ASSIGN_OR_RETURN(following.gap,
                          GapBetween(chunk, following.next, reason));
  last_ = chunk;
  after_last_ = following;
  return following;
}

absl::StatusOr<std::shared_ptr<const LayerGap>> LayerMap::GapBetween(
    const ChunkPtr& before, const ChunkPtr& next, absl::Status reason) {
  const auto& totals = manifest_->trailer().sources(source_).totals();
  const uint64_t begun = static_cast<uint64_t>(
      is_delta_ ? totals.ranges() : totals.records_begun());
  const uint64_t from =
      before == nullptr ? 0 : before->records.first + before->records.count;
  const uint64_t until = next == nullptr ? begun : next->records.first;
  if (until <= from) return std::shared_ptr<const LayerGap>();
  auto gap = std::make_shared<LayerGap>();
  gap->missing = until - from;
  if (before != nullptr) {
    gap->from =
        is_delta_ ? before->records.ranges.back().until : before->records.high;
  }
  if (next != nullptr) gap->until = next->records.low;
  // The names of what is lost stand behind it.
  const uint64_t behind = before == nullptr ? 0 : before->records.sequence + 1;
  bool at_next = false;
  for (int pack = before == nullptr ? 0 : before->pack;
       pack < tables_.packs() && !at_next; ++pack) {
    LARDER_ASSIGN_OR_RETURN(const std::shared_ptr<const PackTable> table,
                            tables_.Table(pack));
    for (const TableEntry& entry : table->entries) {
      if (entry.is_gap) {
        if (absl::IsDataLoss(entry.reason)) reason = entry.reason;
        continue;
      }
      at_next =
          next != nullptr && entry.header.sequence >= next->records.sequence;
      if (at_next) break;
      if (entry.header.Is(ChunkType::kNames)) {
        LARDER_RETURN_IF_ERROR(TakeNames(entry, pack, behind, gap.get()));
      }
    }
  }
  gap->told =
      gap->missing == (is_delta_ ? gap->ranges.size() : gap->names.size());
  gap->reason = std::move(reason);
  return std::shared_ptr<const LayerGap>(std::move(gap));
}

absl::Status LayerMap::TakeNames(const TableEntry& entry, int pack,
                                 uint64_t behind_sequence, LayerGap* gap) {
  const absl::StatusOr<std::string> payload = tables_.Payload(pack, entry);
  backup::format::Names names;
  absl::Status status = payload.status();
  if (status.ok()) status = backup::format::ParseMessage(*payload, &names);
  if (!status.ok()) return IsDamage(status) ? absl::OkStatus() : status;
  for (const auto& of : names.chunks()) {
    if (of.sequence() < behind_sequence) continue;
    for (const std::string& name : of.names()) {
      absl::string_view ns;
      absl::string_view key;
      if (gap->names.size() < kNamesMax &&
          backup::format::SplitBlobName(name, &ns, &key)) {
        gap->names.push_back({std::string(ns), std::string(key)});
      }
    }
    for (const auto& range : of.ranges()) {
      if (gap->ranges.size() == kNamesMax) break;
      gap->ranges.emplace_back(StartOf(range), EndOf(range));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<LayerMap::Answer> LayerMap::Ask(const BlobPlace& place) {
  const auto tells = [&](const ChunkPtr& c) {
    return c != nullptr && c->records.StartsNotBehind(place) &&
           c->records.Tells(place);
  };
  if (tells(asked_last_)) return Answer{asked_last_, nullptr};
  ChunkPtr chunk = last_;
  const bool is_behind_last =
      after_last_.has_value() &&
      (chunk == nullptr || chunk->records.StartsNotBehind(place)) &&
      (after_last_->next == nullptr ||
       !after_last_->next->records.StartsNotBehind(place));
  if (!is_behind_last) {
    LARDER_ASSIGN_OR_RETURN(chunk, LastNotBehind(place));
  }
  if (tells(chunk)) {
    asked_last_ = chunk;
    return Answer{chunk, nullptr};
  }
  LARDER_ASSIGN_OR_RETURN(const Following following, After(chunk));
  Answer answer;
  if (following.gap != nullptr && following.gap->Concerns(place)) {
    answer.gap = following.gap;
  }
  return answer;
}

absl::Status LayerMap::Locate(Chunk* chunk, size_t i) {
  for (; !chunk->located && chunk->next_pack < tables_.packs();
       ++chunk->next_pack, chunk->next_entry = 0) {
    const int pack = chunk->next_pack;
    LARDER_ASSIGN_OR_RETURN(const std::shared_ptr<const PackTable> table,
                            tables_.Table(pack));
    for (size_t& entry = chunk->next_entry; entry < table->entries.size();
         ++entry) {
      if (chunk->records.HasAllFrames(i)) return absl::OkStatus();
      const TableEntry& at = table->entries[entry];
      if (at.is_gap) {
        chunk->frames_lost.Update(at.reason);
        continue;
      }
      // Names come behind the last frames.
      if (at.header.Is(ChunkType::kRecords) ||
          at.header.Is(ChunkType::kNames)) {
        chunk->located = true;
        return absl::OkStatus();
      }
      if (!at.header.Is(ChunkType::kFrames)) continue;
      const absl::Status taken = LocateIn(at, pack, chunk);
      if (!taken.ok() && !IsDamage(taken)) return taken;
      chunk->frames_lost.Update(taken);
    }
  }
  chunk->located = true;
  return absl::OkStatus();
}

absl::StatusOr<std::string> LayerMap::ReadIndex(const TableEntry& entry,
                                                int pack,
                                                const SealedChunk* sealed,
                                                uint64_t* frames_bytes) {
  constexpr uint64_t kSizeBytes = sizeof(uint32_t);
  // Nothing of a sealed chunk is believed by itself.
  std::shared_ptr<const std::string> opened;
  if (sealed != nullptr) {
    LARDER_ASSIGN_OR_RETURN(opened,
                            frames_->Open(tables_.PackName(pack), *sealed));
  }
  const auto read = [&](uint64_t offset,
                        uint64_t bytes) -> absl::StatusOr<std::string> {
    if (opened != nullptr) return opened->substr(offset, bytes);
    return tables_.Stored(pack, entry, offset, bytes);
  };
  const uint64_t stored =
      opened != nullptr ? opened->size() : entry.header.stored_bytes;
  if (stored < kSizeBytes) return absl::DataLossError("frames: no index");
  LARDER_ASSIGN_OR_RETURN(const std::string size,
                          read(stored - kSizeBytes, kSizeBytes));
  const uint64_t index_bytes = backup::format::LoadFixed<uint32_t>(size.data());
  if (index_bytes > stored - kSizeBytes) {
    return absl::DataLossError(
        absl::StrFormat("frames: index of %d bytes vs at most %d", index_bytes,
                        stored - kSizeBytes));
  }
  *frames_bytes = stored - kSizeBytes - index_bytes;
  return read(*frames_bytes, index_bytes);
}

absl::Status LayerMap::LocateIn(const TableEntry& entry, int pack,
                                Chunk* chunk) {
  FramesPlace frames = {.pack = tables_.PackName(pack),
                        .offset = entry.payload_at};
  if (tables_.seal().sealed()) {
    frames.sealed = std::make_shared<const SealedChunk>(
        SealedChunk{entry.header, entry.payload_at, tables_.seal()});
  }
  LARDER_ASSIGN_OR_RETURN(
      const std::string index,
      ReadIndex(entry, pack, frames.sealed.get(), &frames.bytes));
  const absl::Status taken = chunk->records.TakeFrames(index, frames);
  if (taken.ok()) return taken;
  return absl::Status(taken.code(),
                      absl::StrCat(tables_.PackName(pack), ": at byte ",
                                   entry.payload_at, ": ", taken.message()));
}

}  // namespace larder::backup_internal
