// Reading an L2: records, blobs, walks, counters.
#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "cache/l2/l2_store.h"
#include "cache/l2/stored_synopsis.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// Below this one thread decodes a blob: waking another takes tens of
// microseconds, in which one decodes some 20 KiB.
constexpr uint64_t kDecodeTogetherBytesMin = uint64_t{1} << 20;
// What the CPU brings in at a time, and how much of a chain is asked for ahead:
// its start, and then the start of each page.
constexpr uint64_t kCacheLineBytes = 64;
constexpr uint64_t kPrefetchAllBytes = 1280;
constexpr uint64_t kPrefetchPageBytes = 256;
constexpr uint64_t kPrefetchBytesMax = 32 * 1024;
// What is no longer is copied out: that costs less than to hold its chain.
// Source: the largest that malloc hands out from a thread's own list, with the
// blob's attributes.
constexpr uint64_t kCopyBytesMax = 768;

}  // namespace

absl::StatusOr<bool> L2Store::FindCommitted(absl::string_view record_key,
                                            Record* record) const {
  counters_.metadata_reads.Add();
  LARDER_ASSIGN_OR_RETURN(const std::optional<absl::string_view> value,
                          TreeAt(root()->records).Find(record_key));
  if (!value.has_value()) return false;
  LARDER_RETURN_IF_ERROR(DecodeRecord(*value, record));
  return true;
}

bool L2Store::FindStaged(const Namespace& ns, absl::string_view key,
                         std::optional<Record>* record) const {
  const StagedPtr staged = staging_.Find(LookupKey(ns.id(), key).view());
  if (staged == nullptr) return false;
  if (staged->kind != StagedChange::Kind::kRemove) *record = staged->record;
  return true;
}

bool L2Store::MayBeCommitted(const Namespace& ns, uint64_t name_hash) const {
  // The root first: a commit shows its synopses before its root, so that a
  // synopsis is never older than what is looked for in it.
  const Superblock& at = *root();
  const Synopsis* const synopsis = ns.synopsis();
  if (synopsis == nullptr) return at.record_count > 0;
  return synopsis->MayContain(name_hash, [&](uint64_t chunk) {
    return FindSynopsisChunk(TreeAt(at.system), ns.id(), synopsis->shape(),
                             chunk);
  });
}

bool L2Store::MayContain(const Namespace& ns, absl::string_view key,
                         uint64_t name_hash) const {
  if (std::optional<Record> staged; FindStaged(ns, key, &staged)) {
    return staged.has_value();
  }
  const ReaderSlots::Guard reading = EnterRead();
  return MayBeCommitted(ns, name_hash);
}

absl::Status L2Store::FindRecord(const Namespace& ns, absl::string_view key,
                                 uint64_t name_hash,
                                 std::optional<Record>* record) const {
  // Staged first, then the root: a commit publishes its root before it clears
  // what it staged.
  if (staging_.size() > 0) {
    const StagedPtr staged = staging_.Find(LookupKey(ns.id(), key).view());
    if (staged != nullptr) {
      if (staged->kind != StagedChange::Kind::kRemove) *record = staged->record;
      return absl::OkStatus();
    }
  }
  if (!MayBeCommitted(ns, name_hash)) {
    counters_.negative_skips.Add();
    return absl::OkStatus();
  }
  const absl::StatusOr<bool> found =
      FindCommitted(LookupKey(ns.id(), key).view(), &record->emplace());
  if (!found.ok()) counters_.damaged_reads.fetch_add(1);
  if (!found.ok() || !*found) record->reset();
  return found.status();
}

namespace {

BlobAttributes AttributesOf(const Record& record) {
  BlobAttributes a;
  a.hlc = record.hlc;
  a.expiry = record.expiry;
  a.version = record.version;
  a.priority = record.priority;
  a.l1_admission = record.l1_admission;
  if (!record.invalidation_hashes.empty()) {
    a.invalidation_hashes.assign(record.invalidation_hashes.begin(),
                                 record.invalidation_hashes.end());
  }
  return a;
}

BlobAttributes AttributesOf(const Record& record, ChainHeader header) {
  BlobAttributes a = AttributesOf(record);
  a.tags = std::move(header.tags);
  a.dependencies = std::move(header.dependencies);
  a.metadata = std::move(header.metadata);
  return a;
}

// Bytes of a chain that stays as it is as long as this lives.
struct HeldBlob {
  HeldBlob(std::shared_ptr<HeldChains> held, uint64_t first_unit,
           BlobAttributes&& attributes, absl::string_view bytes)
      : hold(std::move(held), first_unit), blob(std::move(attributes), bytes) {}

  const ChainHold hold;
  const Blob blob;
};
std::shared_ptr<const Blob> BlobOf(std::shared_ptr<const HeldBlob> held) {
  const Blob* const blob = &held->blob;
  return {std::move(held), blob};
}

// What to read for [offset, offset + length) of the raw bytes.
struct Part {
  uint64_t offset = 0;
  uint64_t length = 0;
  size_t first = 0;  // Frames [first, end) hold it.
  size_t end = 0;
  uint64_t raw_offset = 0;  // Of frame `first`, in the blob.
  uint64_t raw_bytes = 0;   // Of these frames.
  bool all_raw = true;      // None of them is compressed.
};
Part PartOf(const ChainHeader& header, uint64_t offset, uint64_t length) {
  Part p;
  p.offset = std::min(offset, header.raw_bytes);
  p.length = std::min(length, header.raw_bytes - p.offset);
  if (p.length == 0) return p;
  p.first = p.offset / kFrameRawBytes;
  p.end = (p.offset + p.length + kFrameRawBytes - 1) / kFrameRawBytes;
  p.raw_offset = p.first * uint64_t{kFrameRawBytes};
  for (size_t i = p.first; i < p.end; ++i) {
    p.raw_bytes += header.frames[i].raw_bytes;
    p.all_raw &= !header.frames[i].zstd;
  }
  return p;
}

// Where frame `i` stands in the chain.
uint64_t FrameOffset(const ChainHeader& header, uint32_t header_bytes,
                     size_t i) {
  uint64_t offset = header_bytes;
  for (size_t f = 0; f < i; ++f) offset += header.frames[f].stored_bytes;
  return offset;
}

// Verifies the frames of `part` where they are, and returns its bytes there.
absl::StatusOr<absl::string_view> VerifyInPlace(const ChainReader& chain,
                                                const ChainHeader& header,
                                                uint64_t frames_at,
                                                const Part& part) {
  std::string unused;
  LARDER_ASSIGN_OR_RETURN(const absl::string_view all,
                          chain.Bytes(frames_at, part.raw_bytes, &unused));
  for (size_t i = part.first; i < part.end; ++i) {
    const uint64_t at = (i - part.first) * uint64_t{kFrameRawBytes};
    LARDER_RETURN_IF_ERROR(VerifyFrame(
        header.frames[i], all.substr(at, header.frames[i].stored_bytes)));
  }
  return all.substr(part.offset - part.raw_offset, part.length);
}

// Verifies and decodes the frames of `part` to `out`.
absl::Status DecodeTo(const ChainReader& chain, const ChainHeader& header,
                      uint64_t frames_at, const Part& part, WorkerPool* pool,
                      char* out) {
  const size_t count = part.end - part.first;
  std::vector<uint64_t> at(count, frames_at);
  for (size_t i = 1; i < count; ++i) {
    at[i] = at[i - 1] + header.frames[part.first + i - 1].stored_bytes;
  }
  const auto decode = [&](size_t i) -> absl::Status {
    const Frame& frame = header.frames[part.first + i];
    std::string scratch;
    LARDER_ASSIGN_OR_RETURN(const absl::string_view stored,
                            chain.Bytes(at[i], frame.stored_bytes, &scratch));
    LARDER_RETURN_IF_ERROR(VerifyFrame(frame, stored));
    return DecodeFrame(frame, stored, out + i * uint64_t{kFrameRawBytes});
  };
  if (part.all_raw || part.raw_bytes < kDecodeTogetherBytesMin) {
    for (size_t i = 0; i < count; ++i) LARDER_RETURN_IF_ERROR(decode(i));
    return absl::OkStatus();
  }
  std::vector<absl::Status> done(count);
  pool->ForEach(count, [&](size_t i) { done[i] = decode(i); });
  for (absl::Status& status : done) LARDER_RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

}  // namespace

void L2Store::Prefetch(const Record& record) const {
  if (record.extents.empty()) return;
  const Extent& first = record.extents[0];
  const uint64_t bytes = std::min(
      {record.chain_bytes(), first.units * kUnitBytes, kPrefetchBytesMax});
  const uint64_t offset = first.first * kUnitBytes;
  const absl::StatusOr<const char*> chain = files_.blobs->View(offset, bytes);
  if (!chain.ok()) return;  // Load() says why.
  const auto prefetch = [&](uint64_t from, uint64_t to) {
    for (uint64_t at = from; at < std::min(to, bytes); at += kCacheLineBytes) {
      __builtin_prefetch(*chain + at);
    }
  };
  prefetch(0, kPrefetchAllBytes);
  // Where a page starts, the CPU's own prefetcher starts anew.
  const uint64_t over = (offset + kPrefetchAllBytes) % kPageBytes;
  for (uint64_t at = kPrefetchAllBytes + (over > 0 ? kPageBytes - over : 0);
       at < bytes; at += kPageBytes) {
    prefetch(at, at + kPrefetchPageBytes);
  }
}

absl::StatusOr<std::shared_ptr<const Blob>> L2Store::Load(
    uint64_t name_hash, const Record& record, uint64_t offset,
    uint64_t length) const {
  absl::StatusOr<std::shared_ptr<const Blob>> blob =
      LoadVerified(name_hash, record, offset, length);
  if (!blob.ok()) counters_.damaged_reads.fetch_add(1);
  return blob;
}

absl::StatusOr<std::shared_ptr<const Blob>> L2Store::LoadVerified(
    uint64_t name_hash, const Record& record, uint64_t offset,
    uint64_t length) const {
  const ChainReader chain(files_.blobs.get(), &record,
                          ChainReader::Access::kView);
  if (record.header_bytes == 0 && !record.frame_is_zstd) {
    return LoadPlain(chain, record, offset, length);
  }
  LARDER_ASSIGN_OR_RETURN(ChainHeader header, chain.Header(name_hash));
  const Part part = PartOf(header, offset, length);
  const uint64_t frames_at =
      FrameOffset(header, record.header_bytes, part.first);
  const bool in_one_piece = record.extents.size() == 1;
  if (in_one_piece && part.all_raw && part.length > kCopyBytesMax) {
    // Held before it is read, and while the reader's slot still guards it.
    ChainHold hold(held_, record.extents[0].first);
    LARDER_ASSIGN_OR_RETURN(const absl::string_view view,
                            VerifyInPlace(chain, header, frames_at, part));
    return BlobOf(std::make_shared<const HeldBlob>(
        held_, record.extents[0].first, AttributesOf(record, std::move(header)),
        view));
  }
  const auto raw = std::make_shared_for_overwrite<char[]>(part.raw_bytes);
  LARDER_RETURN_IF_ERROR(
      DecodeTo(chain, header, frames_at, part, &decoders_, raw.get()));
  const absl::string_view bytes(raw.get() + (part.offset - part.raw_offset),
                                part.length);
  return std::make_shared<const Blob>(AttributesOf(record, std::move(header)),
                                      bytes, raw);
}

// A blob of one frame, as it is, and nothing else: most are.
absl::StatusOr<std::shared_ptr<const Blob>> L2Store::LoadPlain(
    const ChainReader& chain, const Record& record, uint64_t offset,
    uint64_t length) const {
  offset = std::min(offset, record.raw_bytes);
  length = std::min(length, record.raw_bytes - offset);
  const Frame frame = FrameOf(record);
  std::string scratch;
  LARDER_ASSIGN_OR_RETURN(const absl::string_view stored,
                          chain.Bytes(0, record.stored_bytes, &scratch));
  if (length > kCopyBytesMax && record.extents.size() == 1) {
    // Held while the reader's slot still guards it.
    auto held = std::make_shared<const HeldBlob>(held_, record.extents[0].first,
                                                 AttributesOf(record),
                                                 stored.substr(offset, length));
    LARDER_RETURN_IF_ERROR(VerifyFrame(frame, stored));
    return BlobOf(std::move(held));
  }
  LARDER_RETURN_IF_ERROR(VerifyFrame(frame, stored));
  char* room;
  std::shared_ptr<const Blob> blob =
      MakeBlob(AttributesOf(record), length, &room);
  if (length > 0) std::memcpy(room, stored.data() + offset, length);
  return blob;
}

int64_t L2Store::LastAccess(const Namespace& ns, absl::string_view key,
                            const Record& record) const {
  int64_t last = std::max(record.last_access_unix_ms,
                          shared_.accesses->LastAccess(ns.HashOf(key)));
  if (shared_.last_read_from_l1) {
    last = std::max(last, shared_.last_read_from_l1(ns, key));
  }
  return last;
}

absl::Status L2Store::WalkCommitted(absl::string_view from,
                                    Tree::VisitFn visit) const {
  const ReaderSlots::Guard reading = EnterRead();
  return TreeAt(root()->records).Walk(from, visit);
}

absl::Status L2Store::ForEachRecord(
    absl::string_view ns_name, absl::string_view after_key,
    absl::FunctionRef<bool(const L2RecordView&)> visit) const {
  std::string from;
  uint32_t only_id = 0;
  if (!ns_name.empty()) {
    const Namespace* ns = shared_.namespaces->Find(ns_name);
    if (ns == nullptr) return absl::OkStatus();
    only_id = ns->id();
    from = RecordKey(only_id, after_key);
    if (!after_key.empty()) from.push_back('\0');
  }
  const int64_t now = shared_.clock->NowUnixMillis();
  absl::Status damage = absl::OkStatus();  // The first; the walk goes on.
  // Short steps, so that a walk delays no reuse for long.
  constexpr int kStep = 64;
  for (bool more = true; more;) {
    const ReaderSlots::Guard reading = EnterRead();
    int left = kStep;
    more = false;
    LARDER_RETURN_IF_ERROR(
        TreeAt(root()->records)
            .WalkDespiteDamage(
                from,
                [&](absl::string_view record_key, absl::string_view value) {
                  uint32_t id;
                  absl::string_view key;
                  if (!SplitRecordKey(record_key, &id, &key)) return true;
                  if (only_id != 0 && id != only_id) return false;
                  if (left-- == 0) {
                    from = std::string(record_key);
                    more = true;
                    return false;
                  }
                  const Namespace* ns = shared_.namespaces->FindById(id);
                  absl::StatusOr<Record> r = DecodeRecord(value);
                  if (!r.ok() || ns == nullptr)
                    return true;  // verify reports it.
                  return visit({ns->name(), key, r->hlc, r->expiry, r->version,
                                r->raw_bytes, r->stored_bytes,
                                IsServable(*ns, key, *r, now)});
                },
                [&](const Tree::Damage& d) { damage.Update(d.status); }));
  }
  return damage;
}

L2Stats L2Store::Stats() const {
  L2Stats s;
  s.enabled = true;
  {
    const ReaderSlots::Guard reading = EnterRead();
    const Superblock& r = *root();
    s.epoch = r.epoch;
    s.lineage = LineageText(r.lineage);
    s.content_digest = r.content_digest;
    s.records = static_cast<int64_t>(r.record_count);
    s.raw_bytes = static_cast<int64_t>(r.raw_bytes);
    s.stored_bytes = static_cast<int64_t>(r.stored_bytes);
    for (const Namespace* ns : shared_.namespaces->All()) {
      const Synopsis* const synopsis = ns->synopsis();
      if (synopsis == nullptr) continue;
      s.synopsis_bytes += static_cast<int64_t>(synopsis->shape().bytes());
    }
  }
  s.durable_epoch = durable_epoch_.load();
  s.staged = staging_.size();
  s.bytes_in_use = static_cast<int64_t>(blobs_map_->used_units() * kUnitBytes +
                                        meta_map_->used_units() * kPageBytes);
  s.bytes_max = options_.l2_bytes_max;
  s.quarantined_bytes = quarantine_->blob_bytes() + quarantine_->meta_bytes();
  s.file_bytes = static_cast<int64_t>(
      files_.blobs->Size() + files_.meta->Size() + files_.space->Size() +
      files_.journal[0]->Size() + files_.journal[1]->Size());
  for (const Namespace* ns : shared_.namespaces->All()) {
    s.tombstones += ns->tombstones();
  }
  s.commits = counters_.commits.load();
  s.commit_failures = counters_.commit_failures.load();
  s.evictions = counters_.evictions.load();
  s.expirations = counters_.expirations.load();
  s.full_rejections = counters_.full_rejections.load();
  s.unreadable_pages =
      files_.blobs->unreadable_pages() + files_.meta->unreadable_pages();
  s.damaged_reads = counters_.damaged_reads.load() +
                    static_cast<int64_t>(quarantine_->unmarked_units());
  s.metadata_reads = counters_.metadata_reads.value();
  s.negative_skips = counters_.negative_skips.value();
  s.compression_skipped = counters_.compression_skipped.value();
  MutexLock lock(&degraded_mu_);
  s.degraded = degraded_;
  return s;
}

void L2Store::FillNamespaceStats(NamespaceStats* stats) const {
  MutexLock lock(&commit_mu_);
  for (const auto& [id, ns] : committed_namespaces_) {
    if (ns.name != stats->name) continue;
    stats->l2_records = ns.records;
    stats->l2_raw_bytes = ns.raw_bytes;
    stats->l2_stored_bytes = ns.stored_bytes;
  }
}

}  // namespace larder::cache::l2
