#include "cache/l2/l2_snapshot.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cache/l2/chain.h"
#include "cache/l2/coding.h"
#include "cache/l2/system_tree.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// Where a StoredRecord's frames are.
struct Location {
  Record record;
  std::vector<uint64_t> frame_offsets;  // In the chain.
};

std::string NameForErrors(absl::string_view ns, absl::string_view key) {
  return absl::StrCat(absl::CHexEscape(ns), "/", absl::CHexEscape(key));
}

}  // namespace

StoredRecord PinnedSnapshot::ToStored(const Namespace& ns,
                                      absl::string_view key,
                                      Record record) const {
  StoredRecord s;
  s.ns = ns.name();
  s.key = std::string(key);
  s.attributes.hlc = record.hlc;
  s.attributes.expiry = record.expiry;
  s.attributes.version = record.version;
  s.attributes.priority = record.priority;
  s.attributes.l1_admission = record.l1_admission;
  s.attributes.invalidation_hashes.assign(record.invalidation_hashes.begin(),
                                          record.invalidation_hashes.end());
  // The record learns of reads only when its idle TTL is over. Whoever holds a
  // copy would take it for dead then.
  s.last_access_unix_ms = record.expiry.idle_ttl_ms != 0
                              ? store_->LastAccess(ns, key, record)
                              : record.last_access_unix_ms;
  s.raw_bytes = record.raw_bytes;
  s.stored_bytes = record.stored_bytes;
  s.payload_checksum = record.payload_checksum;
  absl::StatusOr<ChainHeader> header =
      ChainReader(store_->files_.blobs.get(), &record,
                  ChainReader::Access::kCopy)
          .Header(ns.HashOf(key));
  if (!header.ok()) {
    s.status = absl::DataLossError(absl::StrCat(
        NameForErrors(s.ns, s.key), ": ", header.status().message()));
    return s;
  }
  s.attributes.tags = std::move(header->tags);
  s.attributes.dependencies = std::move(header->dependencies);
  s.attributes.metadata = std::move(header->metadata);
  s.frames = std::move(header->frames);
  auto location = std::make_shared<Location>();
  uint64_t at = record.header_bytes;
  for (const Frame& f : s.frames) {
    location->frame_offsets.push_back(at);
    at += f.stored_bytes;
  }
  location->record = std::move(record);
  s.location = std::move(location);
  return s;
}

PinnedSnapshot::PinnedSnapshot(const L2Store* store,
                               std::unique_ptr<EpochLock::Pin> pin,
                               const Superblock& root, SnapshotInfo info)
    : store_(store), pin_(std::move(pin)), root_(root), info_(std::move(info)) {
  for (const NamespaceState& n : info_.namespaces) {
    namespaces_.push_back(store_->shared_.namespaces->Find(n.name));
  }
  std::sort(namespaces_.begin(), namespaces_.end(),
            [](const Namespace* a, const Namespace* b) {
              return a->name() < b->name();
            });
}

absl::StatusOr<std::optional<std::string>> PinnedSnapshot::ReadNamespace(
    const Namespace& ns, std::string from, Batch* batch) const {
  std::optional<std::string> next;
  const std::string end = RecordKey(ns.id() + 1, "");
  const Tree tree(store_->meta_pages_.get(), root_.records);
  LARDER_RETURN_IF_ERROR(tree.WalkDespiteDamage(
      from,
      [&](absl::string_view record_key, absl::string_view value) {
        uint32_t id;
        absl::string_view key;
        if (record_key >= end) return false;
        if (batch->left-- == 0) {
          next = std::string(record_key);
          return false;
        }
        absl::StatusOr<Record> record = DecodeRecord(value);
        if (!record.ok() || !SplitRecordKey(record_key, &id, &key)) {
          batch->lost.push_back(absl::StrCat(absl::CHexEscape(record_key), ": ",
                                             record.status().message()));
          return true;
        }
        batch->records->push_back(ToStored(ns, key, *std::move(record)));
        return true;
      },
      [&](const Tree::Damage& d) {
        // One step looks ahead of what it returns, and beyond its namespace;
        // who gets there meets and reports that damage.
        if (batch->left > 0 && d.low < end) {
          batch->lost.push_back(
              absl::StrCat("records from ", absl::CHexEscape(d.low), " to ",
                           absl::CHexEscape(d.high), ": ", d.status.message()));
        }
      }));
  return next;
}

absl::Status PinnedSnapshot::ReadNamespaces(
    Position* position,
    absl::FunctionRef<absl::StatusOr<std::optional<std::string>>(
        const Namespace& ns, std::string from)>
        read) const {
  size_t at = 0;
  std::string from = position->after;
  if (!from.empty()) {
    // Its key may be empty: the place before all of a namespace.
    const uint32_t id = LoadBig32(from.data());
    while (at < namespaces_.size() && namespaces_[at]->id() != id) ++at;
  }
  std::optional<std::string> next;
  while (!position->at_end && !next.has_value()) {
    if (at == namespaces_.size()) {
      position->at_end = true;
      break;
    }
    const Namespace& ns = *namespaces_[at];
    if (from.empty()) from = RecordKey(ns.id(), "");
    LARDER_ASSIGN_OR_RETURN(next, read(ns, std::move(from)));
    from.clear();
    ++at;
  }
  position->after = next.value_or("");
  return absl::OkStatus();
}

absl::Status PinnedSnapshot::Read(int64_t records_max, Position* position,
                                  std::vector<StoredRecord>* records,
                                  std::vector<std::string>* damage) const {
  const ReaderSlots::Guard reading = EnterPinned();
  LARDER_RETURN_IF_ERROR(status());
  Batch batch{records_max, records, {}};
  LARDER_RETURN_IF_ERROR(
      ReadNamespaces(position, [&](const Namespace& ns, std::string from) {
        return ReadNamespace(ns, std::move(from), &batch);
      }));
  LARDER_RETURN_IF_ERROR(status());
  damage->insert(damage->end(), batch.lost.begin(), batch.lost.end());
  return absl::OkStatus();
}

absl::Status PinnedSnapshot::ReadFrame(const StoredRecord& record, size_t i,
                                       std::string* out) const {
  const auto* location = static_cast<const Location*>(record.location.get());
  if (location == nullptr || i >= record.frames.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(NameForErrors(record.ns, record.key), ": frame ", i,
                     " of ", record.frames.size()));
  }
  const ReaderSlots::Guard reading = EnterPinned();
  LARDER_RETURN_IF_ERROR(status());
  const Frame& frame = record.frames[i];
  const size_t before = out->size();
  absl::Status read =
      ChainReader(store_->files_.blobs.get(), &location->record,
                  ChainReader::Access::kCopy)
          .AppendTo(location->frame_offsets[i], frame.stored_bytes, out);
  if (read.ok()) {
    read = VerifyFrame(frame, absl::string_view(*out).substr(before));
  }
  if (read.ok()) return absl::OkStatus();
  out->resize(before);
  return absl::DataLossError(absl::StrCat(
      store_->files_.blobs->path(), ": ", NameForErrors(record.ns, record.key),
      ": frame ", i, " at chain byte ", location->frame_offsets[i], ": ",
      read.message()));
}

absl::StatusOr<bool> PinnedSnapshot::Find(const Namespace& ns,
                                          absl::string_view key,
                                          Record* record) const {
  LARDER_ASSIGN_OR_RETURN(const std::optional<absl::string_view> value,
                          Tree(store_->meta_pages_.get(), root_.records)
                              .Find(LookupKey(ns.id(), key).view()));
  if (!value.has_value()) return false;
  LARDER_RETURN_IF_ERROR(DecodeRecord(*value, record));
  return true;
}

absl::StatusOr<std::unique_ptr<Snapshot>> L2Store::TakeSnapshot(
    EpochLock::PinOptions options) {
  if (hydration_floor().value != 0) {
    // What is added later has an HLC from before the snapshot: a delta on it
    // would take it for unchanged.
    return absl::UnavailableError(absl::StrCat(
        options_.l2_path, ": snapshot: not before all is hydrated"));
  }
  LARDER_RETURN_IF_ERROR(EvictToWatermark(RoomFor::kSnapshot));
  return PinNow(std::move(options));
}

absl::StatusOr<std::unique_ptr<Snapshot>> L2Store::PinNow(
    EpochLock::PinOptions options) {
  MutexLock lock(&commit_mu_);
  LARDER_RETURN_IF_ERROR(CommitLocked());
  return PinCommitted(std::move(options));
}

std::unique_ptr<Snapshot> L2Store::PinCommitted(EpochLock::PinOptions options) {
  // A snapshot gives way before it starves the cache of room.
  constexpr int64_t kDeferredShare = 4;
  if (options.deferred_bytes_max == 0) {
    options.deferred_bytes_max = options_.l2_bytes_max / kDeferredShare;
  }
  options.room_bytes = std::max(int64_t{1}, BlobBytesFree());
  const int64_t before = shared_.clock->NowSteadyNanos();
  const Superblock root = *root_owner_;
  std::unique_ptr<EpochLock::Pin> pin =
      epoch_lock_->PinEpoch(root.epoch, std::move(options));
  const int64_t pin_nanos = shared_.clock->NowSteadyNanos() - before;
  SnapshotInfo info = InfoLocked();
  info.pin_nanos = pin_nanos;
  return std::make_unique<PinnedSnapshot>(this, std::move(pin), root,
                                          std::move(info));
}

SnapshotInfo L2Store::InfoLocked() const {
  const Superblock& root = *root_owner_;
  SnapshotInfo info;
  info.lineage = LineageText(root.lineage);
  for (const Lineage& ancestor : root.ancestors) {
    info.ancestors.push_back(LineageText(ancestor));
  }
  info.epoch = root.epoch;
  info.hlc = root.hlc;
  info.complete_through = complete_through_;
  info.content_digest = root.content_digest;
  info.records = static_cast<int64_t>(root.record_count);
  info.raw_bytes = static_cast<int64_t>(root.raw_bytes);
  info.stored_bytes = static_cast<int64_t>(root.stored_bytes);
  for (const auto& [id, ns] : committed_namespaces_) {
    info.namespaces.push_back(
        {ns.name, ns.generation, ns.flushed_at, ns.forgotten_through});
  }
  for (const auto& [key, committed] : committed_tombstones_) {
    info.tombstones.push_back(committed.tombstone);
  }
  return info;
}

}  // namespace larder::cache::l2
