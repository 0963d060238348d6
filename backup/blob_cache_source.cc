#include "backup/blob_cache_source.h"

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "backup/format/chunk.h"
#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "backup/format/record_codec.h"
#include "backup/internal/cache_dump_writer.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using backup_internal::CacheDumpWriter;
using cache::Snapshot;
using cache::SnapshotInfo;
using cache::StoredRecord;
using format::ChunkType;

// Payload of one part of the invalidations.
constexpr size_t kInvalidationPartBytes = 1 << 20;

// Cuts namespaces and tombstones into messages of about kInvalidationPartBytes.
std::vector<format::Invalidations> CutInvalidations(const SnapshotInfo& info) {
  std::vector<format::Invalidations> parts(1);
  size_t bytes = 0;
  const auto part_for = [&](size_t more) {
    if (bytes + more > kInvalidationPartBytes) {
      parts.emplace_back();
      bytes = 0;
    }
    bytes += more;
    return &parts.back();
  };
  constexpr size_t kFieldsBytes = 32;
  for (const cache::NamespaceState& state : info.namespaces) {
    ToMessage(state,
              part_for(state.name.size() + kFieldsBytes)->add_namespaces());
  }
  for (const cache::Tombstone& t : info.tombstones) {
    ToMessage(t, part_for(t.ns.size() + t.value.size() + kFieldsBytes)
                     ->add_tombstones());
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i].set_part(static_cast<uint32_t>(i));
    parts[i].set_parts(static_cast<uint32_t>(parts.size()));
  }
  return parts;
}

// By name.
int Compare(const StoredRecord& a, const StoredRecord& b) {
  const int by_ns = a.ns.compare(b.ns);
  return by_ns != 0 ? by_ns : a.key.compare(b.key);
}

absl::Status CheckInvalidations(const SnapshotInfo& info) {
  size_t bytes = 0;
  for (const auto& state : info.namespaces) bytes += state.name.size();
  for (const auto& t : info.tombstones) bytes += t.ns.size() + t.value.size();
  const auto tombstones = static_cast<int64_t>(info.tombstones.size());
  const auto namespaces = static_cast<int64_t>(info.namespaces.size());
  if (tombstones <= format::kTombstonesMax &&
      namespaces <= format::kNamespacesMax &&
      static_cast<int64_t>(bytes) <= format::kInvalidationBytesMax) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("snapshot: ", tombstones, " tombstones, ", namespaces,
                   " namespaces, ", bytes, " bytes exceed ",
                   format::kTombstonesMax, ", ", format::kNamespacesMax, ", ",
                   format::kInvalidationBytesMax, "; sweep first"));
}

class BlobCacheView : public SourceView {
 public:
  BlobCacheView(std::unique_ptr<Snapshot> snapshot, bool include_blobs,
                const BlobCacheSource::Options& options)
      : snapshot_(std::move(snapshot)), options_(options) {
    info_.set_kind(format::SOURCE_KIND_BLOB_CACHE);
    *info_.mutable_cache() = format::ToMessage(snapshot_->info());
    info_.mutable_cache()->set_blobs_included(include_blobs);
  }

  format::SourceInfo Describe(const format::SourceInfo* base) const override;
  int64_t bytes_estimate() const override {
    return info_.cache().blobs_included() ? info_.cache().stored_bytes() : 0;
  }
  double used() const override { return snapshot_->used(); }
  absl::Status Produce(SourceOutput* out) override;

 private:
  absl::Status EmitInvalidations(SourceOutput* out) const;
  absl::Status EmitBlobs(SourceOutput* out) const;
  // Nothing: all of it is to be sent.
  std::optional<cache::DeltaBase> DeltaBaseOf(const SourceDump& dump) const;
  // Reads the frames of the record that all of `at` have come to.
  absl::Status EmitFrames(absl::Span<CacheDumpWriter* const> at,
                          SourceOutput* out) const;

  const std::unique_ptr<Snapshot> snapshot_;
  const BlobCacheSource::Options options_;
  format::SourceInfo info_;
};

// An epoch of another lineage says nothing about this one, nor does a dump
// without blobs. Of a directory that was copied, two go on as one lineage:
// where that shows, it is none either.
format::SourceInfo BlobCacheView::Describe(
    const format::SourceInfo* base) const {
  format::SourceInfo info = info_;
  const format::CacheInfo& now = info_.cache();
  if (base == nullptr || base->kind() != format::SOURCE_KIND_BLOB_CACHE) {
    return info;
  }
  const format::CacheInfo& then = base->cache();
  const bool same_history = then.lineage() == now.lineage() &&
                            then.epoch() <= now.epoch() &&
                            (then.epoch() < now.epoch() ||
                             then.content_digest() == now.content_digest());
  if (same_history && then.blobs_included() && now.blobs_included()) {
    info.mutable_cache()->set_base_epoch(then.epoch());
  }
  return info;
}

std::optional<cache::DeltaBase> BlobCacheView::DeltaBaseOf(
    const SourceDump& dump) const {
  if (Describe(dump.base()).cache().base_epoch() == 0) return std::nullopt;
  const format::CacheInfo& then = dump.base()->cache();
  return cache::DeltaBase{then.epoch(), cache::Hlc{then.complete_through()}};
}

absl::Status BlobCacheView::Produce(SourceOutput* out) {
  LARDER_RETURN_IF_ERROR(EmitInvalidations(out));
  if (info_.cache().blobs_included()) LARDER_RETURN_IF_ERROR(EmitBlobs(out));
  // The second copy: far from the first, so that one fault hits one of them.
  LARDER_RETURN_IF_ERROR(EmitInvalidations(out));
  return snapshot_->status();
}

// Each dump finds its records by itself, in metadata, all in the order of their
// names; what is read are the frames of the least name that any has come to,
// for all that have.
absl::Status BlobCacheView::EmitBlobs(SourceOutput* out) const {
  std::deque<CacheDumpWriter> writers;
  for (SourceDump* dump : out->dumps()) {
    writers.emplace_back(
        snapshot_.get(),
        CacheDumpWriter::Limits{
            .range_records = options_.range_records_max,
            .range_metadata_bytes = options_.range_metadata_bytes,
            .range_kept = options_.range_kept_max,
            .frame_chunk_bytes = options_.frame_chunk_bytes},
        DeltaBaseOf(*dump), dump);
  }
  return out->Repeat([&]() -> absl::StatusOr<bool> {
    absl::InlinedVector<CacheDumpWriter*, 4> at;
    for (CacheDumpWriter& writer : writers) {
      if (writer.done()) continue;
      const StoredRecord* const record = writer.current();
      if (record == nullptr) {
        LARDER_RETURN_IF_ERROR(writer.ReadOn());
        return true;
      }
      const int order = at.empty() ? -1 : Compare(*record, *at[0]->current());
      if (order < 0) at.clear();
      if (order <= 0) at.push_back(&writer);
    }
    if (at.empty()) return false;
    LARDER_RETURN_IF_ERROR(EmitFrames(absl::MakeSpan(at), out));
    return true;
  });
}

absl::Status BlobCacheView::EmitFrames(absl::Span<CacheDumpWriter* const> at,
                                       SourceOutput* out) const {
  const StoredRecord& record = *at[0]->current();
  for (size_t i = 0; i < record.frames.size(); ++i) {
    std::string* const room = at[0]->FrameRoom();
    const size_t before = room->size();
    const absl::Status read = snapshot_->ReadFrame(record, i, room);
    if (absl::IsDataLoss(read)) {
      for (CacheDumpWriter* writer : at) writer->LoseFrames(read.message());
      break;
    }
    LARDER_RETURN_IF_ERROR(read);
    const size_t bytes = room->size() - before;
    for (CacheDumpWriter* writer : at.subspan(1)) {
      writer->FrameRoom()->append(*room, before, bytes);
    }
    out->Advance(static_cast<int64_t>(bytes));
    for (CacheDumpWriter* writer : at) {
      LARDER_RETURN_IF_ERROR(writer->TookFrame(bytes));
    }
  }
  for (CacheDumpWriter* writer : at) writer->EndRecord();
  return absl::OkStatus();
}

absl::Status BlobCacheView::EmitInvalidations(SourceOutput* out) const {
  for (const format::Invalidations& part :
       CutInvalidations(snapshot_->info())) {
    LARDER_RETURN_IF_ERROR(out->EmitToAll(ChunkType::kInvalidations,
                                          format::SerializeMessage(part)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SourceView>> BlobCacheSource::Open(
    const SourceRequest& request) {
  LARDER_ASSIGN_OR_RETURN(std::unique_ptr<Snapshot> snapshot,
                          take_snapshot_(options_.pin));
  LARDER_RETURN_IF_ERROR(CheckInvalidations(snapshot->info()));
  return std::make_unique<BlobCacheView>(std::move(snapshot),
                                         request.include_blob_cache, options_);
}

}  // namespace larder::backup
