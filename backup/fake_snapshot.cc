#include "backup/fake_snapshot.h"

#include <algorithm>
#include <random>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backup/format/checksum.h"
#include "cache/check.h"
#include "cache/name_hash.h"
#include "cache/record_fingerprint.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

using cache::Frame;
using cache::SnapshotInfo;
using cache::StoredRecord;

// What a record adds to the digest: name, time and payload.
absl::uint128 DigestTerm(const StoredRecord& record) {
  return format::Checksum128(absl::StrCat(
      record.ns, "/", record.key, "/", record.attributes.hlc.value, "/",
      record.attributes.version, "/", record.payload_checksum));
}

// Stands for L2's checksum of the header block.
uint64_t PayloadChecksum(const StoredRecord& record) {
  std::string text = absl::StrCat(record.raw_bytes);
  for (const Frame& f : record.frames) absl::StrAppend(&text, "/", f.checksum);
  for (const std::string& t : record.attributes.tags) absl::StrAppend(&text, t);
  return format::Checksum64(text);
}

uint64_t Fingerprint(const StoredRecord& record) {
  return cache::RecordFingerprint(cache::NameHash(record.ns, record.key),
                                  record.attributes.hlc);
}

class FakeSnapshot : public cache::Snapshot {
 public:
  explicit FakeSnapshot(FakeCache* cache) : cache_(cache) {
    for (const auto& [key, blob] : cache->blobs) keys_.push_back(key);
    frames_left_ = cache->frames_until_abort;
  }

  const SnapshotInfo& info() const override { return cache_->info; }
  absl::Status status() const override {
    if (frames_left_ != 0) return absl::OkStatus();
    return absl::AbortedError("pin: deferred bytes exceed the budget");
  }
  double used() const override { return cache_->used; }

  absl::Status Read(int64_t records_max, Position* position,
                    std::vector<StoredRecord>* records,
                    std::vector<std::string>*) const override {
    LARDER_RETURN_IF_ERROR(status());
    size_t at = 0;
    if (!position->after.empty()) at = std::stoul(position->after);
    const size_t end =
        std::min(keys_.size(), at + static_cast<size_t>(records_max));
    for (; at < end; ++at) {
      StoredRecord record = cache_->blobs.at(keys_[at]).record;
      if (cache_->damaged_headers.contains(keys_[at])) {
        record.status = absl::DataLossError("header block: bad checksum");
        record.frames.clear();
      }
      record.location = std::make_shared<BlobKey>(keys_[at]);
      records->push_back(std::move(record));
    }
    position->after = absl::StrCat(at);
    position->at_end = at == keys_.size();
    return absl::OkStatus();
  }

  absl::Status ReadDelta(const cache::DeltaBase& base, const DeltaLimits&,
                         Position* position,
                         std::vector<cache::DeltaRange>* ranges,
                         std::vector<std::string>*) const override {
    LARDER_RETURN_IF_ERROR(status());
    std::set<std::string> namespaces;
    for (const auto& state : info().namespaces) namespaces.insert(state.name);
    for (const BlobKey& key : keys_) namespaces.insert(key.first);
    std::vector<cache::DeltaRange> all;
    for (const std::string& ns : namespaces) AddRanges(ns, base, &all);
    constexpr size_t kRangesPerCall = 2;
    size_t at = position->after.empty() ? 0 : std::stoul(position->after);
    for (size_t i = 0; i < kRangesPerCall && at < all.size(); ++i) {
      ranges->push_back(std::move(all[at++]));
    }
    position->after = absl::StrCat(at);
    position->at_end = at == all.size();
    return absl::OkStatus();
  }

  absl::Status ReadFrame(const StoredRecord& record, size_t i,
                         std::string* out) const override {
    LARDER_RETURN_IF_ERROR(status());
    if (frames_left_ > 0) --frames_left_;
    ++cache_->frames_read;
    const BlobKey& key =
        *std::static_pointer_cast<const BlobKey>(record.location);
    if (cache_->damaged_frames.contains({key, i})) {
      return absl::DataLossError(absl::StrCat("frame ", i, ": bad checksum"));
    }
    const FakeCache::Blob& blob = cache_->blobs.at(key);
    out->append(blob.frames.empty() ? cache_->make_frame(i) : blob.frames[i]);
    return absl::OkStatus();
  }

 private:
  void AddRanges(const std::string& ns, const cache::DeltaBase& base,
                 std::vector<cache::DeltaRange>* ranges) const {
    cache::DeltaRange range;
    range.ns = ns;
    size_t keys = 0;
    for (const BlobKey& key : keys_) {
      if (key.first != ns) continue;
      if (keys++ == cache_->delta_range_keys) {
        keys = 1;
        range.until = key.second;
        ranges->push_back(std::exchange(range, {}));
        range.ns = ns;
        range.from = key.second;
      }
      StoredRecord record = cache_->blobs.at(key).record;
      if (record.attributes.hlc <= base.complete_through) {
        range.kept.push_back(Fingerprint(record));
      } else {
        record.location = std::make_shared<BlobKey>(key);
        range.changed.push_back(std::move(record));
      }
    }
    ranges->push_back(std::move(range));
  }

  FakeCache* const cache_;
  std::vector<BlobKey> keys_;
  mutable int64_t frames_left_;
};

class FakeLoader : public cache::L2Loader {
 public:
  explicit FakeLoader(FakeCache* cache) : cache_(cache) {}

  absl::Status Begin(const StoredRecord& record) override {
    LARDER_CHECK(!open_);
    open_ = true;
    blob_ = {};
    blob_.record = record;
    return absl::OkStatus();
  }
  absl::Status AppendFrame(absl::string_view stored) override {
    LARDER_CHECK(open_);
    const size_t i = blob_.frames.size();
    LARDER_CHECK(i < blob_.record.frames.size());
    if (format::Checksum64(stored) != blob_.record.frames[i].checksum) {
      return absl::DataLossError("frame: bad checksum");
    }
    blob_.frames.emplace_back(stored);
    return absl::OkStatus();
  }
  absl::Status Finish() override {
    LARDER_CHECK(open_ && blob_.frames.size() == blob_.record.frames.size());
    open_ = false;
    BlobKey key{blob_.record.ns, blob_.record.key};
    LARDER_CHECK(cache_->blobs.emplace(key, std::move(blob_)).second);
    return absl::OkStatus();
  }
  absl::Status StartDelta() override { return absl::OkStatus(); }
  absl::StatusOr<int64_t> KeepOnly(
      absl::string_view ns, absl::string_view from, absl::string_view until,
      absl::Span<const uint64_t> kept,
      absl::FunctionRef<void(absl::string_view)> removed) override {
    std::set<uint64_t> wanted(kept.begin(), kept.end());
    auto it = cache_->blobs.lower_bound({std::string(ns), std::string(from)});
    while (it != cache_->blobs.end() && it->first.first == ns &&
           (until.empty() || it->first.second < until)) {
      if (wanted.erase(Fingerprint(it->second.record)) > 0) {
        ++it;
      } else {
        removed(it->first.second);
        it = cache_->blobs.erase(it);
      }
    }
    return static_cast<int64_t>(wanted.size());
  }
  void Abandon() override { open_ = false; }
  absl::StatusOr<SnapshotInfo> Close() override {
    LARDER_CHECK(!open_);
    cache_->info.lineage = "restored";
    cache_->Snapshot();  // Fills the counts.
    return cache_->info;
  }

 private:
  FakeCache* const cache_;
  bool open_ = false;
  FakeCache::Blob blob_;
};

}  // namespace

FakeCache::FakeCache() {
  info.lineage = "5f0f7b36-0000-4000-8000-000000000001";
  info.epoch = 7;
  info.hlc.value = 1 << 20;
  info.complete_through = info.hlc;
}

void FakeCache::Put(const std::string& ns, const std::string& key,
                    absl::string_view bytes, uint64_t hlc, size_t frame_bytes) {
  Blob blob;
  StoredRecord& record = blob.record;
  record.ns = ns;
  record.key = key;
  record.attributes.hlc.value = hlc;
  record.attributes.version = bytes.size();
  record.raw_bytes = record.stored_bytes = bytes.size();
  for (; !bytes.empty();) {
    const absl::string_view frame = bytes.substr(0, frame_bytes);
    const uint32_t size = static_cast<uint32_t>(frame.size());
    record.frames.push_back({.stored_bytes = size,
                             .raw_bytes = size,
                             .zstd = false,
                             .checksum = format::Checksum64(frame)});
    blob.frames.emplace_back(frame);
    bytes.remove_prefix(frame.size());
  }
  record.payload_checksum = PayloadChecksum(record);
  blobs[{ns, key}] = std::move(blob);
}

void FakeCache::PutGenerated(const std::string& ns, const std::string& key,
                             size_t frames, size_t frame_bytes) {
  Blob blob;
  blob.record.ns = ns;
  blob.record.key = key;
  blob.record.attributes.hlc.value = 1;
  for (size_t i = 0; i < frames; ++i) {
    const uint32_t size = static_cast<uint32_t>(frame_bytes);
    blob.record.frames.push_back(
        {.stored_bytes = size,
         .raw_bytes = size,
         .zstd = false,
         .checksum = format::Checksum64(make_frame(i))});
  }
  blob.record.raw_bytes = blob.record.stored_bytes = frames * frame_bytes;
  blobs[{ns, key}] = std::move(blob);
}

std::string FakeCache::Bytes(const BlobKey& key) const {
  std::string bytes;
  for (const std::string& frame : blobs.at(key).frames) bytes += frame;
  return bytes;
}

absl::uint128 FakeCache::Digest() const {
  absl::uint128 digest = 0;
  for (const auto& [key, blob] : blobs) digest ^= DigestTerm(blob.record);
  return digest;
}

std::unique_ptr<cache::Snapshot> FakeCache::Snapshot() {
  info.content_digest = Digest();
  info.records = static_cast<int64_t>(blobs.size());
  info.raw_bytes = info.stored_bytes = 0;
  for (const auto& [key, blob] : blobs) {
    info.raw_bytes += static_cast<int64_t>(blob.record.raw_bytes);
    info.stored_bytes += static_cast<int64_t>(blob.record.stored_bytes);
  }
  return std::make_unique<FakeSnapshot>(this);
}

std::unique_ptr<cache::L2Loader> FakeCache::Loader(
    const std::string& path, cache::l2::FileSystem* file_system,
    const SnapshotInfo& source) {
  LARDER_CHECK(file_system->CreateDirectories(path).ok());
  auto file = file_system->Open(path + "/meta", {.create = true});
  LARDER_CHECK(file.ok());
  info.namespaces = source.namespaces;
  info.tombstones = source.tombstones;
  info.hlc = source.hlc;
  return std::make_unique<FakeLoader>(this);
}

std::string RandomBytes(uint64_t seed, size_t bytes) {
  std::mt19937_64 random(seed);
  std::string out(bytes, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

FakeCache MakeFakeCache(int count, size_t bytes) {
  FakeCache cache;
  for (int i = 0; i < count; ++i) {
    const size_t size = i % 7 == 0 ? 0 : bytes / 2 + (bytes * i) / count;
    cache.Put(i % 3 == 0 ? "pages" : "images", absl::StrCat("key-", i),
              RandomBytes(static_cast<uint64_t>(i), size),
              static_cast<uint64_t>(100 + i));
  }
  cache.info.namespaces = {
      {.name = "images", .generation = 2, .flushed_at = {50}},
      {.name = "pages", .generation = 0, .flushed_at = {0}}};
  cache.info.tombstones = {{.kind = cache::TombstoneKind::kPrefix,
                            .ns = "pages",
                            .value = "old/",
                            .hlc = {60}}};
  return cache;
}

}  // namespace larder::backup
