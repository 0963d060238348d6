#include "cache/l2/record_loader.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cache/l2/chain.h"
#include "cache/name_hash.h"
#include "cache/policy.h"
#include "cache/record_fingerprint.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

constexpr uint64_t kHlcMax = uint64_t{1} << 62;
// Records that one look at the tree may find gone.
constexpr size_t kGoneMax = 4096;

absl::Status CheckAttributes(const BlobAttributes& a) {
  PutOptions o;
  o.tags = a.tags;
  o.dependencies = a.dependencies;
  o.metadata = a.metadata;
  LARDER_RETURN_IF_ERROR(ValidatePutOptions(o));
  if (a.invalidation_hashes.size() != a.tags.size() + a.dependencies.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("invalidation hashes: ", a.invalidation_hashes.size(),
                     " vs expected ", a.tags.size() + a.dependencies.size()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckLoadedHlc(Hlc hlc) {
  if (hlc.value <= kHlcMax) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("hlc: ", hlc.value, " exceeds ", kHlcMax));
}

absl::Status CheckLoadedTombstone(const Tombstone& t) {
  const bool hashed =
      t.kind == TombstoneKind::kTag || t.kind == TombstoneKind::kDependency;
  if ((!hashed && t.kind != TombstoneKind::kPrefix) ||
      (hashed && t.value.size() != sizeof(uint64_t)) ||
      t.value.size() > static_cast<size_t>(kKeyBytesMax)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tombstone: impossible kind ", static_cast<int>(t.kind), " or value"));
  }
  return CheckLoadedHlc(t.hlc);
}

absl::Status RecordLoader::Begin(const StoredRecord& record) {
  Abandon();
  const auto in = [&](absl::Status s) {
    return s.ok() ? s
                  : absl::Status(s.code(),
                                 absl::StrCat(absl::CHexEscape(record.ns), "/",
                                              absl::CHexEscape(record.key),
                                              ": ", s.message()));
  };
  LARDER_RETURN_IF_ERROR(in(ValidateKey(record.key)));
  LARDER_RETURN_IF_ERROR(in(CheckAttributes(record.attributes)));
  LARDER_ASSIGN_OR_RETURN(const Namespace* ns,
                          namespaces_->FindOrCreate(record.ns));
  ChainHeader header;
  header.name_hash = NameHash(record.ns, record.key);
  header.raw_bytes = record.raw_bytes;
  header.stored_bytes = record.stored_bytes;
  header.frames = record.frames;
  header.tags = record.attributes.tags;
  header.dependencies = record.attributes.dependencies;
  header.metadata = record.attributes.metadata;
  const std::string bytes = EncodeChainHeader(header);
  LARDER_RETURN_IF_ERROR(in(CheckFrames(header)));
  Pending p;
  Record& r = p.loaded.record;
  r = MakeRecord(record.attributes, header, bytes);
  if (r.payload_checksum != record.payload_checksum) {
    return in(absl::DataLossError(
        absl::StrCat("payload checksum: found ", r.payload_checksum,
                     " vs expected ", record.payload_checksum)));
  }
  p.loaded.record_key = RecordKey(ns->id(), record.key);
  r.hlc = record.attributes.hlc;
  r.rank = record.attributes.hlc.value;
  r.last_access_unix_ms = record.last_access_unix_ms;
  LARDER_RETURN_IF_ERROR(in(CheckLoadedHlc(record.attributes.hlc)));
  p.frames = record.frames;
  p.offset = bytes.size();
  if (r.last_access_unix_ms < 0 ||
      r.last_access_unix_ms >= (int64_t{1} << 48)) {
    return in(absl::InvalidArgumentError(absl::StrCat(
        "last access: ", r.last_access_unix_ms, " ms vs 0 to 2^48")));
  }
  if (FitsInline(p.loaded.record_key, r)) {
    p.inline_chain = bytes;
  } else {
    LARDER_ASSIGN_OR_RETURN(r.extents,
                            store_->AllocateChain(p.loaded.record_key, r,
                                                  /*may_evict=*/false));
    if (absl::Status s = WriteChainBytes(store_->blobs(), r.extents, 0, bytes);
        !s.ok()) {
      store_->FreeUnlinked(r.extents);
      return s;
    }
  }
  pending_ = std::move(p);
  return absl::OkStatus();
}

absl::Status RecordLoader::AppendFrame(absl::string_view stored) {
  if (!pending_.has_value() ||
      pending_->next_frame >= pending_->frames.size()) {
    return absl::FailedPreconditionError("loader: no frame is expected");
  }
  Pending& p = *pending_;
  LARDER_RETURN_IF_ERROR(VerifyFrame(p.frames[p.next_frame], stored));
  if (p.loaded.record.extents.empty()) {
    p.inline_chain.append(stored.data(), stored.size());
  } else {
    LARDER_RETURN_IF_ERROR(WriteChainBytes(
        store_->blobs(), p.loaded.record.extents, p.offset, stored));
  }
  p.offset += stored.size();
  ++p.next_frame;
  return absl::OkStatus();
}

absl::StatusOr<RecordLoader::Loaded> RecordLoader::Finish() {
  if (!pending_.has_value() ||
      pending_->next_frame != pending_->frames.size()) {
    return absl::FailedPreconditionError("loader: frames are missing");
  }
  Pending p = *std::exchange(pending_, std::nullopt);
  p.loaded.record.inline_chain = std::move(p.inline_chain);
  return std::move(p.loaded);
}

void RecordLoader::Abandon() {
  if (pending_.has_value()) {
    store_->FreeUnlinked(pending_->loaded.record.extents);
  }
  pending_.reset();
}

absl::StatusOr<int64_t> ForEachNotKept(
    const L2Store& store, const Namespace& ns, absl::string_view from,
    absl::string_view until, absl::Span<const uint64_t> kept,
    absl::FunctionRef<absl::Status(absl::string_view key, Hlc hlc)> gone) {
  const absl::flat_hash_set<uint64_t> wanted(kept.begin(), kept.end());
  int64_t missing = static_cast<int64_t>(wanted.size());
  const uint64_t name_seed = NameSeed(ns.name());
  const std::string end =
      until.empty() ? RecordKey(ns.id() + 1, "") : RecordKey(ns.id(), until);
  std::optional<std::string> next = RecordKey(ns.id(), from);
  while (next.has_value()) {
    std::vector<std::pair<std::string, Hlc>> found;
    const std::string start = *std::exchange(next, std::nullopt);
    LARDER_RETURN_IF_ERROR(store.WalkCommitted(
        start, [&](absl::string_view record_key, absl::string_view value) {
          if (record_key >= end) return false;
          if (found.size() == kGoneMax) {
            next = std::string(record_key);
            return false;
          }
          const absl::string_view key = record_key.substr(kNamespaceIdBytes);
          Hlc hlc;
          if (DecodeHlc(value, &hlc) && wanted.contains(RecordFingerprint(
                                            NameHash(name_seed, key), hlc))) {
            --missing;
          } else {
            found.emplace_back(std::string(key), hlc);
          }
          return true;
        }));
    for (const auto& [key, hlc] : found) LARDER_RETURN_IF_ERROR(gone(key, hlc));
  }
  return missing;
}

}  // namespace larder::cache::l2
