// The commit: merges what is staged into new trees, makes them durable, and
// publishes them.
//
//   Advance -> merge records -> merge due, age -> merge system
//     -> sync blobs, space, meta -> superblock -> sync meta
//     -> publish root -> clear staging -> release quarantine
//
// Until the superblock is written nothing old has changed, so an error before
// leaves the epoch closed and staged, to be tried again. After a failed sync
// nothing written may be trusted, and a superblock that may be half written
// may be read back: then the store takes no more changes.
#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cache/check.h"
#include "cache/l2/commit_merge.h"
#include "cache/l2/l2_store.h"
#include "cache/l2/stored_synopsis.h"
#include "cache/l2/synopsis_builder.h"
#include "cache/l2/system_tree.h"
#include "cache/name_hash.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// `meta` grows by this share of the budget, within these bounds.
constexpr uint64_t kMetaGrowShare = 256;
constexpr uint64_t kMetaGrowPagesMin = 64;
constexpr uint64_t kMetaGrowPagesMax = 1024;
// A group commit waits for more puts for at most this share of what the last
// one took.
constexpr int kGatherShare = 4;

}  // namespace

// One attempt at committing one epoch. Single-owner, under commit_mu_.
class Commit {
 public:
  // Borrows `tombstones`, those of the last commit, `spent` of which are spent,
  // and `replicated`, which may be null.
  Commit(L2Store* store, uint64_t epoch,
         L2Store::CommittedNamespaces namespaces,
         const std::map<std::string, L2Store::CommittedTombstone>& tombstones,
         int64_t spent, const ReplicatedState* replicated)
      : store_(store),
        epoch_(epoch),
        next_(*store->root()),
        namespaces_(std::move(namespaces)),
        committed_tombstones_(tombstones),
        spent_tombstones_(spent),
        grow_([this](uint64_t pages) { return store_->GrowMeta(pages); }),
        pages_(store->files_.meta.get(), store->meta_map_.get(),
               store->meta_pages_.get(), grow_),
        replicated_(replicated),
        name_of_(
            [this](uint32_t id) -> const std::string& { return Of(id).name; }),
        merge_(store->staging_.Sorted(epoch), store->swept_.Of(epoch),
               name_of_) {
    next_.epoch = epoch;
  }

  // Writes all pages of the new trees. On error the caller calls Undo().
  absl::Status Build();
  void Undo();

  const Superblock& next() const { return next_; }
  L2Store::CommittedNamespaces TakeNamespaces() {
    return std::move(namespaces_);
  }
  const std::vector<L2Store::StagedTombstone>& tombstones() const {
    return tombstones_;
  }
  // Those among them that decide, by key in the system tree.
  const std::map<std::string, const L2Store::StagedTombstone*>& newest() const {
    return newest_;
  }
  // Spent ones that go for good, by key in the system tree.
  const std::set<std::string>& forgotten() const { return forgotten_; }
  // Has readers ask the chunks of synopses where this commit wrote them.
  void ShowSynopses();
  // Frees what the commit unlinked, once it is published.
  void FreeUnlinked();

 private:
  L2Store::CommittedNamespace& Of(uint32_t id);
  void ApplyTombstones(TreeChanges* system);
  // Before the tombstones: they may be of its namespaces.
  absl::Status ApplyReplicated(TreeChanges* system);
  void ForgetOldest();
  absl::Status UpdateSynopses(TreeChanges* system);
  void AddToSynopsis(uint32_t id, const L2Store::CommittedNamespace& ns,
                     const std::vector<absl::string_view>& keys,
                     TreeChanges* system);
  absl::Status RebuildSynopsis(uint32_t id, L2Store::CommittedNamespace* ns,
                               TreeChanges* system);
  // All chunks on pages of this commit, also where only a neighbour changed.
  absl::Status FindMovedChunks();
  void FreePages(const std::vector<uint64_t>& pages, uint64_t epoch);

  struct MovedChunk {
    Synopsis* synopsis;
    uint64_t chunk;
    const char* bytes;
  };

  L2Store* const store_;
  const uint64_t epoch_;
  Superblock next_;
  L2Store::CommittedNamespaces namespaces_;
  const std::map<std::string, L2Store::CommittedTombstone>&
      committed_tombstones_;
  const int64_t spent_tombstones_;
  const std::function<absl::Status(uint64_t)> grow_;
  CommitPages pages_;
  const ReplicatedState* const replicated_;
  const std::function<const std::string&(uint32_t)> name_of_;
  RecordsMerge merge_;
  std::vector<L2Store::StagedTombstone> tombstones_;
  std::map<std::string, const L2Store::StagedTombstone*> newest_;
  std::set<std::string> forgotten_;
  std::vector<MovedChunk> moved_;
};

L2Store::CommittedNamespace& Commit::Of(uint32_t id) {
  auto [it, added] = namespaces_.try_emplace(id);
  if (added) {
    const Namespace* ns = store_->shared_.namespaces->FindById(id);
    LARDER_CHECK(ns != nullptr);
    it->second.name = ns->name();
    it->second.changed = true;
  }
  return it->second;
}

absl::Status Commit::Build() {
  MetaPages* source = store_->meta_pages_.get();
  LARDER_ASSIGN_OR_RETURN(next_.records,
                          merge_.Apply(source, &pages_, next_.records, epoch_));
  LARDER_ASSIGN_OR_RETURN(
      next_.due, merge_.due().Apply(source, &pages_, next_.due, epoch_));
  LARDER_ASSIGN_OR_RETURN(
      next_.age, merge_.age().Apply(source, &pages_, next_.age, epoch_));
  for (const auto& [id, d] : merge_.deltas()) {
    L2Store::CommittedNamespace& ns = Of(id);
    ns.records += d.records;
    ns.raw_bytes += d.raw_bytes;
    ns.stored_bytes += d.stored_bytes;
    ns.changed = true;
    next_.record_count += static_cast<uint64_t>(d.records);
    next_.raw_bytes += static_cast<uint64_t>(d.raw_bytes);
    next_.stored_bytes += static_cast<uint64_t>(d.stored_bytes);
  }
  next_.content_digest += merge_.digest_delta();
  TreeChanges system;
  if (replicated_ != nullptr) LARDER_RETURN_IF_ERROR(ApplyReplicated(&system));
  ApplyTombstones(&system);
  LARDER_RETURN_IF_ERROR(UpdateSynopses(&system));
  for (auto& [id, ns] : namespaces_) {
    if (!ns.changed) continue;
    ns.changed = false;
    system.Put(
        NamespaceEntryKey(ns.name),
        EncodeNamespaceEntry(
            {id, ns.generation, ns.flushed_at,
             static_cast<uint64_t>(ns.records),
             static_cast<uint64_t>(ns.raw_bytes),
             static_cast<uint64_t>(ns.stored_bytes),
             ns.synopsis == nullptr ? 0 : ns.synopsis->shape().keys_max(),
             ns.synopsis_keys, ns.forgotten_through}));
  }
  LARDER_ASSIGN_OR_RETURN(next_.system,
                          system.Apply(source, &pages_, next_.system, epoch_));
  LARDER_RETURN_IF_ERROR(FindMovedChunks());
  next_.hlc = std::max(next_.hlc, store_->shared_.hlc->Last());
  // Not the sizes of the files: what they just grew by may not be mapped yet.
  next_.meta_pages = store_->meta_map_->capacity_units();
  next_.blob_units = store_->blobs_map_->capacity_units();
  next_.next_namespace_id = store_->shared_.namespaces->next_id();
  next_.unsynced = store_->options_.durability == Durability::kNone;
  return absl::OkStatus();
}

absl::Status Commit::ApplyReplicated(TreeChanges* system) {
  const std::optional<absl::uint128>& digest = replicated_->content_digest;
  if (digest.has_value() && next_.content_digest != *digest) {
    // Not kDataLoss, which is for what the disk says.
    return absl::OutOfRangeError(absl::StrFormat(
        "content digest: %016x%016x vs expected %016x%016x",
        absl::Uint128High64(next_.content_digest),
        absl::Uint128Low64(next_.content_digest), absl::Uint128High64(*digest),
        absl::Uint128Low64(*digest)));
  }
  if (replicated_->note.empty()) {
    system->Erase(kReplicaKey);
  } else {
    system->Put(kReplicaKey, replicated_->note);
  }
  for (const NamespaceState& n : replicated_->namespaces) {
    const Namespace* ns = store_->shared_.namespaces->Find(n.name);
    LARDER_CHECK(ns != nullptr);
    L2Store::CommittedNamespace& c = Of(ns->id());
    c.generation = std::max(c.generation, n.generation);
    c.flushed_at = std::max(c.flushed_at, n.flushed_at);
    c.forgotten_through = std::max(c.forgotten_through, n.forgotten_through);
    c.changed = true;
  }
  for (const ReplicatedState::Mark& mark : replicated_->tombstones) {
    tombstones_.push_back({mark.tombstone, 0, mark.spent});
  }
  forgotten_.insert(replicated_->gone.begin(), replicated_->gone.end());
  return absl::OkStatus();
}

void Commit::ApplyTombstones(TreeChanges* system) {
  {
    MutexLock lock(&store_->tombstones_mu_);
    const auto& staged = store_->staged_tombstones_[epoch_ % 2];
    tombstones_.insert(tombstones_.end(), staged.begin(), staged.end());
  }
  // Of one tombstone renewed within the epoch the newest counts; one that was
  // renewed after it was retired stays.
  for (const L2Store::StagedTombstone& s : tombstones_) {
    const Namespace* ns = store_->shared_.namespaces->Find(s.tombstone.ns);
    LARDER_CHECK(ns != nullptr);
    if (s.tombstone.kind == TombstoneKind::kNamespace) {
      L2Store::CommittedNamespace& c = Of(ns->id());
      c.generation = std::max(c.generation, s.generation);
      c.flushed_at = std::max(c.flushed_at, s.tombstone.hlc);
      c.changed = true;
      continue;
    }
    Of(ns->id());
    const auto [it, added] =
        newest_.try_emplace(TombstoneEntryKey(ns->id(), s.tombstone), &s);
    if (!added &&
        (s.tombstone.hlc > it->second->tombstone.hlc ||
         (s.tombstone.hlc == it->second->tombstone.hlc && s.retire))) {
      it->second = &s;
    }
  }
  // Nor does one go that an earlier epoch renewed after this retired it.
  std::erase_if(newest_, [&](const auto& entry) {
    const auto committed = committed_tombstones_.find(entry.first);
    return entry.second->retire && committed != committed_tombstones_.end() &&
           committed->second.tombstone.hlc > entry.second->tombstone.hlc;
  });
  ForgetOldest();
  for (const auto& [key, t] : newest_) {
    if (!forgotten_.contains(key)) {
      system->Put(key, EncodeTombstoneEntry(t->tombstone, t->retire));
    }
  }
  for (const std::string& key : forgotten_) system->Erase(key);
}

// Of spent tombstones only so many are kept. What the others cover in older
// dumps can not be told from the rest any more.
void Commit::ForgetOldest() {
  int64_t spent = spent_tombstones_;
  for (const auto& [key, t] : newest_) {
    const auto committed = committed_tombstones_.find(key);
    const bool was_spent =
        committed != committed_tombstones_.end() && committed->second.spent;
    spent += (t->retire ? 1 : 0) - (was_spent ? 1 : 0);
  }
  // So far those that a replicated state says are gone.
  for (const std::string& key : forgotten_) {
    const auto gone = committed_tombstones_.find(key);
    if (gone == committed_tombstones_.end()) continue;
    spent -= gone->second.spent ? 1 : 0;
  }
  const int64_t most = store_->SpentTombstonesMax();
  if (spent <= most) return;
  std::vector<std::pair<Hlc, const std::string*>> oldest;
  for (const auto& [key, committed] : committed_tombstones_) {
    if (committed.spent && !newest_.contains(key) &&
        !forgotten_.contains(key)) {
      oldest.emplace_back(committed.tombstone.hlc, &key);
    }
  }
  for (const auto& [key, t] : newest_) {
    if (t->retire) oldest.emplace_back(t->tombstone.hlc, &key);
  }
  // Some more than must go: each time costs a look at all of them.
  const auto end = oldest.begin() + (spent - most + most / 4);
  std::nth_element(oldest.begin(), end - 1, oldest.end());
  for (auto it = oldest.begin(); it != end; ++it) {
    L2Store::CommittedNamespace& ns = Of(TombstoneEntryNamespace(*it->second));
    ns.forgotten_through = std::max(ns.forgotten_through, it->first);
    ns.changed = true;
    forgotten_.insert(*it->second);
  }
}

absl::Status Commit::UpdateSynopses(TreeChanges* system) {
  for (const auto& [id, d] : merge_.deltas()) {
    if (d.added_keys.empty()) continue;
    L2Store::CommittedNamespace& ns = Of(id);
    ns.synopsis_keys += d.added_keys.size();
    if (ns.synopsis == nullptr ||
        ns.synopsis_keys > ns.synopsis->shape().keys_max()) {
      LARDER_RETURN_IF_ERROR(RebuildSynopsis(id, &ns, system));
    } else {
      AddToSynopsis(id, ns, d.added_keys, system);
    }
  }
  return absl::OkStatus();
}

void Commit::AddToSynopsis(uint32_t id, const L2Store::CommittedNamespace& ns,
                           const std::vector<absl::string_view>& keys,
                           TreeChanges* system) {
  const uint64_t name_seed = NameSeed(ns.name);
  std::vector<uint64_t> hashes;
  hashes.reserve(keys.size());
  for (absl::string_view key : keys) hashes.push_back(NameHash(name_seed, key));
  std::sort(hashes.begin(), hashes.end());  // Hence by chunk.
  const SynopsisShape& shape = ns.synopsis->shape();
  const auto find = [&](uint64_t chunk) {
    return FindSynopsisChunk(store_->TreeAt(store_->root()->system), id, shape,
                             chunk);
  };
  for (size_t i = 0; i < hashes.size();) {
    const uint64_t chunk = shape.PlaceOf(hashes[i]).chunk;
    std::string bytes = ns.synopsis->CopyChunk(chunk, find);
    bool changed = false;
    for (; i < hashes.size(); ++i) {
      const SynopsisShape::Place place = shape.PlaceOf(hashes[i]);
      if (place.chunk != chunk) break;
      changed |= AddToSynopsisBlock(&bytes[place.offset], hashes[i]);
    }
    if (changed) {
      system->Put(SynopsisEntryKey(id, static_cast<uint32_t>(chunk)), bytes);
    }
  }
}

absl::Status Commit::RebuildSynopsis(uint32_t id,
                                     L2Store::CommittedNamespace* ns,
                                     TreeChanges* system) {
  const uint64_t old_chunks =
      ns->synopsis == nullptr ? 0 : ns->synopsis->shape().chunks();
  LARDER_ASSIGN_OR_RETURN(
      const SynopsisBuilder built,
      BuildSynopsis(Tree(store_->meta_pages_.get(), next_.records), id,
                    ns->name, static_cast<uint64_t>(ns->records)));
  const uint64_t chunks = built.shape().chunks();
  for (uint64_t i = 0; i < std::max(old_chunks, chunks); ++i) {
    const std::string key = SynopsisEntryKey(id, static_cast<uint32_t>(i));
    if (i < chunks) {
      system->Put(key, built.Chunk(i));
    } else {
      system->Erase(key);
    }
  }
  ns->synopsis = std::make_shared<Synopsis>(built.shape().keys_max());
  ns->synopsis_keys = static_cast<uint64_t>(ns->records);
  ns->changed = true;
  return absl::OkStatus();
}

absl::Status Commit::FindMovedChunks() {
  return Tree(store_->meta_pages_.get(), next_.system)
      .VisitLeavesSince(epoch_ - 1, [&](const Tree::LeafInfo& info) {
        for (int i = 0; i < info.leaf.size(); ++i) {
          uint32_t id, chunk;
          if (!SplitSynopsisEntryKey(info.leaf.key(i), &id, &chunk)) continue;
          const auto ns = namespaces_.find(id);
          if (ns == namespaces_.end() || ns->second.synopsis == nullptr) {
            continue;
          }
          Synopsis* const synopsis = ns->second.synopsis.get();
          const absl::string_view bytes = info.leaf.value(i);
          if (chunk < synopsis->shape().chunks() &&
              bytes.size() == synopsis->shape().ChunkBytes(chunk)) {
            moved_.push_back({synopsis, chunk, bytes.data()});
          }
        }
        return absl::OkStatus();
      });
}

void Commit::ShowSynopses() {
  for (const MovedChunk& m : moved_) m.synopsis->Show(m.chunk, m.bytes);
}

void Commit::FreePages(const std::vector<uint64_t>& pages, uint64_t epoch) {
  for (uint64_t page : pages) {
    store_->quarantine_->Free(SpaceMap::Lane::kMeta, {page, 1}, epoch);
  }
}

void Commit::Undo() {
  FreePages(pages_.allocated(), 0);
  FreePages(pages_.spare(), 0);
}

void Commit::FreeUnlinked() {
  FreePages(pages_.freed(), epoch_);
  FreePages(pages_.spare(), 0);
  for (const Extent& e : merge_.freed()) {
    // What the disk says lies beyond the file is not there to be freed.
    if (e.first + e.units > store_->blobs_map_->capacity_units()) continue;
    store_->quarantine_->Free(SpaceMap::Lane::kBlobs, e, epoch_);
  }
}

// --- L2Store

int64_t L2Store::SpentTombstonesMax() const {
  // 2 MiB of a large L2's `meta`, and no more than 1/64 of a small one.
  constexpr int64_t kSpentMax = 32'768;
  constexpr int64_t kBudgetBytesPerSpent = 4096;
  return std::min(kSpentMax, options_.l2_bytes_max / kBudgetBytesPerSpent);
}

void L2Store::SetForgotten(const Namespace& ns, Hlc forgotten_through) {
  if (forgotten_through == Hlc()) return;
  MutexLock lock(&commit_mu_);
  CommittedNamespace& c = committed_namespaces_[ns.id()];
  c.name = ns.name();
  c.forgotten_through = forgotten_through;
  c.changed = true;
}

bool L2Store::NothingToCommit() const {
  return staging_.size() == 0 && swept_.size() == 0 &&
         staged_tombstones_count_.load() == 0;
}

absl::Status L2Store::CommitLocked(bool even_if_empty) {
  LARDER_RETURN_IF_ERROR(CheckUsable());
  // One that an earlier call closed, and could not commit or did not see empty
  // in time: it holds nothing of what was staged since.
  if (closing_through_.has_value()) LARDER_RETURN_IF_ERROR(CloseAndCommit());
  if (NothingToCommit() && !even_if_empty) return absl::OkStatus();
  closing_through_ = shared_.hlc->Last();
  return CloseAndCommit();
}

absl::Status L2Store::CloseAndCommit() {
  if (pending_epoch_ == 0) {
    LARDER_ASSIGN_OR_RETURN(pending_epoch_,
                            epoch_lock_->Advance(options_.epoch_timeout_ms));
  }
  return CommitEpoch(pending_epoch_);
}

absl::Status L2Store::CommitEpoch(uint64_t epoch) {
  // What readers kept from reuse when the last commit looked may be free now,
  // and this one may need it.
  ReleaseQuarantine();
  Commit commit(this, epoch, committed_namespaces_, committed_tombstones_,
                spent_tombstones_, replicated_);
  const bool sync = options_.durability != Durability::kNone;
  absl::Status status = commit.Build();
  if (status.ok()) status = blobs_map_->FlushDirty();
  if (status.ok()) status = meta_map_->FlushDirty();
  if (!status.ok()) {
    counters_.commit_failures.fetch_add(1);
    commit.Undo();
    // Damage on the way does not go away by trying again; a full disk may.
    if (absl::IsDataLoss(status)) Degrade(status);
    if (absl::IsResourceExhausted(status)) {
      epoch_lock_->AbortPinsOverLimit(options_.l2_bytes_max);
    }
    ReleaseQuarantine();
    return status;
  }
  if (sync) status = files_.blobs->Sync();
  if (sync && status.ok()) status = files_.space->Sync();
  if (sync && status.ok()) status = files_.meta->Sync();
  if (status.ok()) status = WriteSuperblock(commit.next(), files_.meta.get());
  if (sync && status.ok()) status = files_.meta->Sync();
  if (!status.ok()) {
    counters_.commit_failures.fetch_add(1);
    Degrade(status);
    return status;
  }
  // What it freed must be in quarantine before a root without it is there, or
  // the orphan sweep could take it for an orphan.
  commit.FreeUnlinked();
  const CommittedNamespaces before =
      std::exchange(committed_namespaces_, commit.TakeNamespaces());
  // Before the root: who has that must not miss what was added.
  commit.ShowSynopses();
  for (const auto& [id, ns] : committed_namespaces_) {
    const auto old = before.find(id);
    if (old != before.end() && old->second.synopsis == ns.synopsis) continue;
    shared_.namespaces->FindById(id)->set_synopsis(ns.synopsis.get());
    if (old != before.end()) retired_.emplace_back(epoch, old->second.synopsis);
  }
  for (const auto& [key, t] : commit.newest()) {
    CommittedTombstone& committed = committed_tombstones_[key];
    spent_tombstones_ += (t->retire ? 1 : 0) - (committed.spent ? 1 : 0);
    committed = {t->tombstone, t->retire};
  }
  for (const std::string& key : commit.forgotten()) {
    const auto gone = committed_tombstones_.find(key);
    if (gone == committed_tombstones_.end()) continue;
    spent_tombstones_ -= gone->second.spent ? 1 : 0;
    committed_tombstones_.erase(gone);
  }
  if (replicated_ != nullptr) replica_note_ = replicated_->note;
  complete_through_ = *closing_through_;
  closing_through_.reset();
  Publish(epoch, commit.next(), sync);
  for (const StagedTombstone& t : commit.tombstones()) {
    Namespace* ns = shared_.namespaces->Find(t.tombstone.ns);
    if (t.retire) ns->Retire(t.tombstone);
  }
  return absl::OkStatus();
}

void L2Store::Publish(uint64_t epoch, const Superblock& next, bool synced) {
  auto root = std::make_shared<const Superblock>(next);
  root_.store(root.get(), std::memory_order_seq_cst);
  retired_.emplace_back(epoch, std::exchange(root_owner_, std::move(root)));
  committed_epoch_.store(epoch, std::memory_order_seq_cst);
  if (synced) durable_epoch_.store(epoch, std::memory_order_seq_cst);
  staging_.Clear(epoch);
  swept_.Clear(epoch);
  revisited_[epoch % 2].store(0);
  {
    MutexLock lock(&tombstones_mu_);
    auto& staged = staged_tombstones_[epoch % 2];
    staged_tombstones_count_ -= static_cast<int64_t>(staged.size());
    staged.clear();
  }
  journal_->NoteCommitted(epoch);
  pending_epoch_ = 0;
  leaving_[epoch % 2].blobs.store(0);
  leaving_[epoch % 2].meta.store(0);
  NoteMetaLive();
  counters_.commits.fetch_add(1);
  ReleaseQuarantine();
}

void L2Store::NoteMetaLive() {
  meta_live_bytes_.store(
      static_cast<int64_t>(meta_map_->used_units() * kPageBytes) -
      quarantine_->meta_bytes());
}

void L2Store::ReleaseQuarantine() {
  const uint64_t reusable = options_.durability == Durability::kNone
                                ? committed_epoch_.load()
                                : durable_epoch_.load();
  // A reader that is no older than the pin keeps nothing that the pin does not.
  if (const uint64_t oldest = epoch_lock_->OldestPinnedEpoch();
      oldest < reusable && oldest <= readers_.OldestActive()) {
    epoch_lock_->AbortPinsOverLimit(quarantine_->blob_bytes() +
                                    quarantine_->meta_bytes());
  }
  // Pins before readers: who reads by a pin takes a slot and then finds the
  // pin whole, so that its slot is seen here when its pin is not.
  const uint64_t pinned = epoch_lock_->OldestPinnedEpoch();
  const uint64_t oldest_reader = readers_.OldestActive();
  quarantine_->Release(std::min({reusable, pinned, oldest_reader}));
  std::erase_if(retired_,
                [&](const auto& r) { return r.first <= oldest_reader; });
}

absl::Status L2Store::GrowMeta(uint64_t pages) {
  const uint64_t budget = static_cast<uint64_t>(options_.l2_bytes_max);
  MutexLock lock(&grow_mu_);
  const uint64_t now = files_.meta->Size();
  const uint64_t taken = files_.blobs->Size() + FixedBytes();
  const uint64_t most = taken < budget ? budget - taken : 0;
  const uint64_t step =
      std::max(pages, std::clamp(budget / kMetaGrowShare / kPageBytes,
                                 kMetaGrowPagesMin, kMetaGrowPagesMax)) *
      kPageBytes;
  const uint64_t next = std::min(now + step, most) / kPageBytes * kPageBytes;
  if (next <= now) {
    return absl::ResourceExhaustedError(
        absl::StrCat(options_.l2_path, ": meta: ", now, " bytes vs at most ",
                     most, " within l2_bytes_max ", budget));
  }
  LARDER_RETURN_IF_ERROR(files_.meta->Resize(next));
  return meta_map_->Grow(next / kPageBytes);
}

absl::Status L2Store::CommitNow(bool even_if_empty) {
  MutexLock lock(&commit_mu_);
  return CommitLocked(even_if_empty);
}

// One of those that wait commits for all of them. Who was in the last group is
// likely about to come again: without waiting for them the first to come would
// commit alone, and the rest one commit later.
absl::Status L2Store::CommitThrough(uint64_t epoch) {
  MutexLock lock(&group_mu_);
  ++group_waiting_;
  group_gathered_.notify_one();
  absl::Status status = absl::OkStatus();
  while (committed_epoch_.load() < epoch) {
    if (group_has_leader_) {
      group_committed_.wait(group_mu_);
      continue;
    }
    group_has_leader_ = true;
    const auto start = std::chrono::steady_clock::now();
    const auto deadline = start + group_duration_ / kGatherShare;
    while (group_waiting_ < group_last_ &&
           group_gathered_.wait_until(group_mu_, deadline) !=
               std::cv_status::timeout) {
    }
    group_last_ = group_waiting_;
    group_mu_.unlock();
    status = CommitNow();
    group_mu_.lock();
    group_duration_ = std::chrono::steady_clock::now() - start;
    group_has_leader_ = false;
    group_committed_.notify_all();
    // Also when there was nothing to commit, and so no new epoch.
    break;
  }
  --group_waiting_;
  LARDER_RETURN_IF_ERROR(status);
  return CheckUsable();
}

void L2Store::CommitterLoop() {
  while (true) {
    {
      MutexLock lock(&committer_mu_);
      if (!stop_committer_) {
        committer_wake_.wait_for(
            committer_mu_,
            std::chrono::milliseconds(options_.commit_interval_ms));
      }
      if (stop_committer_) return;  // Close() commits once more.
    }
    // Errors are counted, show in stats, and meet the next put.
    (void)EvictToWatermark();
    (void)CommitNow();
  }
}

}  // namespace larder::cache::l2
