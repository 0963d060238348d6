// What an L2Store does for a live replica.
#include <limits>

#include "cache/l2/l2_snapshot.h"
#include "cache/l2/l2_store.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {

absl::Status L2Store::CommitReplicated(const ReplicatedState& state) {
  MutexLock lock(&commit_mu_);
  LARDER_RETURN_IF_ERROR(CheckUsable());
  // One that failed, and was taken back: empty, and in its turn.
  if (closing_through_.has_value()) LARDER_RETURN_IF_ERROR(CloseAndCommit());
  replicated_ = &state;
  const absl::Status committed = CommitLocked(/*even_if_empty=*/true);
  replicated_ = nullptr;
  return committed;
}

void L2Store::DropStaged() {
  MutexLock lock(&commit_mu_);
  for (const uint64_t parity : {0, 1}) {
    for (const auto& [key, change] : staging_.Sorted(parity)) {
      if (change->kind == StagedChange::Kind::kPut) {
        FreeUnlinked(change->record.extents);
      }
    }
    staging_.Clear(parity);
  }
  ReleaseQuarantine();
}

absl::StatusOr<std::unique_ptr<Snapshot>> L2Store::PinForReaders() {
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  return PinNow({.owner = "replica's readers",
                 .age_ms_max = kNever,
                 .deferred_bytes_max = kNever});
}

void L2Store::ForEachCommittedTombstone(
    absl::FunctionRef<void(const std::string& key, const Tombstone& tombstone,
                           bool spent)>
        visit) const {
  MutexLock lock(&commit_mu_);
  for (const auto& [key, committed] : committed_tombstones_) {
    visit(key, committed.tombstone, committed.spent);
  }
}

absl::Status L2Store::CopyValidity(NamespaceTable* out) const {
  MutexLock lock(&commit_mu_);
  for (const auto& [id, committed] : committed_namespaces_) {
    LARDER_ASSIGN_OR_RETURN(Namespace * ns, out->Restore(committed.name, id));
    ns->Flush(committed.flushed_at, committed.generation);
  }
  for (const auto& [key, committed] : committed_tombstones_) {
    if (committed.spent) continue;
    out->Find(committed.tombstone.ns)->Add(committed.tombstone);
  }
  return absl::OkStatus();
}

}  // namespace larder::cache::l2
