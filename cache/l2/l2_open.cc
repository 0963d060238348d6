// Opening, creating, recovering and closing an L2.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cache/check.h"
#include "cache/l2/hash.h"
#include "cache/l2/l2_store.h"
#include "cache/l2/stored_synopsis.h"
#include "cache/l2/system_tree.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// Where a new L2 starts. Files grow by shares of the budget from here.
constexpr uint64_t kFirstEpoch = 1;
constexpr uint64_t kFirstMetaPages = 64;
constexpr uint64_t kFirstBlobUnits = 2048;
// Each of the journal's two files may take this share of the budget, within
// these bounds. Source: an open reads both, 8 MiB in a few milliseconds; the
// least one has room past the half, at which a commit comes, for some hundred
// threads that each invalidate one thing.
constexpr uint64_t kJournalShare = 64;
constexpr uint64_t kJournalBytesMin = 128 * 1024;
constexpr uint64_t kJournalBytesMax = 4 << 20;

// Whether a creation died before its superblock was whole. Then no commit was
// ever made: the other superblocks and all tree pages are zero, and no chain
// was written.
absl::StatusOr<bool> IsCreationCutShort(const File& meta, const File& blobs) {
  const uint64_t size = meta.Size();
  if (size > kFirstMetaPages * kPageBytes ||
      blobs.Size() > kFirstBlobUnits * kUnitBytes) {
    return false;
  }
  const auto is_zero = [](char byte) { return byte == '\0'; };
  std::string bytes(size, '\0');
  LARDER_RETURN_IF_ERROR(meta.ReadAt(0, absl::MakeSpan(bytes)));
  const uint64_t first = 2 * (kFirstEpoch % 2) * kPageBytes;
  for (uint64_t at = 0; at < size; ++at) {
    const bool in_first = at >= first && at < first + 2 * kPageBytes;
    if (!in_first && !is_zero(bytes[at])) return false;
  }
  for (uint64_t page = first; page < first + 2 * kPageBytes;
       page += kPageBytes) {
    if (page + kPageBytes > size) break;
    const absl::Status found =
        DecodeSuperblock(absl::string_view(bytes).substr(page, kPageBytes))
            .status();
    if (!absl::IsDataLoss(found)) return false;  // Sound, or a newer format.
  }
  // Last: what every other open need not read.
  bytes.resize(blobs.Size());
  LARDER_RETURN_IF_ERROR(blobs.ReadAt(0, absl::MakeSpan(bytes)));
  return std::all_of(bytes.begin(), bytes.end(), is_zero);
}

// What the last process wrote and did not sync could still be lost; nothing may
// be reused on its account before it cannot. The superblock is written again in
// any case: after a failed sync a system may show what the disk does not have,
// and call it clean, so that another sync would not write it either. Before a
// life without syncs every superblock that a power cut may uncover says so.
absl::Status Settle(bool sync, Superblock* superblock, L2Files* files) {
  LARDER_RETURN_IF_ERROR(WriteSuperblock(*superblock, files->meta.get()));
  if (!sync && superblock->unsynced) return absl::OkStatus();
  LARDER_RETURN_IF_ERROR(files->blobs->Sync());
  LARDER_RETURN_IF_ERROR(files->space->Sync());
  LARDER_RETURN_IF_ERROR(files->meta->Sync());
  if (sync) return absl::OkStatus();
  superblock->unsynced = true;
  return ReplaceSuperblocks(*superblock, files->meta.get());
}

// A power cut may have taken commits that a snapshot was made of: what comes
// now is another history, and its epochs must not pass for theirs.
// `seed`: 0: from the system.
void StartNewLineage(uint64_t seed, Superblock* superblock) {
  auto& ancestors = superblock->ancestors;
  ancestors.insert(ancestors.begin(), superblock->lineage);
  if (ancestors.size() > kAncestorsMax) ancestors.resize(kAncestorsMax);
  const std::string old(superblock->lineage.begin(), superblock->lineage.end());
  superblock->lineage = NewLineage(seed == 0 ? 0 : Hash64(old, seed));
}

}  // namespace

L2Store::L2Store(const BlobCacheOptions& options, const Shared& shared)
    : options_(options),
      shared_(shared),
      decoders_(options.decode_threads - 1) {}

absl::StatusOr<std::unique_ptr<L2Store>> L2Store::OpenAs(
    const BlobCacheOptions& options, const Shared& shared,
    const std::vector<Lineage>* ancestors_of_new) {
  if (options.l2_bytes_max < kL2BytesMin) {
    return absl::InvalidArgumentError(absl::StrCat(
        "l2_bytes_max: ", options.l2_bytes_max, " vs at least ", kL2BytesMin));
  }
  std::unique_ptr<L2Store> store(new L2Store(options, shared));
  if (absl::Status s = store->OpenFiles(ancestors_of_new); !s.ok()) {
    // Nothing half recovered may be committed on the way out: the next open
    // would take it for all that the journal held.
    MutexLock lock(&store->commit_mu_);
    store->closed_ = true;
    return s;
  }
  if (options.background_commits) {
    store->committer_ = std::thread([s = store.get()] { s->CommitterLoop(); });
  }
  return store;
}

absl::Status L2Store::OpenFiles(const std::vector<Lineage>* ancestors_of_new) {
  FileSystem* fs = options_.file_system;
  if (ancestors_of_new != nullptr && fs->Exists(options_.l2_path)) {
    LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                            fs->List(options_.l2_path));
    if (!names.empty()) {
      return absl::AlreadyExistsError(
          absl::StrCat(options_.l2_path, ": not empty: holds ", names.front()));
    }
  }
  LARDER_ASSIGN_OR_RETURN(
      files_, OpenL2Files(fs, options_.l2_path, !options_.l2_must_exist,
                          static_cast<uint64_t>(options_.l2_bytes_max)));
  held_ = std::make_shared<HeldChains>(files_.blobs);
  journal_ = std::make_unique<Journal>(
      files_.journal[0].get(), files_.journal[1].get(),
      std::clamp(static_cast<uint64_t>(options_.l2_bytes_max) / kJournalShare,
                 kJournalBytesMin, kJournalBytesMax));
  LARDER_ASSIGN_OR_RETURN(const bool cut_short,
                          IsCreationCutShort(*files_.meta, *files_.blobs));
  if (cut_short) {
    return CreateNew(ancestors_of_new != nullptr ? *ancestors_of_new
                                                 : std::vector<Lineage>());
  }
  LARDER_ASSIGN_OR_RETURN(const Superblock superblock,
                          ReadNewestSuperblock(*files_.meta));
  return Load(superblock);
}

// The superblock comes last, when nothing else of the L2 can be lost. Until it
// is whole, IsCreationCutShort() knows that nothing was ever stored.
absl::Status L2Store::CreateNew(const std::vector<Lineage>& ancestors) {
  Superblock first;
  first.lineage = NewLineage(options_.random_seed);
  first.ancestors = ancestors;
  first.epoch = kFirstEpoch;
  first.hlc = shared_.hlc->Next();
  first.meta_pages = kFirstMetaPages;
  first.blob_units = kFirstBlobUnits;
  LARDER_RETURN_IF_ERROR(files_.blobs->Resize(kFirstBlobUnits * kUnitBytes));
  LARDER_RETURN_IF_ERROR(files_.space->Resize(0));
  LARDER_RETURN_IF_ERROR(SpaceMap::Open(files_.space.get(),
                                        SpaceMap::Lane::kBlobs, kFirstBlobUnits,
                                        true)
                             .status());
  LARDER_ASSIGN_OR_RETURN(
      auto meta_map, SpaceMap::Open(files_.space.get(), SpaceMap::Lane::kMeta,
                                    kFirstMetaPages, true));
  meta_map->MarkUsed({0, kSuperblockPages});
  LARDER_RETURN_IF_ERROR(meta_map->FlushDirty());
  for (auto& journal : files_.journal) {
    LARDER_RETURN_IF_ERROR(journal->Resize(0));
  }
  LARDER_RETURN_IF_ERROR(files_.blobs->Sync());
  LARDER_RETURN_IF_ERROR(files_.space->Sync());
  LARDER_RETURN_IF_ERROR(journal_->Sync());
  // All superblocks take their room now: a full disk must not meet them later.
  LARDER_RETURN_IF_ERROR(files_.meta->Resize(0));
  LARDER_RETURN_IF_ERROR(files_.meta->Resize(kFirstMetaPages * kPageBytes));
  LARDER_RETURN_IF_ERROR(files_.meta->WriteAt(
      0, std::string(kSuperblockPages * kPageBytes, '\0')));
  LARDER_RETURN_IF_ERROR(files_.meta->Sync());
  LARDER_RETURN_IF_ERROR(options_.file_system->SyncDirectory(options_.l2_path));
  LARDER_RETURN_IF_ERROR(WriteSuperblock(first, files_.meta.get()));
  return Load(first);
}

absl::Status L2Store::Load(Superblock superblock) {
  // A file that is shorter than the superblock says was cut: give it its size
  // back. What it lost reads as zeros, which no checksum matches.
  const auto at_least = [](File* file, uint64_t bytes) {
    return file->Size() >= bytes ? absl::OkStatus() : file->Resize(bytes);
  };
  LARDER_RETURN_IF_ERROR(
      at_least(files_.meta.get(), superblock.meta_pages * kPageBytes));
  LARDER_RETURN_IF_ERROR(
      at_least(files_.blobs.get(), superblock.blob_units * kUnitBytes));
  const bool sync = options_.durability != Durability::kNone;
  const bool map_is_sound = !superblock.unsynced;
  if (superblock.unsynced) StartNewLineage(options_.random_seed, &superblock);
  LARDER_RETURN_IF_ERROR(Settle(sync, &superblock, &files_));
  LARDER_ASSIGN_OR_RETURN(
      blobs_map_, SpaceMap::Open(files_.space.get(), SpaceMap::Lane::kBlobs,
                                 files_.blobs->Size() / kUnitBytes, false));
  LARDER_ASSIGN_OR_RETURN(
      meta_map_, SpaceMap::Open(files_.space.get(), SpaceMap::Lane::kMeta,
                                files_.meta->Size() / kPageBytes, false));
  const uint64_t pages_max =
      std::max<uint64_t>(static_cast<uint64_t>(options_.l2_bytes_max),
                         files_.meta->Size()) /
          kPageBytes +
      1;
  meta_pages_ = std::make_unique<MetaPages>(files_.meta.get(), pages_max);
  quarantine_ = std::make_unique<Quarantine>(blobs_map_.get(), meta_map_.get(),
                                             held_.get());
  shared_.hlc->Observe(superblock.hlc);
  shared_.namespaces->set_next_id(superblock.next_namespace_id);
  {
    MutexLock lock(&commit_mu_);
    // Nobody else is there yet, and what died with the last process is gone.
    complete_through_ = superblock.hlc;
    root_owner_ = std::make_shared<const Superblock>(superblock);
    root_.store(root_owner_.get());
  }
  committed_epoch_.store(superblock.epoch);
  if (sync) durable_epoch_.store(superblock.epoch);
  if (!map_is_sound) LARDER_RETURN_IF_ERROR(MarkReachable(superblock));
  LARDER_RETURN_IF_ERROR(LoadSystem(TreeAt(superblock.system)));
  ResumeEvictionClock(TreeAt(superblock.age));
  NoteMetaLive();
  LARDER_RETURN_IF_ERROR(LoadHydration());
  return ReplayJournal(superblock.epoch);
}

// The evictor came as far as the least rank that its clock gave. Where damage
// hides that, new records rank behind the damage: no commit has to change it.
void L2Store::ResumeEvictionClock(const Tree& age) {
  age.WalkDespiteDamage(
         OrderedKey(kRankMin, ""),
         [&](absl::string_view key, absl::string_view) {
           uint64_t rank;
           absl::string_view record_key;
           if (SplitOrderedKey(key, &rank, &record_key)) {
             eviction_clock_.RaiseTo(rank);
           }
           return false;
         },
         [](const Tree::Damage&) {})
      .IgnoreError();
}

// After a power cut an unsynced map may call free what is in use. What a
// damaged page hides is lost anyway.
absl::Status L2Store::MarkReachable(const Superblock& superblock) {
  const auto ignore = [](const Tree::Damage&) {};
  for (const ChildRef& tree : {superblock.records, superblock.due,
                               superblock.age, superblock.system}) {
    LARDER_RETURN_IF_ERROR(TreeAt(tree).VisitPages(
        [&](const Tree::PageInfo& page) {
          meta_map_->MarkUsed({page.ref.page, 1});
        },
        ignore));
  }
  const uint64_t capacity = blobs_map_->capacity_units();
  return TreeAt(superblock.records)
      .WalkDespiteDamage(
          "",
          [&](absl::string_view, absl::string_view value) {
            const absl::StatusOr<Record> r = DecodeRecord(value);
            if (!r.ok()) return true;
            for (const Extent& e : r->extents) {
              if (e.units <= capacity && e.first <= capacity - e.units) {
                blobs_map_->MarkUsed(e);
              }
            }
            return true;
          },
          ignore);
}

absl::Status L2Store::LoadSystem(const Tree& system) {
  // Namespaces sort first, then a replica's note, synopses, tombstones.
  absl::Status bad = absl::OkStatus();
  absl::Status damage = absl::OkStatus();
  // Without all namespaces and tombstones, what was flushed could come back:
  // that refuses to open. A lost synopsis chunk only costs reads.
  const auto note_damage = [&](const Tree::Damage& d) {
    const bool only_synopses = d.low >= std::string(1, kSynopsisTag) &&
                               !d.high.empty() &&
                               d.high <= std::string(1, kTombstoneTag);
    if (!only_synopses) damage.Update(d.status);
  };
  LARDER_RETURN_IF_ERROR(system.WalkDespiteDamage(
      absl::string_view(&kNamespaceTag, 1),
      [&](absl::string_view key, absl::string_view value) {
        if (key[0] == kNamespaceTag) bad = LoadNamespace(key.substr(1), value);
        if (key == kReplicaKey) {
          MutexLock lock(&commit_mu_);
          replica_note_ = std::string(value);
        }
        return bad.ok() && key[0] < kSynopsisTag;
      },
      note_damage));
  LARDER_RETURN_IF_ERROR(bad);
  LARDER_RETURN_IF_ERROR(system.WalkDespiteDamage(
      absl::string_view(&kTombstoneTag, 1),
      [&](absl::string_view key, absl::string_view value) {
        bad = LoadTombstone(key, value);
        return bad.ok();
      },
      note_damage));
  LARDER_RETURN_IF_ERROR(bad);
  LARDER_RETURN_IF_ERROR(damage);
  return absl::OkStatus();
}

absl::Status L2Store::LoadNamespace(absl::string_view name,
                                    absl::string_view value) {
  LARDER_ASSIGN_OR_RETURN(const NamespaceEntry e, DecodeNamespaceEntry(value));
  LARDER_ASSIGN_OR_RETURN(Namespace * ns,
                          shared_.namespaces->Restore(name, e.id));
  ns->Flush(e.flushed_at, e.generation);
  MutexLock lock(&commit_mu_);
  CommittedNamespace& c = committed_namespaces_[e.id];
  c.name = std::string(name);
  c.generation = e.generation;
  c.flushed_at = e.flushed_at;
  c.forgotten_through = e.forgotten_through;
  c.records = static_cast<int64_t>(e.records);
  c.raw_bytes = static_cast<int64_t>(e.raw_bytes);
  c.stored_bytes = static_cast<int64_t>(e.stored_bytes);
  c.synopsis_keys = e.synopsis_keys;
  if (!SynopsisFits(e, files_.meta->Size())) {
    return absl::DataLossError(absl::StrCat(
        "system tree: namespace ", name, ": synopsis for ", e.synopsis_keys_max,
        " keys in a `meta` of ", files_.meta->Size(), " bytes"));
  }
  if (e.synopsis_keys_max > 0) {
    c.synopsis = std::make_shared<Synopsis>(e.synopsis_keys_max);
    ns->set_synopsis(c.synopsis.get());
  }
  return absl::OkStatus();
}

absl::Status L2Store::LoadTombstone(absl::string_view key,
                                    absl::string_view value) {
  uint32_t ns_id;
  bool spent;
  LARDER_ASSIGN_OR_RETURN(Tombstone t,
                          DecodeTombstoneEntry(key, value, &ns_id, &spent));
  Namespace* ns = shared_.namespaces->FindById(ns_id);
  if (ns == nullptr) {
    return absl::DataLossError(
        absl::StrCat("system tree: tombstone of unknown namespace ", ns_id));
  }
  t.ns = ns->name();
  if (!spent) ns->Add(t);
  MutexLock lock(&commit_mu_);
  committed_tombstones_[std::string(key)] = {std::move(t), spent};
  spent_tombstones_ += spent ? 1 : 0;
  return absl::OkStatus();
}

// Entries that no commit holds are staged again, under a new epoch, and
// committed before the journal may be written again.
absl::Status L2Store::ReplayJournal(uint64_t committed_epoch) {
  LARDER_ASSIGN_OR_RETURN(const std::vector<JournalEntry> entries,
                          journal_->ReadAfter(committed_epoch));
  uint64_t first_epoch = committed_epoch + 1;
  for (const JournalEntry& e : entries) {
    first_epoch = std::max(first_epoch, e.epoch + 1);
    shared_.hlc->Observe(e.tombstone.hlc);
  }
  // Not in the superblock pair of the epoch that this starts from: a power cut
  // during the commit below must leave that one whole.
  if ((first_epoch - committed_epoch) % 2 == 0) ++first_epoch;
  epoch_lock_ = std::make_unique<EpochLock>(first_epoch, shared_.clock);
  if (entries.empty()) return absl::OkStatus();
  for (const JournalEntry& e : entries) {
    LARDER_ASSIGN_OR_RETURN(Namespace * ns,
                            shared_.namespaces->FindOrCreate(e.tombstone.ns));
    if (e.tombstone.kind == TombstoneKind::kKey) {
      // Whatever is committed of the key is older: a later put of it would be
      // in the same epoch as this, or in a later one.
      StageAbsent(first_epoch, ns->id(), ns->HashOf(e.tombstone.value),
                  e.tombstone.value, e.tombstone.hlc);
      continue;
    }
    if (e.tombstone.kind == TombstoneKind::kNamespace) {
      ns->Flush(e.tombstone.hlc, e.generation);
    } else {
      ns->Add(e.tombstone);
    }
    MutexLock lock(&tombstones_mu_);
    staged_tombstones_[first_epoch % 2].push_back(
        {e.tombstone, e.generation, false});
    ++staged_tombstones_count_;
  }
  absl::Status committed = CommitNow();
  if (absl::IsResourceExhausted(committed)) {
    // It may be orphans that take the room; nobody else is there to mind.
    committed = ReclaimOrphanPages(*root());
    if (committed.ok()) committed = CommitNow();
    if (absl::IsDataLoss(committed)) Degrade(committed);
  }
  // Reads go on, without what was invalidated, and the journal stays as it is:
  // behind a damaged page for the next open, for want of room until a commit
  // finds some.
  if (absl::IsResourceExhausted(committed)) journal_->Keep();
  return absl::IsDataLoss(committed) || absl::IsResourceExhausted(committed)
             ? absl::OkStatus()
             : committed;
}

absl::Status L2Store::Close() {
  {
    MutexLock lock(&committer_mu_);
    stop_committer_ = true;
    committer_wake_.notify_all();
  }
  if (committer_.joinable()) committer_.join();
  {
    MutexLock lock(&orphan_mu_);
    orphans_ = OrphanSweep();  // Drops its pin.
  }
  MutexLock lock(&commit_mu_);
  if (closed_) return absl::OkStatus();
  closed_ = true;
  if (epoch_lock_ == nullptr) return absl::OkStatus();  // Open failed.
  absl::Status status = CommitLocked();
  ReleaseQuarantine();
  absl::Status flushed = blobs_map_->FlushDirty();
  flushed.Update(meta_map_->FlushDirty());
  if (options_.durability != Durability::kNone) {
    flushed.Update(files_.space->Sync());
  }
  status.Update(flushed);
  return status;
}

L2Store::~L2Store() {
  // Reported to who calls Close(); here there is nobody left to tell.
  (void)Close();
}

}  // namespace larder::cache::l2
