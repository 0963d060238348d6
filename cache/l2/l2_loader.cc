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
#include "cache/l2/hash.h"
#include "cache/l2/l2_store.h"
#include "cache/l2/record_loader.h"
#include "cache/l2/stored_record.h"
#include "cache/l2/system_tree.h"
#include "cache/l2/tombstone_coverage.h"
#include "cache/namespace_table.h"
#include "cache/options.h"
#include "cache/replica_l2.h"
#include "cache/snapshot.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// Commits so often that staging and free pages stay small.
constexpr int64_t kRecordsPerCommit = 4096;

class Loader : public L2Loader {
 public:
  static absl::StatusOr<std::unique_ptr<L2Loader>> Create(
      BlobCacheOptions options, const SnapshotInfo& source, std::string note);

  absl::Status Begin(const StoredRecord& record) override {
    return records_->Begin(record);
  }
  absl::Status AppendFrame(absl::string_view stored) override {
    return records_->AppendFrame(stored);
  }
  absl::Status Finish() override;
  void Abandon() override { records_->Abandon(); }
  absl::Status StartDelta() override;
  absl::StatusOr<int64_t> KeepOnly(
      absl::string_view ns, absl::string_view from, absl::string_view until,
      absl::Span<const uint64_t> kept,
      absl::FunctionRef<void(absl::string_view key)> removed) override;
  absl::StatusOr<SnapshotInfo> Close() override;

 private:
  explicit Loader(const Clock* clock, int32_t namespaces_max)
      : namespaces_(namespaces_max), hlc_(clock) {}
  absl::Status CommitIfMany();
  absl::Status TakeOver(const SnapshotInfo& source);
  absl::Status TakeOver(const NamespaceState& state);
  absl::Status TakeOver(const Tombstone& tombstone);
  // A snapshot does not say which of its tombstones are spent, and may be of
  // several stores: more than may be live.
  absl::Status SpendTombstones();

  NamespaceTable namespaces_;
  HlcClock hlc_;
  KeyLocks key_locks_;
  AccessTable accesses_;
  std::unique_ptr<L2Store> store_;
  std::optional<RecordLoader> records_;
  TombstoneCoverage coverage_;
  // Empty: what it makes is no replica.
  std::string note_;
  std::optional<absl::uint128> content_digest_;
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
    BlobCacheOptions options, const SnapshotInfo& source, std::string note) {
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
  loader->records_.emplace(loader->store_.get(), &loader->namespaces_);
  if (!note.empty()) {
    loader->note_ = std::move(note);
    loader->content_digest_ = source.content_digest;
  }
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
  LARDER_RETURN_IF_ERROR(store_->CommitIfDue(/*may_evict=*/false));
  return store_->StageTombstone(
      store_->epoch_lock()->Enter(),
      {TombstoneKind::kNamespace, n.name, "", n.flushed_at}, n.generation);
}

absl::Status Loader::TakeOver(const Tombstone& t) {
  LARDER_RETURN_IF_ERROR(CheckLoadedTombstone(t));
  LARDER_ASSIGN_OR_RETURN(Namespace * ns, namespaces_.FindOrCreate(t.ns));
  hlc_.Observe(t.hlc);
  ns->Add(t);
  coverage_.Add(*ns, t);
  LARDER_RETURN_IF_ERROR(store_->CommitIfDue(/*may_evict=*/false));
  return store_->StageTombstone(store_->epoch_lock()->Enter(), t, 0);
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
  for (const auto& [key, loaded] : coverage_.entries()) {
    const Tombstone& t = loaded.tombstone;
    if (loaded.covers) live[namespaces_.Find(t.ns)].push_back(t.hlc);
  }
  for (auto& [ns, hlcs] : live) {
    const Hlc flushed_at = FlushForTooMany(std::move(hlcs));
    if (flushed_at <= ns->flushed_at()) continue;
    ns->Flush(flushed_at, ns->generation());
    LARDER_RETURN_IF_ERROR(store_->CommitIfDue(/*may_evict=*/false));
    LARDER_RETURN_IF_ERROR(store_->StageTombstone(
        store_->epoch_lock()->Enter(),
        {TombstoneKind::kNamespace, ns->name(), "", flushed_at},
        ns->generation()));
  }
  for (const auto& [key, loaded] : coverage_.entries()) {
    const Tombstone& t = loaded.tombstone;
    if (!loaded.covers || t.hlc <= namespaces_.Find(t.ns)->flushed_at()) {
      store_->StageSpent(store_->epoch_lock()->Enter(), t);
    }
  }
  return absl::OkStatus();
}

absl::Status Loader::Finish() {
  LARDER_ASSIGN_OR_RETURN(PreparedPut loaded, records_->Finish());
  hlc_.Observe(loaded.record.hlc);
  uint32_t id;
  absl::string_view key;
  LARDER_CHECK(SplitRecordKey(loaded.record_key, &id, &key));
  coverage_.Note(*namespaces_.FindById(id), key, loaded.record);
  store_->StageLoaded(std::move(loaded.record_key), std::move(loaded.record));
  ++since_commit_;
  return CommitIfMany();
}

absl::Status Loader::CommitIfMany() {
  if (since_commit_ < kRecordsPerCommit) return absl::OkStatus();
  since_commit_ = 0;
  return store_->CommitNow();
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
  const Namespace* ns = namespaces_.Find(ns_name);
  if (ns == nullptr) {
    return static_cast<int64_t>(
        absl::flat_hash_set<uint64_t>(kept.begin(), kept.end()).size());
  }
  return ForEachNotKept(*store_, *ns, from, until, kept,
                        [&](absl::string_view key, Hlc hlc) -> absl::Status {
                          LARDER_RETURN_IF_ERROR(store_->StageRemove(
                              store_->epoch_lock()->Enter(), *ns, key, hlc,
                              /*journal=*/false));
                          removed(key);
                          ++since_commit_;
                          return CommitIfMany();
                        });
}

absl::StatusOr<SnapshotInfo> Loader::Close() {
  Abandon();
  LARDER_RETURN_IF_ERROR(SpendTombstones());
  if (note_.empty()) {
    // Without any record, too, there may be what is forgotten.
    LARDER_RETURN_IF_ERROR(store_->CommitNow(/*even_if_empty=*/true));
  } else {
    ReplicatedState state;
    state.note = note_;
    state.content_digest = content_digest_;
    LARDER_RETURN_IF_ERROR(store_->CommitReplicated(state));
  }
  const SnapshotInfo info = store_->Info();
  LARDER_RETURN_IF_ERROR(store_->Close());
  return info;
}

}  // namespace
}  // namespace larder::cache::l2

namespace larder::cache {

absl::StatusOr<std::unique_ptr<L2Loader>> CreateL2Loader(
    const BlobCacheOptions& options, const SnapshotInfo& source) {
  return l2::Loader::Create(options, source, /*note=*/"");
}

absl::StatusOr<std::unique_ptr<L2Loader>> CreateReplicaLoader(
    const BlobCacheOptions& options, const SnapshotInfo& source,
    std::string note) {
  LARDER_RETURN_IF_ERROR(CheckReplicaNote(note));
  return l2::Loader::Create(options, source, std::move(note));
}

}  // namespace larder::cache
