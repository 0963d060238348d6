#include "cache/l2/record_loader.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "cache/l2/chain.h"
#include "cache/l2/stored_record.h"
#include "cache/name_hash.h"
#include "cache/policy.h"
#include "cache/record_fingerprint.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// Records that one look at the tree may find gone.
constexpr size_t kGoneMax = 4096;

}  // namespace

absl::Status CheckLoadedTombstone(const Tombstone& t) {
  const bool hashed =
      t.kind == TombstoneKind::kTag || t.kind == TombstoneKind::kDependency;
  if ((!hashed && t.kind != TombstoneKind::kPrefix) ||
      (hashed && t.value.size() != sizeof(uint64_t)) ||
      t.value.size() > static_cast<size_t>(kKeyBytesMax)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tombstone: impossible kind ", static_cast<int>(t.kind), " or value"));
  }
  return CheckHlc(t.hlc);
}

absl::Status RecordLoader::Begin(const StoredRecord& record) {
  Abandon();
  LARDER_RETURN_IF_ERROR(ValidateNamespace(record.ns));
  LARDER_ASSIGN_OR_RETURN(const Namespace* ns,
                          namespaces_->FindOrCreate(record.ns));
  LARDER_ASSIGN_OR_RETURN(NewRecord made, MakeStored(ns->id(), record));
  Pending p;
  p.put = {std::move(made.record_key), std::move(made.record)};
  p.frames = record.frames;
  p.offset = made.header.size();
  Record& r = p.put.record;
  if (FitsInline(p.put.record_key, r)) {
    p.inline_chain = std::move(made.header);
  } else {
    LARDER_ASSIGN_OR_RETURN(
        r.extents, store_->AllocateChain(p.put.record_key, r, may_evict_));
    if (absl::Status s =
            WriteChainBytes(store_->blobs(), r.extents, 0, made.header);
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
  if (p.put.record.extents.empty()) {
    p.inline_chain.append(stored.data(), stored.size());
  } else {
    LARDER_RETURN_IF_ERROR(WriteChainBytes(
        store_->blobs(), p.put.record.extents, p.offset, stored));
  }
  p.offset += stored.size();
  ++p.next_frame;
  return absl::OkStatus();
}

absl::StatusOr<PreparedPut> RecordLoader::Finish() {
  if (!pending_.has_value() ||
      pending_->next_frame != pending_->frames.size()) {
    return absl::FailedPreconditionError("loader: frames are missing");
  }
  Pending p = *std::exchange(pending_, std::nullopt);
  p.put.record.inline_chain = std::move(p.inline_chain);
  return std::move(p.put);
}

void RecordLoader::Abandon() {
  if (pending_.has_value()) {
    store_->FreeUnlinked(pending_->put.record.extents);
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
