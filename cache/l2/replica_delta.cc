#include "cache/l2/replica_delta.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "cache/check.h"
#include "cache/l2/record.h"
#include "cache/l2/stored_record.h"
#include "cache/l2/system_tree.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// All records are asked which tombstones cover them when so many are live, and
// twice as many as the last time: a look at each record is a microsecond.
constexpr int64_t kLiveMin = 1024;

}  // namespace

ReplicaDelta::ReplicaDelta(const Place& place, std::string note,
                           const ReplicaL2::DeltaLimits& limits)
    : place_(place),
      limits_(limits),
      validity_(std::numeric_limits<int32_t>::max()),
      records_(place.store, place.namespaces) {
  state_.note = std::move(note);
}

absl::StatusOr<std::unique_ptr<L2Loader>> ReplicaDelta::Start(
    const Place& place, const SnapshotInfo& target, std::string note,
    const ReplicaL2::DeltaLimits& limits) {
  LARDER_RETURN_IF_ERROR(place.store->usable());
  place.store->ReleaseFreed();
  auto delta = std::unique_ptr<ReplicaDelta>(
      new ReplicaDelta(place, std::move(note), limits));
  LARDER_RETURN_IF_ERROR(delta->TakeOver(target));
  return std::unique_ptr<L2Loader>(std::move(delta));
}

ReplicaDelta::~ReplicaDelta() {
  records_.Abandon();
  if (!closed_) place_.store->DropStaged();
}

absl::Status ReplicaDelta::TakeOver(const SnapshotInfo& target) {
  LARDER_RETURN_IF_ERROR(CheckHlc(target.hlc));
  newest_ = target.hlc;
  state_.content_digest = target.content_digest;
  state_.namespaces = target.namespaces;
  for (const NamespaceState& n : target.namespaces) {
    LARDER_RETURN_IF_ERROR(CheckHlc(n.flushed_at));
    LARDER_RETURN_IF_ERROR(CheckHlc(n.forgotten_through));
    newest_ = std::max({newest_, n.flushed_at, n.forgotten_through});
    LARDER_ASSIGN_OR_RETURN(const Namespace* own,
                            place_.namespaces->FindOrCreate(n.name));
    LARDER_ASSIGN_OR_RETURN(Namespace * ns,
                            validity_.Restore(n.name, own->id()));
    ns->Flush(n.flushed_at, n.generation);
  }
  for (const Tombstone& t : target.tombstones) {
    LARDER_RETURN_IF_ERROR(CheckLoadedTombstone(t));
    newest_ = std::max(newest_, t.hlc);
    Namespace* const ns = validity_.Find(t.ns);
    if (ns == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("tombstone: of unknown namespace ", t.ns));
    }
    ns->Add(t);
    coverage_.Add(*ns, t);
  }
  return absl::OkStatus();
}

absl::Status ReplicaDelta::Count(absl::string_view record_key,
                                 uint64_t inline_bytes) {
  // What is overwritten went before it came.
  if (!place_.store->IsStaged(record_key)) {
    ++changes_;
    bytes_ += record_key.size() + sizeof(Record);
  }
  bytes_ += inline_bytes;
  if (changes_ <= limits_.changes &&
      bytes_ <= static_cast<uint64_t>(limits_.bytes)) {
    return absl::OkStatus();
  }
  return absl::OutOfRangeError(absl::StrCat(
      "delta: more than ", limits_.changes, " changes, or ", limits_.bytes,
      " bytes of their records, vs what is applied in one commit"));
}

absl::Status ReplicaDelta::NoteStaged(absl::string_view record_key,
                                      const Record& record) {
  uint32_t id;
  absl::string_view key;
  LARDER_CHECK(SplitRecordKey(record_key, &id, &key));
  const Namespace* const ns = validity_.FindById(id);
  if (ns == nullptr) {
    return absl::InvalidArgumentError(
        "record: of a namespace that is not "
        "among those of the snapshot");
  }
  coverage_.Note(*ns, key, record);
  return absl::OkStatus();
}

absl::Status ReplicaDelta::Finish() {
  LARDER_ASSIGN_OR_RETURN(PreparedPut loaded, records_.Finish());
  absl::Status counted =
      Count(loaded.record_key, loaded.record.inline_chain.size());
  counted.Update(NoteStaged(loaded.record_key, loaded.record));
  if (!counted.ok()) {
    place_.store->FreeUnlinked(loaded.record.extents);
    return counted;
  }
  newest_ = std::max(newest_, loaded.record.hlc);
  place_.store->StageLoaded(std::move(loaded.record_key),
                            std::move(loaded.record));
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ReplicaDelta::KeepOnly(
    absl::string_view ns_name, absl::string_view from, absl::string_view until,
    absl::Span<const uint64_t> kept,
    absl::FunctionRef<void(absl::string_view key)> removed) {
  LARDER_ASSIGN_OR_RETURN(const Namespace* ns,
                          place_.namespaces->FindOrCreate(ns_name));
  return ForEachNotKept(
      *place_.store, *ns, from, until, kept,
      [&](absl::string_view key, Hlc hlc) -> absl::Status {
        LARDER_RETURN_IF_ERROR(Count(RecordKey(ns->id(), key), 0));
        LARDER_RETURN_IF_ERROR(
            place_.store->StageRemove(place_.store->epoch_lock()->Enter(), *ns,
                                      key, hlc, /*journal=*/false));
        removed(key);
        return absl::OkStatus();
      });
}

absl::Status ReplicaDelta::NoteAllRecords() {
  absl::Status bad;
  LARDER_RETURN_IF_ERROR(place_.store->WalkCommitted(
      "", [&](absl::string_view record_key, absl::string_view value) {
        if (place_.store->IsStaged(record_key)) return true;
        absl::StatusOr<Record> record = DecodeRecord(value);
        bad = record.ok() ? NoteStaged(record_key, *record) : record.status();
        return bad.ok();
      }));
  return bad;
}

void ReplicaDelta::MarkTombstones() {
  absl::flat_hash_map<std::string, std::pair<Hlc, bool>> committed;
  place_.store->ForEachCommittedTombstone(
      [&](const std::string& key, const Tombstone& t, bool spent) {
        committed.try_emplace(key, t.hlc, spent);
        if (!coverage_.entries().contains(key)) state_.gone.push_back(key);
      });
  for (const auto& [key, entry] : coverage_.entries()) {
    const auto found = committed.find(key);
    const bool is_known =
        found != committed.end() && found->second.first == entry.tombstone.hlc;
    const bool was_spent = is_known && found->second.second;
    if (is_known && !(was_spent && entry.covers)) continue;
    state_.tombstones.push_back({entry.tombstone, /*spent=*/false});
  }
}

absl::StatusOr<SnapshotInfo> ReplicaDelta::Close() {
  records_.Abandon();
  MarkTombstones();
  int64_t live = static_cast<int64_t>(state_.tombstones.size());
  absl::flat_hash_set<std::string> spent;
  place_.store->ForEachCommittedTombstone(
      [&](const std::string& key, const Tombstone&, bool is_spent) {
        if (is_spent) spent.insert(key);
        live += is_spent ? 0 : 1;
      });
  if (live > std::max(kLiveMin, 2 * *place_.live_then)) {
    LARDER_RETURN_IF_ERROR(NoteAllRecords());
    state_.tombstones.clear();
    live = 0;
    for (const auto& [key, entry] : coverage_.entries()) {
      live += entry.covers ? 1 : 0;
      if (!entry.covers && spent.contains(key)) continue;
      state_.tombstones.push_back({entry.tombstone, !entry.covers});
    }
    *place_.live_then = live;
  }
  place_.hlc->Observe(newest_);
  const absl::Status committed = place_.store->CommitReplicated(state_);
  if (absl::IsOutOfRange(committed)) {
    return absl::DataLossError(
        absl::StrCat("delta: not applied: ", committed.message()));
  }
  LARDER_RETURN_IF_ERROR(committed);
  closed_ = true;
  return place_.store->Info();
}

}  // namespace larder::cache::l2
