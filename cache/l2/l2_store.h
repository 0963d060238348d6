// L2: the durable tier. One directory, one process.
//
//   put:    chain -> staged (visible) ... commit E: trees, sync, superblock
//   read:   staged -> synopsis -> committed tree -> chain
//   free:   unlinked by commit E -> quarantine -> (E durable, no older pin, no
//           older reader, no Hit) -> reusable
#ifndef LARDER_CACHE_L2_L2_STORE_H_
#define LARDER_CACHE_L2_L2_STORE_H_

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cache/access_table.h"
#include "cache/blob.h"
#include "cache/epoch_lock.h"
#include "cache/hlc.h"
#include "cache/key_locks.h"
#include "cache/l2/chain.h"
#include "cache/l2/eviction_clock.h"
#include "cache/l2/file.h"
#include "cache/l2/held_chains.h"
#include "cache/l2/journal.h"
#include "cache/l2/l2_files.h"
#include "cache/l2/meta_pages.h"
#include "cache/l2/quarantine.h"
#include "cache/l2/reader_slots.h"
#include "cache/l2/record.h"
#include "cache/l2/replicated_state.h"
#include "cache/l2/request_history.h"
#include "cache/l2/space_map.h"
#include "cache/l2/staging.h"
#include "cache/l2/superblock.h"
#include "cache/l2/swept_keys.h"
#include "cache/l2/synopsis.h"
#include "cache/l2/worker_pool.h"
#include "cache/mutex.h"
#include "cache/namespace_table.h"
#include "cache/options.h"
#include "cache/snapshot.h"
#include "cache/stats.h"
#include "cache/striped_counter.h"
#include "cache/sweep_slice.h"
#include "cache/walks.h"

namespace larder::cache::l2 {

class Commit;

// A blob on its way in: encoded, its chain written, not yet visible.
struct PreparedPut {
  std::string record_key;
  Record record;  // Without HLC.
};

// Thread-safe unless a method says otherwise.
//
// Order of locks: room_mu_ -> commit_mu_ and watermark_mu_ -> evict_mu_ -> key
// stripe -> staging shards; leaf locks (growth, space maps, quarantine, held
// chains, journal) last. Nobody inside the epoch lock waits for commit_mu_: a
// commit waits for whoever is inside.
class L2Store {
 public:
  // What the store shares with the tier above it; all borrowed.
  struct Shared {
    NamespaceTable* namespaces;
    HlcClock* hlc;
    KeyLocks* key_locks;
    AccessTable* accesses;
    const Clock* clock;
    // When the blob was last read from L1, or 0.
    std::function<int64_t(const Namespace&, absl::string_view key)>
        last_read_from_l1;
    // Told of each record that a sweep or an eviction removed, with the key's
    // stripe held.
    std::function<void(const Namespace&, absl::string_view key, Hlc hlc)>
        on_removed;
  };
  // Opens or creates; see BlobCache::Open for errors.
  static absl::StatusOr<std::unique_ptr<L2Store>> Open(
      const BlobCacheOptions& options, const Shared& shared) {
    return OpenAs(options, shared, /*ancestors_of_new=*/nullptr);
  }
  // Creates one that descends from `ancestors`, at most kAncestorsMax, the
  // nearest first. Errors: as Open(), and kAlreadyExists unless the directory
  // is absent or empty.
  static absl::StatusOr<std::unique_ptr<L2Store>> Create(
      const BlobCacheOptions& options, const Shared& shared,
      const std::vector<Lineage>& ancestors) {
    return OpenAs(options, shared, &ancestors);
  }
  ~L2Store();  // Close(), best effort.

  // Commits, gives back what it can, syncs, and takes no more changes.
  absl::Status Close();

  EpochLock* epoch_lock() { return epoch_lock_.get(); }

  // --- Reading. The caller keeps the guard while it uses what it found.
  ReaderSlots::Guard EnterRead() const {
    return readers_.Enter(committed_epoch_.load(std::memory_order_seq_cst));
  }
  // Finds the current record: staged or committed, whatever its validity.
  // `name_hash`, here and below: ns.HashOf(key).
  // `record` must be empty, and stays so when there is none.
  // Errors: kDataLoss (a damaged page hides the answer).
  absl::Status FindRecord(const Namespace& ns, absl::string_view key,
                          uint64_t name_hash,
                          std::optional<Record>* record) const;
  // False: no record, committed or staged. Reads no records.
  bool MayContain(const Namespace& ns, absl::string_view key,
                  uint64_t name_hash) const;
  // Whether a record is staged for the key; sets `*put` to what it is.
  bool FindStaged(const Namespace& ns, absl::string_view key,
                  std::optional<Record>* record) const;
  // Whether a reader may be served the record: not dead, and no tombstone
  // matches.
  bool IsServable(const Namespace& ns, absl::string_view key,
                  const Record& record, int64_t now_unix_ms) const {
    // Only an idle TTL asks for it, and it costs a miss of the CPU's cache.
    const int64_t last_access =
        record.expiry.idle_ttl_ms != 0 ? LastAccess(ns, key, record) : 0;
    return Judge(record.expiry, now_unix_ms, last_access) != Liveness::kDead &&
           ns.IsValid(key, record.hlc, record.invalidation_hashes);
  }
  // Starts to bring in what Load() will read first.
  void Prefetch(const Record& record) const;
  // Reads bytes [offset, offset + length), clipped, of the record's blob.
  // Errors: kDataLoss.
  absl::StatusOr<std::shared_ptr<const Blob>> Load(uint64_t name_hash,
                                                   const Record& record,
                                                   uint64_t offset,
                                                   uint64_t length) const;

  // --- Writing.
  // Encodes, finds room (evicting and committing as needed) and writes the
  // chain. Holds no lock. Whoever gets one must Stage() or Discard() it.
  absl::StatusOr<PreparedPut> Prepare(const Namespace& ns,
                                      absl::string_view key,
                                      absl::string_view bytes,
                                      const BlobAttributes& attributes);
  void Discard(const PreparedPut& put);
  // The caller holds the key's stripe and a guard of the epoch.
  void StagePut(const EpochLock::Guard& guard, PreparedPut put, Hlc hlc,
                int64_t now_unix_ms);
  // Makes the key absent. Journals it when `journal`.
  absl::Status StageRemove(const EpochLock::Guard& guard, const Namespace& ns,
                           absl::string_view key, Hlc hlc, bool journal);
  // Journals the tombstone and has the epoch's commit hold it. Does not touch
  // the namespace table.
  absl::Status StageTombstone(const EpochLock::Guard& guard,
                              const Tombstone& tombstone, uint64_t generation);

  // Commits everything staged before the call. `even_if_empty`: makes an epoch
  // also when there is nothing.
  absl::Status CommitNow(bool even_if_empty = false)
      ABSL_LOCKS_EXCLUDED(commit_mu_);
  // Commits when what is staged or in the journal has come to as much as a
  // commit should hold. To be called before each change, outside of the epoch.
  absl::Status CommitIfDue(bool may_evict) ABSL_LOCKS_EXCLUDED(commit_mu_);
  // The same for an invalidation, which waits for no commit that only puts
  // need: what it stages is bounded by the journal.
  absl::Status MakeRoomInJournal() ABSL_LOCKS_EXCLUDED(commit_mu_);
  // Returns when a power cut (kNone: a kill) cannot undo `epoch`, committing
  // together with whoever else waits.
  absl::Status CommitThrough(uint64_t epoch) ABSL_LOCKS_EXCLUDED(commit_mu_);

  // --- Maintenance; see BlobCache.
  absl::StatusOr<SliceReport> SweepDueSlice(SliceLimit limit);
  // After L2's part of the round calls `sweep_l1` (entries it may look at)
  // until that says its own is done; only then the tombstones retire.
  absl::StatusOr<SliceReport> SweepTombstonedSlice(
      SliceLimit limit,
      absl::FunctionRef<bool(int64_t entries_max, SliceReport*)> sweep_l1);
  absl::StatusOr<SliceReport> ReclaimOrphansSlice(SliceLimit limit);
  absl::Status ForEachOrphan(absl::FunctionRef<bool(const OrphanChain&)> visit);
  absl::StatusOr<int64_t> SweepDebt() const;

  // Evicts before, where there is little room for puts beside a snapshot.
  absl::StatusOr<std::unique_ptr<Snapshot>> TakeSnapshot(
      EpochLock::PinOptions options) ABSL_LOCKS_EXCLUDED(commit_mu_);

  absl::Status ForEachRecord(
      absl::string_view ns, absl::string_view after_key,
      absl::FunctionRef<bool(const L2RecordView&)> visit) const;

  L2Stats Stats() const;
  // Fills the L2 fields.
  void FillNamespaceStats(NamespaceStats* stats) const;

  // --- Hydrating (cache/hydration.h). l2_hydrate.cc
  // 0: it is not. Only ever changes to that.
  Hlc hydration_floor() const {
    return Hlc{hydration_floor_.load(std::memory_order_acquire)};
  }
  absl::Status EndHydration();
  // Writes the chain of a record as it was. As Prepare() otherwise.
  absl::StatusOr<PreparedPut> PrepareStored(const StoredRecord& stored,
                                            FrameSource read_frame,
                                            bool may_evict);
  // As StagePut(), but for the HLC, the rank and the last access, which the
  // record has.
  void StageStored(const EpochLock::Guard& guard, PreparedPut put) {
    StageChange(guard.epoch(), put.record_key,
                MakeChange(StagedChange::Kind::kPut, std::move(put.record)));
  }

  // --- For the loader.
  absl::StatusOr<Extents> AllocateChain(absl::string_view record_key,
                                        const Record& record, bool may_evict);
  File* blobs() { return files_.blobs.get(); }
  void StageLoaded(std::string record_key, Record record);
  // Visits committed records from `from` on, until `visit` returns false.
  absl::Status WalkCommitted(absl::string_view from, Tree::VisitFn visit) const;
  // Has the epoch's commit mark it spent, unless it is renewed until then.
  void StageSpent(const EpochLock::Guard& guard, const Tombstone& tombstone);
  // For the next commit; it alone does not make CommitNow() commit.
  void SetForgotten(const Namespace& ns, Hlc forgotten_through)
      ABSL_LOCKS_EXCLUDED(commit_mu_);
  SnapshotInfo Info() const ABSL_LOCKS_EXCLUDED(commit_mu_) {
    MutexLock lock(&commit_mu_);
    return InfoLocked();
  }
  void FreeUnlinked(const Extents& extents) {
    quarantine_->FreeChain(extents, 0);
  }

  // --- For a live replica; l2_replica.cc.
  // Commits what is staged together with `state`, in one epoch; or, with an
  // error, nothing: then what is staged stays so (DropStaged()).
  // Errors: kOutOfRange: the content would not have the digest; as CommitNow().
  absl::Status CommitReplicated(const ReplicatedState& state)
      ABSL_LOCKS_EXCLUDED(commit_mu_);
  // Forgets what is staged, and frees its chains. Nobody else may be staging.
  void DropStaged() ABSL_LOCKS_EXCLUDED(commit_mu_);
  // What the last CommitReplicated() said; empty: this is no replica.
  std::string replica_note() const ABSL_LOCKS_EXCLUDED(commit_mu_) {
    MutexLock lock(&commit_mu_);
    return replica_note_;
  }
  absl::Status usable() const { return CheckUsable(); }
  // Pins the committed epoch, for as long as the snapshot lives.
  absl::StatusOr<std::unique_ptr<Snapshot>> PinForReaders()
      ABSL_LOCKS_EXCLUDED(commit_mu_);
  // Frees what readers kept from reuse when the last commit looked.
  void ReleaseFreed() ABSL_LOCKS_EXCLUDED(commit_mu_) {
    MutexLock lock(&commit_mu_);
    ReleaseQuarantine();
  }
  void ForEachCommittedTombstone(
      absl::FunctionRef<void(const std::string& key, const Tombstone& tombstone,
                             bool spent)>
          visit) const ABSL_LOCKS_EXCLUDED(commit_mu_);
  bool IsStaged(absl::string_view record_key) const {
    return staging_.Find(record_key) != nullptr;
  }
  // What decides whether its records are valid, as committed.
  absl::Status CopyValidity(NamespaceTable* out) const
      ABSL_LOCKS_EXCLUDED(commit_mu_);

 private:
  friend class Commit;
  friend class PinnedSnapshot;

  // A namespace as committed. Owned by commits.
  struct CommittedNamespace {
    std::string name;
    uint64_t generation = 0;
    Hlc flushed_at;
    Hlc forgotten_through;
    int64_t records = 0;
    int64_t raw_bytes = 0;
    int64_t stored_bytes = 0;
    uint64_t synopsis_keys = 0;  // Added since it was built.
    std::shared_ptr<Synopsis> synopsis;
    bool changed = false;
  };
  using CommittedNamespaces = std::map<uint32_t, CommittedNamespace>;

  // A spent one covers nothing here any more and is asked by nobody. It is kept
  // for what it covers in older dumps, and told in every snapshot.
  struct CommittedTombstone {
    Tombstone tombstone;
    bool spent = false;
  };
  int64_t SpentTombstonesMax() const;

  // What commits apply to the system tree, by the parity of the epoch.
  struct StagedTombstone {
    Tombstone tombstone;
    uint64_t generation = 0;  // Of a flush.
    bool retire = false;
  };

  // Where a sweep stands.
  struct DueSweep {
    std::string cursor;
    // Up to here all was looked at since the last commit, which a new round
    // need not do again: nothing of it has gone yet.
    std::string handled_through;
  };
  struct TombstoneSweep {
    bool running = false;
    Hlc round_hlc;
    std::vector<Namespace*> namespaces;
    size_t at = 0;
    std::string cursor;
  };
  struct OrphanSweep {
    std::unique_ptr<Snapshot> pinned;
    bool marked = false;
    std::string cursor;      // Of the mark.
    uint64_t next_unit = 0;  // Of the sweep.
    // Behind the last unit that it gave back; none yet.
    uint64_t freed_end = std::numeric_limits<uint64_t>::max();
    std::vector<uint64_t> used;  // Bits: units that records hold.
  };
  struct Evictor {
    uint64_t epoch = 0;  // The committed epoch that `cursor` is about.
    std::string cursor;
  };

  L2Store(const BlobCacheOptions& options, const Shared& shared);

  // l2_open.cc
  static absl::StatusOr<std::unique_ptr<L2Store>> OpenAs(
      const BlobCacheOptions& options, const Shared& shared,
      const std::vector<Lineage>* ancestors_of_new);
  absl::Status OpenFiles(const std::vector<Lineage>* ancestors_of_new);
  absl::Status CreateNew(const std::vector<Lineage>& ancestors);
  absl::Status Load(Superblock superblock);
  absl::Status MarkReachable(const Superblock& superblock);
  absl::Status LoadSystem(const Tree& system);
  absl::Status LoadNamespace(absl::string_view name, absl::string_view value);
  absl::Status LoadTombstone(absl::string_view key, absl::string_view value);
  void ResumeEvictionClock(const Tree& age);
  absl::Status ReplayJournal(uint64_t committed_epoch);

  // l2_read.cc
  const Superblock* root() const {
    return root_.load(std::memory_order_seq_cst);
  }
  Tree TreeAt(const ChildRef& ref) const {
    return Tree(meta_pages_.get(), ref);
  }
  absl::StatusOr<bool> FindCommitted(absl::string_view record_key,
                                     Record* record) const;
  // False: no committed record. Reads the system tree when nobody did before.
  bool MayBeCommitted(const Namespace& ns, uint64_t name_hash) const;
  absl::StatusOr<std::shared_ptr<const Blob>> LoadVerified(
      uint64_t name_hash, const Record& record, uint64_t offset,
      uint64_t length) const;
  absl::StatusOr<std::shared_ptr<const Blob>> LoadPlain(
      const ChainReader& chain, const Record& record, uint64_t offset,
      uint64_t length) const;
  int64_t LastAccess(const Namespace& ns, absl::string_view key,
                     const Record& record) const;

  // l2_write.cc
  void StageChange(uint64_t epoch, absl::string_view record_key,
                   StagedPtr change);
  absl::Status CheckUsable() const;
  // Finds a place for the chain and writes it there; into the record if short.
  absl::Status PlaceChain(uint64_t name_hash, absl::string_view header,
                          absl::Span<const absl::string_view> frames,
                          PreparedPut* put);
  absl::Status GrowBlobs(uint64_t units);
  // The trees may fill this share of `meta`; more is evicted, down to the
  // lesser one. A commit copies before it frees, so at most half; and the
  // nearer to that, the fewer puts a commit may hold: at 0.50, with blobs of 1
  // KiB, a commit came each 80 puts.
  static constexpr double kMetaFillHigh = 0.45;
  static constexpr double kMetaFillLow = 0.40;
  // What `meta` has for sure; what `blobs` must leave to it, so that neither
  // evicts for want of room that the other has; and what it may fill: also what
  // `blobs` has not taken, as small blobs need more for their records than
  // their share.
  uint64_t MetaShareBytes() const;
  uint64_t MetaReserveBytes() const;
  uint64_t MetaBytesMost() const;
  uint64_t FixedBytes() const;
  // What `blobs` may come to, and what of that nothing lies in. The latter is
  // negative when `meta` needs more than it has.
  int64_t BlobBytesMost() const;
  int64_t BlobBytesFree() const;
  bool ShouldCommitEarly() const;

  // l2_hydrate.cc
  absl::Status LoadHydration();
  // Makes the key absent: by a marker while hydrating.
  void StageAbsent(uint64_t epoch, uint32_t ns_id, uint64_t name_hash,
                   absl::string_view key, Hlc hlc);
  static bool IsMarker(const Record& record);

  // l2_commit.cc
  // `even_if_empty`: closes the current epoch also when nothing is staged, so
  // that whoever is inside has staged what it is about to.
  absl::Status CommitLocked(bool even_if_empty = false)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(commit_mu_);
  // Of the epoch that `closing_through_` is about.
  absl::Status CloseAndCommit() ABSL_EXCLUSIVE_LOCKS_REQUIRED(commit_mu_);
  absl::Status CommitEpoch(uint64_t epoch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(commit_mu_);
  bool NothingToCommit() const;
  void Publish(uint64_t epoch, const Superblock& next, bool synced)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(commit_mu_);
  void NoteMetaLive();
  void ReleaseQuarantine() ABSL_EXCLUSIVE_LOCKS_REQUIRED(commit_mu_);
  absl::Status GrowMeta(uint64_t pages);
  void Degrade(const absl::Status& why);
  void CommitterLoop();

  absl::StatusOr<std::unique_ptr<Snapshot>> PinNow(
      EpochLock::PinOptions options) ABSL_LOCKS_EXCLUDED(commit_mu_);
  // The last commit, whatever is staged.
  std::unique_ptr<Snapshot> PinCommitted(EpochLock::PinOptions options)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(commit_mu_);
  SnapshotInfo InfoLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(commit_mu_);

  // l2_sweep.cc
  // Looks at a record again, under its stripe, and removes it or moves it on.
  // `judge` may change the record's times and rank when it says kTouch. A put
  // or a removal that is staged is left alone: it is newer than what the sweep
  // saw.
  enum class Verdict { kKeep, kRemove, kTouch };
  using JudgeFn = absl::FunctionRef<Verdict(const Namespace&,
                                            absl::string_view key, Record*)>;
  // Returns: the record, if it was removed.
  absl::StatusOr<std::optional<Record>> Revisit(absl::string_view record_key,
                                                JudgeFn judge);
  // Says that a record's removal is staged. `blob_bytes`: of its extents.
  void NoteLeaving(uint64_t epoch, uint64_t blob_bytes, uint64_t tree_bytes);
  // Null when the key is impossible or of a namespace that nobody knows.
  const Namespace* NamespaceOf(absl::string_view record_key) const;
  absl::Status RevisitDue(absl::string_view record_key, int64_t now,
                          SliceReport* report);
  // Returns: whether what follows may be due too.
  absl::StatusOr<bool> SweepDueEntry(uint64_t epoch,
                                     absl::string_view ordered_key,
                                     absl::string_view value, int64_t now,
                                     SliceReport* report);
  absl::Status StartTombstoneRound()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(tombstone_sweep_mu_);
  void FinishTombstoneRound()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(tombstone_sweep_mu_);
  absl::Status MarkSlice(SliceLimit limit, SliceReport* report)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(orphan_mu_);
  void ReclaimSlice(SliceLimit limit, SliceReport* report)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(orphan_mu_);
  // The caller keeps `root` from reuse.
  absl::Status ReclaimOrphanPages(const Superblock& root);
  void StartOrphanRound() ABSL_EXCLUSIVE_LOCKS_REQUIRED(orphan_mu_);
  void ForEachOrphanRun(uint64_t first, uint64_t units_max, uint64_t* next,
                        absl::FunctionRef<void(Extent)> visit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(orphan_mu_);

  // l2_evict.cc
  // What a record of this key takes in the trees.
  static uint64_t TreeBytes(absl::string_view key, const Record& record);
  // The rank, as of now, of a record after so many requests for its key.
  uint64_t RankOf(absl::string_view key, const Record& record,
                  int64_t requests);
  // How often the record was read since it was last ranked.
  int64_t TakeReads(const Namespace& ns, absl::string_view key,
                    const Record& record);
  // One eviction under way.
  struct Eviction {
    SpaceMap::Lane lane;
    bool spare_hot;
    uint64_t bytes_left;  // To be staged to go.
    int64_t moves_left;   // Of records that are in the way.
  };
  // `rank`: where the age tree has the record.
  Verdict JudgeForEviction(Eviction* e, uint64_t rank, const Namespace& ns,
                           absl::string_view key, Record* record);
  // One slice over the age tree from the evictor's cursor.
  // Returns: whether the end was reached.
  absl::StatusOr<bool> EvictSlice(Eviction* e)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(evict_mu_);
  // Removes committed records of the least ranks until `bytes` are staged to go
  // or there is none left. `spare_hot`: what was read since it was ranked is
  // ranked anew instead, and may go after the next commit.
  absl::Status EvictBytes(SpaceMap::Lane lane, uint64_t bytes, bool spare_hot)
      ABSL_LOCKS_EXCLUDED(commit_mu_);
  // Keeps room for the puts until the next commit; for those beside a snapshot,
  // which keeps all that goes meanwhile.
  enum class RoomFor { kPuts, kSnapshot };
  absl::Status EvictToWatermark(RoomFor room_for = RoomFor::kPuts)
      ABSL_LOCKS_EXCLUDED(commit_mu_);
  // Bytes of `blobs` that should go before the next commit.
  double BlobsTooMuch(RoomFor room_for)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(watermark_mu_);
  // Whether small blobs should have chains in `blobs`, as others do.
  bool IsMetaScarce() const;

  const BlobCacheOptions options_;
  const Shared shared_;

  L2Files files_;
  std::shared_ptr<HeldChains> held_;  // With `files_`.
  std::unique_ptr<SpaceMap> blobs_map_;
  std::unique_ptr<SpaceMap> meta_map_;
  std::unique_ptr<MetaPages> meta_pages_;
  std::unique_ptr<Quarantine> quarantine_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<EpochLock> epoch_lock_;
  mutable ReaderSlots readers_;
  mutable WorkerPool decoders_;
  StagingTable staging_;
  SweptKeys swept_;
  // Idle-limited records that the sweep looked at, by the parity of the epoch.
  std::atomic<int64_t> revisited_[2] = {0, 0};

  // The published root; old ones go when no reader can have them.
  std::atomic<const Superblock*> root_{nullptr};
  std::atomic<uint64_t> committed_epoch_{0};
  std::atomic<uint64_t> durable_epoch_{0};  // Synced.
  std::atomic<uint64_t> hydration_floor_{0};

  mutable Mutex commit_mu_;
  // Closed and not yet committed (a commit failed), or 0.
  uint64_t pending_epoch_ ABSL_GUARDED_BY(commit_mu_) = 0;
  // The last HLC before an epoch that is not yet committed was told to close:
  // whoever enters later gets a newer one. Then that of the committed epoch.
  std::optional<Hlc> closing_through_ ABSL_GUARDED_BY(commit_mu_);
  Hlc complete_through_ ABSL_GUARDED_BY(commit_mu_);
  CommittedNamespaces committed_namespaces_ ABSL_GUARDED_BY(commit_mu_);
  // At the committed epoch, by their key in the system tree.
  std::map<std::string, CommittedTombstone> committed_tombstones_
      ABSL_GUARDED_BY(commit_mu_);
  int64_t spent_tombstones_ ABSL_GUARDED_BY(commit_mu_) = 0;
  // What readers may still see, with the epoch that replaced it.
  std::vector<std::pair<uint64_t, std::shared_ptr<const void>>> retired_
      ABSL_GUARDED_BY(commit_mu_);
  std::shared_ptr<const Superblock> root_owner_ ABSL_GUARDED_BY(commit_mu_);
  bool closed_ ABSL_GUARDED_BY(commit_mu_) = false;
  std::string replica_note_ ABSL_GUARDED_BY(commit_mu_);
  // Of the commit under way; null: it is of nobody's replica.
  const ReplicatedState* replicated_ ABSL_GUARDED_BY(commit_mu_) = nullptr;

  mutable Mutex tombstones_mu_;
  std::vector<StagedTombstone> staged_tombstones_[2] ABSL_GUARDED_BY(
      tombstones_mu_);
  std::atomic<int64_t> staged_tombstones_count_{0};

  Mutex due_mu_;
  DueSweep due_ ABSL_GUARDED_BY(due_mu_);
  Mutex tombstone_sweep_mu_;
  TombstoneSweep tombstone_sweep_ ABSL_GUARDED_BY(tombstone_sweep_mu_);
  Mutex orphan_mu_;
  OrphanSweep orphans_ ABSL_GUARDED_BY(orphan_mu_);
  Mutex grow_mu_;  // A leaf: who makes a file larger sees all sizes.
  Mutex room_mu_;  // One put at a time makes room.
  EvictionClock eviction_clock_;
  RequestHistory history_;
  Mutex watermark_mu_;  // One at a time looks what is too much.
  // What `blobs` grew by from one commit to the next, and from when.
  double room_ ABSL_GUARDED_BY(watermark_mu_) = 0;
  double blobs_used_before_ ABSL_GUARDED_BY(watermark_mu_) = 0;
  Mutex evict_mu_;
  Evictor evictor_ ABSL_GUARDED_BY(evict_mu_);
  // Bytes whose removal is staged and not yet committed, by the parity of the
  // epoch.
  struct Leaving {
    std::atomic<int64_t> blobs{0}, meta{0};
  };
  Leaving leaving_[2];
  // What the trees took after the last commit: one that is running has their
  // old pages and their new ones.
  std::atomic<int64_t> meta_live_bytes_{0};

  // Why puts are refused; empty while they are not.
  mutable Mutex degraded_mu_;
  std::string degraded_ ABSL_GUARDED_BY(degraded_mu_);
  std::atomic<bool> is_degraded_{false};

  struct Counters {
    std::atomic<int64_t> commits{0}, commit_failures{0}, evictions{0},
        expirations{0}, full_rejections{0}, damaged_reads{0};
    // One a get or a put.
    StripedCounter metadata_reads, negative_skips, compression_skipped;
  };
  mutable Counters counters_;

  // Puts that wait for their commit: one of them leads.
  Mutex group_mu_;
  std::condition_variable_any group_gathered_, group_committed_;
  bool group_has_leader_ ABSL_GUARDED_BY(group_mu_) = false;
  int64_t group_waiting_ ABSL_GUARDED_BY(group_mu_) = 0;
  int64_t group_last_ ABSL_GUARDED_BY(group_mu_) = 0;  // In the last commit.
  std::chrono::steady_clock::duration group_duration_
      ABSL_GUARDED_BY(group_mu_){};

  Mutex committer_mu_;
  std::condition_variable_any committer_wake_;
  bool stop_committer_ ABSL_GUARDED_BY(committer_mu_) = false;
  std::thread committer_;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_L2_STORE_H_
