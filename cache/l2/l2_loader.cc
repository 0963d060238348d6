// Filling a new L2 with the records of a snapshot, as they were.
#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cache/access_table.h"
#include "cache/check.h"
#include "cache/hlc.h"
#include "cache/key_locks.h"
#include "cache/l2/chain.h"
#include "cache/l2/hash.h"
#include "cache/l2/l2_store.h"
#include "cache/l2/stored_record.h"
#include "cache/l2/system_tree.h"
#include "cache/name_hash.h"
#include "cache/namespace_table.h"
#include "cache/options.h"
#include "cache/policy.h"
#include "cache/record_fingerprint.h"
#include "cache/snapshot.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// Commits so often that staging and free pages stay small.
constexpr int64_t kRecordsPerCommit = 4096;

class Loader : public L2Loader {
 public:
  static absl::StatusOr<std::unique_ptr<L2Loader>> Create(
      BlobCacheOptions options, const SnapshotInfo& source);
  ~Loader() override { Abandon(); }

  absl::Status Begin(const StoredRecord& record) override;
  absl::Status AppendFrame(absl::string_view stored) override;
  absl::Status Finish() override;
  void Abandon() override;
  absl::Status StartDelta() override;
  absl::StatusOr<int64_t> KeepOnly(
      absl::string_view ns, absl::string_view from, absl::string_view until,
      absl::Span<const uint64_t> kept,
      absl::FunctionRef<void(absl::string_view key)> removed) override;
  absl::StatusOr<SnapshotInfo> Close() override;

 private:
  explicit Loader(const Clock* clock, int32_t namespaces_max)
      : namespaces_(namespaces_max), hlc_(clock) {}
  // The record begun.
  struct Pending {
    std::string record_key;
    Record record;
    std::vector<Frame> frames;
    size_t next_frame = 0;
    uint64_t offset = 0;  // In the chain.
    std::string inline_chain;
  };

  absl::Status CommitIfMany();
  absl::Status TakeOver(const SnapshotInfo& source);
  absl::Status TakeOver(const NamespaceState& state);
  absl::Status TakeOver(const Tombstone& tombstone);
  // Notes which tombstones cover the record.
  void NoteCoverage(const Pending& p);
  // A snapshot does not say which of its tombstones are spent, and may be of
  // several stores: more than may be live.
  absl::Status SpendTombstones();

  NamespaceTable namespaces_;
  HlcClock hlc_;
  KeyLocks key_locks_;
  AccessTable accesses_;
  std::unique_ptr<L2Store> store_;
  std::optional<Pending> pending_;
  struct Loaded {
    Tombstone tombstone;
    bool covers = false;  // A record that was loaded.
  };
  // By their key in the system tree.
  absl::flat_hash_map<std::string, Loaded> tombstones_;
  int64_t since_commit_ = 0;
};

absl::StatusOr<std::vector<Lineage>> AncestorsOfNew(
    const SnapshotInfo& source) {
  std::vector<std::string> texts = {source.lineage};
  texts.insert(texts.end(), source.ancestors.begin(), source.ancestors.end());
  if (texts.size() > kAncestorsMax) texts.resize(kAncestorsMax);
  std::vector<Lineage> ancestors;
  for (const std::string& text : texts) {
    const std::optional<Lineage> lineage = ParseLineage(text);
    if (!lineage.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("lineage: '", absl::CHexEscape(text), "' vs a UUID"));
    }
    ancestors.push_back(*lineage);
  }
  return ancestors;
}

absl::StatusOr<std::unique_ptr<L2Loader>> Loader::Create(
    BlobCacheOptions options, const SnapshotInfo& source) {
  if (options.clock == nullptr) options.clock = SystemClock();
  if (options.file_system == nullptr) options.file_system = PosixFileSystem();
  options.background_commits = false;
  // What is published once it is whole must be on the disk by then.
  if (options.durability == Durability::kNone) {
    options.durability = Durability::kInterval;
  }
  options.l2_must_exist = false;
  LARDER_ASSIGN_OR_RETURN(const std::vector<Lineage> ancestors,
                          AncestorsOfNew(source));
  std::unique_ptr<Loader> loader(
      new Loader(options.clock, std::numeric_limits<int32_t>::max()));
  LARDER_ASSIGN_OR_RETURN(
      loader->store_,
      L2Store::Create(options,
                      {&loader->namespaces_, &loader->hlc_, &loader->key_locks_,
                       &loader->accesses_, options.clock, nullptr, nullptr},
                      ancestors));
  LARDER_RETURN_IF_ERROR(loader->TakeOver(source));
  return std::unique_ptr<L2Loader>(std::move(loader));
}

// No commit is held up meanwhile: what is staged is in the epoch for a moment
// only, and what is forgotten is said outside of it.
absl::Status Loader::TakeOver(const SnapshotInfo& source) {
  LARDER_RETURN_IF_ERROR(CheckHlc(source.hlc));
  hlc_.Observe(source.hlc);
  for (const NamespaceState& n : source.namespaces) {
    LARDER_RETURN_IF_ERROR(TakeOver(n));
  }
  for (const Tombstone& t : source.tombstones) {
    LARDER_RETURN_IF_ERROR(TakeOver(t));
  }
  return absl::OkStatus();
}

absl::Status Loader::TakeOver(const NamespaceState& n) {
  LARDER_RETURN_IF_ERROR(CheckHlc(n.forgotten_through));
  LARDER_RETURN_IF_ERROR(CheckHlc(n.flushed_at));
  LARDER_ASSIGN_OR_RETURN(Namespace * ns, namespaces_.FindOrCreate(n.name));
  store_->SetForgotten(*ns, n.forgotten_through);
  if (n.generation == 0 && n.flushed_at.value == 0) return absl::OkStatus();
  hlc_.Observe(n.flushed_at);
  ns->Flush(n.flushed_at, n.generation);
  return store_->StageTombstone(
      store_->epoch_lock()->Enter(),
      {TombstoneKind::kNamespace, n.name, "", n.flushed_at}, n.generation);
}

absl::Status Loader::TakeOver(const Tombstone& t) {
  const bool hashed =
      t.kind == TombstoneKind::kTag || t.kind == TombstoneKind::kDependency;
  if ((!hashed && t.kind != TombstoneKind::kPrefix) ||
      (hashed && t.value.size() != sizeof(uint64_t)) ||
      t.value.size() > static_cast<size_t>(kKeyBytesMax)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tombstone: impossible kind ", static_cast<int>(t.kind), " or value"));
  }
  LARDER_RETURN_IF_ERROR(CheckHlc(t.hlc));
  LARDER_ASSIGN_OR_RETURN(Namespace * ns, namespaces_.FindOrCreate(t.ns));
  hlc_.Observe(t.hlc);
  ns->Add(t);
  Loaded& loaded = tombstones_[TombstoneEntryKey(ns->id(), t)];
  if (loaded.tombstone.hlc <= t.hlc) loaded.tombstone = t;
  return store_->StageTombstone(store_->epoch_lock()->Enter(), t, 0);
}

void Loader::NoteCoverage(const Pending& p) {
  uint32_t id;
  absl::string_view key;
  LARDER_CHECK(SplitRecordKey(p.record_key, &id, &key));
  const Namespace* ns = namespaces_.FindById(id);
  if (ns->IsValid(key, p.record.hlc, p.record.invalidation_hashes)) return;
  const auto note = [&](TombstoneKind kind, absl::string_view value) {
    const auto it = tombstones_.find(
        TombstoneEntryKey(id, {kind, ns->name(), std::string(value), Hlc()}));
    if (it != tombstones_.end() && p.record.hlc <= it->second.tombstone.hlc) {
      it->second.covers = true;
    }
  };
  for (const uint64_t hash : p.record.invalidation_hashes) {
    const absl::string_view value(reinterpret_cast<const char*>(&hash),
                                  sizeof(hash));
    note(TombstoneKind::kTag, value);
    note(TombstoneKind::kDependency, value);
  }
  for (size_t length = 1; length <= key.size(); ++length) {
    note(TombstoneKind::kPrefix, key.substr(0, length));
  }
}

// The HLC up to which all must go that tombstones cover, so that no more of
// them are live than may be.
Hlc FlushForTooMany(std::vector<Hlc> live) {
  constexpr size_t kLiveMax = static_cast<size_t>(Namespace::kTombstonesMax);
  if (live.size() <= kLiveMax) return Hlc();
  const auto newest_to_go = live.end() - kLiveMax - 1;
  std::nth_element(live.begin(), newest_to_go, live.end());
  return *newest_to_go;
}

absl::Status Loader::SpendTombstones() {
  absl::flat_hash_map<Namespace*, std::vector<Hlc>> live;
  for (const auto& [key, loaded] : tombstones_) {
    const Tombstone& t = loaded.tombstone;
    if (loaded.covers) live[namespaces_.Find(t.ns)].push_back(t.hlc);
  }
  for (auto& [ns, hlcs] : live) {
    const Hlc flushed_at = FlushForTooMany(std::move(hlcs));
    if (flushed_at <= ns->flushed_at()) continue;
    ns->Flush(flushed_at, ns->generation());
    LARDER_RETURN_IF_ERROR(store_->StageTombstone(
        store_->epoch_lock()->Enter(),
        {TombstoneKind::kNamespace, ns->name(), "", flushed_at},
        ns->generation()));
  }
  for (const auto& [key, loaded] : tombstones_) {
    const Tombstone& t = loaded.tombstone;
    if (!loaded.covers || t.hlc <= namespaces_.Find(t.ns)->flushed_at()) {
      store_->StageSpent(store_->epoch_lock()->Enter(), t);
    }
  }
  return absl::OkStatus();
}

absl::Status Loader::Begin(const StoredRecord& record) {
  Abandon();
  LARDER_RETURN_IF_ERROR(ValidateNamespace(record.ns));
  LARDER_ASSIGN_OR_RETURN(const Namespace* ns,
                          namespaces_.FindOrCreate(record.ns));
  LARDER_ASSIGN_OR_RETURN(NewRecord made, MakeStored(ns->id(), record));
  Pending p;
  p.record_key = std::move(made.record_key);
  p.record = std::move(made.record);
  p.frames = record.frames;
  p.offset = made.header.size();
  if (FitsInline(p.record_key, p.record)) {
    p.inline_chain = std::move(made.header);
  } else {
    LARDER_ASSIGN_OR_RETURN(
        p.record.extents,
        store_->AllocateChain(p.record_key, p.record, /*may_evict=*/false));
    if (absl::Status s =
            WriteChainBytes(store_->blobs(), p.record.extents, 0, made.header);
        !s.ok()) {
      store_->FreeUnlinked(p.record.extents);
      return s;
    }
  }
  pending_ = std::move(p);
  return absl::OkStatus();
}

absl::Status Loader::AppendFrame(absl::string_view stored) {
  if (!pending_.has_value() ||
      pending_->next_frame >= pending_->frames.size()) {
    return absl::FailedPreconditionError("loader: no frame is expected");
  }
  Pending& p = *pending_;
  LARDER_RETURN_IF_ERROR(VerifyFrame(p.frames[p.next_frame], stored));
  if (p.record.extents.empty()) {
    p.inline_chain.append(stored.data(), stored.size());
  } else {
    LARDER_RETURN_IF_ERROR(
        WriteChainBytes(store_->blobs(), p.record.extents, p.offset, stored));
  }
  p.offset += stored.size();
  ++p.next_frame;
  return absl::OkStatus();
}

absl::Status Loader::Finish() {
  if (!pending_.has_value() ||
      pending_->next_frame != pending_->frames.size()) {
    return absl::FailedPreconditionError("loader: frames are missing");
  }
  Pending p = *std::exchange(pending_, std::nullopt);
  p.record.inline_chain = std::move(p.inline_chain);
  hlc_.Observe(p.record.hlc);
  NoteCoverage(p);
  store_->StageLoaded(std::move(p.record_key), std::move(p.record));
  ++since_commit_;
  return CommitIfMany();
}

absl::Status Loader::CommitIfMany() {
  if (since_commit_ < kRecordsPerCommit) return absl::OkStatus();
  since_commit_ = 0;
  return store_->CommitNow();
}

void Loader::Abandon() {
  if (pending_.has_value()) store_->FreeUnlinked(pending_->record.extents);
  pending_.reset();
}

absl::Status Loader::StartDelta() {
  Abandon();
  since_commit_ = 0;
  return store_->CommitNow();
}

// Reads what is committed: of the delta under way nothing else is in the range.
absl::StatusOr<int64_t> Loader::KeepOnly(
    absl::string_view ns_name, absl::string_view from, absl::string_view until,
    absl::Span<const uint64_t> kept,
    absl::FunctionRef<void(absl::string_view key)> removed) {
  const absl::flat_hash_set<uint64_t> wanted(kept.begin(), kept.end());
  int64_t missing = static_cast<int64_t>(wanted.size());
  const Namespace* ns = namespaces_.Find(ns_name);
  if (ns == nullptr) return missing;
  const uint64_t name_seed = NameSeed(ns_name);
  const std::string end =
      until.empty() ? RecordKey(ns->id() + 1, "") : RecordKey(ns->id(), until);
  std::optional<std::string> next = RecordKey(ns->id(), from);
  while (next.has_value()) {
    std::vector<std::pair<std::string, Hlc>> gone;
    const std::string start = *std::exchange(next, std::nullopt);
    LARDER_RETURN_IF_ERROR(store_->WalkCommitted(
        start, [&](absl::string_view record_key, absl::string_view value) {
          if (record_key >= end) return false;
          if (static_cast<int64_t>(gone.size()) == kRecordsPerCommit) {
            next = std::string(record_key);
            return false;
          }
          const absl::string_view key = record_key.substr(kNamespaceIdBytes);
          Hlc hlc;
          if (DecodeHlc(value, &hlc) && wanted.contains(RecordFingerprint(
                                            NameHash(name_seed, key), hlc))) {
            --missing;
          } else {
            gone.emplace_back(std::string(key), hlc);
          }
          return true;
        }));
    for (const auto& [key, hlc] : gone) {
      LARDER_RETURN_IF_ERROR(store_->StageRemove(store_->epoch_lock()->Enter(),
                                                 *ns, key, hlc,
                                                 /*journal=*/false));
      removed(key);
    }
    since_commit_ += static_cast<int64_t>(gone.size());
    LARDER_RETURN_IF_ERROR(CommitIfMany());
  }
  return missing;
}

absl::StatusOr<SnapshotInfo> Loader::Close() {
  Abandon();
  LARDER_RETURN_IF_ERROR(SpendTombstones());
  // Without any record, too, there may be what is forgotten.
  LARDER_RETURN_IF_ERROR(store_->CommitNow(/*even_if_empty=*/true));
  const SnapshotInfo info = store_->Info();
  LARDER_RETURN_IF_ERROR(store_->Close());
  return info;
}

}  // namespace
}  // namespace larder::cache::l2

namespace larder::cache {

absl::StatusOr<std::unique_ptr<L2Loader>> CreateL2Loader(
    const BlobCacheOptions& options, const SnapshotInfo& source) {
  return l2::Loader::Create(options, source);
}

}  // namespace larder::cache
