// Sweeps: what leaves an L2 because it is dead, without being asked for by key.
#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/check.h"
#include "cache/l2/l2_store.h"
#include "cache/l2/slice_clock.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// Swept keys that wait for a commit take so much memory; then one comes early.
// Large, since a commit that removes much rewrites few pages a record.
constexpr int64_t kSweptBytesMax = int64_t{64} << 20;

}  // namespace

const Namespace* L2Store::NamespaceOf(absl::string_view record_key) const {
  uint32_t id;
  absl::string_view key;
  return SplitRecordKey(record_key, &id, &key)
             ? shared_.namespaces->FindById(id)
             : nullptr;
}

absl::StatusOr<std::optional<Record>> L2Store::Revisit(
    absl::string_view record_key, JudgeFn judge) {
  uint32_t ns_id;
  absl::string_view key;
  if (!SplitRecordKey(record_key, &ns_id, &key)) {
    return absl::DataLossError("sweep: impossible record key");
  }
  const Namespace* ns = shared_.namespaces->FindById(ns_id);
  if (ns == nullptr) {
    return absl::DataLossError(
        absl::StrCat("sweep: record of unknown namespace ", ns_id));
  }
  MutexLock stripe(shared_.key_locks->Of(ns->HashOf(key)));
  // Entered inside the stripe, as puts do: changes of one key never go to an
  // older epoch than the last one's, whatever epoch the slice began in.
  const EpochLock::Guard guard = epoch_lock_->Enter();
  std::optional<Record> record;
  if (const StagedPtr staged = staging_.Find(record_key); staged == nullptr) {
    Record committed;
    LARDER_ASSIGN_OR_RETURN(const bool found,
                            FindCommitted(record_key, &committed));
    if (found) record = std::move(committed);
  } else if (staged->kind == StagedChange::Kind::kTouch) {
    record = staged->record;  // Still the record that the sweep saw.
  }
  if (!record.has_value()) return record;
  switch (judge(*ns, key, &*record)) {
    case Verdict::kKeep:
      return std::optional<Record>();
    case Verdict::kTouch:
      StageChange(guard.epoch(), record_key,
                  MakeChange(StagedChange::Kind::kTouch, *std::move(record)));
      return std::optional<Record>();
    case Verdict::kRemove:
      break;
  }
  if (const Hlc floor = hydration_floor();
      floor.value != 0 && record->hlc <= floor) {
    // It is in the snapshot, which may give it back.
    StageChange(guard.epoch(), record_key, MakeRemoval(shared_.hlc->Next()));
  } else {
    LARDER_RETURN_IF_ERROR(StageRemove(guard, *ns, key, shared_.hlc->Next(),
                                       /*journal=*/false));
  }
  NoteLeaving(guard.epoch(), record->allocated_units() * kUnitBytes,
              TreeBytes(key, *record));
  if (shared_.on_removed) shared_.on_removed(*ns, key, record->hlc);
  return record;
}

void L2Store::NoteLeaving(uint64_t epoch, uint64_t blob_bytes,
                          uint64_t tree_bytes) {
  leaving_[epoch % 2].blobs += static_cast<int64_t>(blob_bytes);
  leaving_[epoch % 2].meta += static_cast<int64_t>(tree_bytes);
}

// What reads put off is looked at again, and may get a later time.
absl::Status L2Store::RevisitDue(absl::string_view record_key, int64_t now,
                                 SliceReport* report) {
  const auto judge = [&](const Namespace& ns, absl::string_view key,
                         Record* r) {
    if (hydration_floor().value != 0 && IsMarker(*r)) return Verdict::kKeep;
    const int64_t due = DueAtUnixMillis(r->expiry, r->last_access_unix_ms);
    if (due == 0 || due > now) return Verdict::kKeep;
    const int64_t last_access = LastAccess(ns, key, *r);
    if (Judge(r->expiry, now, last_access) == Liveness::kDead) {
      return Verdict::kRemove;
    }
    r->last_access_unix_ms = last_access;  // Idle time was extended.
    return Verdict::kTouch;
  };
  absl::StatusOr<std::optional<Record>> removed = Revisit(record_key, judge);
  if (absl::IsDataLoss(removed.status())) {
    // A damaged page hides this record; what lies behind it is due too.
    counters_.damaged_reads.fetch_add(1);
    return absl::OkStatus();
  }
  LARDER_RETURN_IF_ERROR(removed.status());
  if (removed->has_value()) {
    report->AddRemoved(NamespaceOf(record_key)->name(),
                       static_cast<int64_t>(DiskBytes(**removed)));
  }
  return absl::OkStatus();
}

// A record that expired is invisible already. So its removal is not staged, it
// waits in `swept_`, and its record is not even read: the due tree says all
// there is to know, and the commit looks before it removes.
absl::StatusOr<bool> L2Store::SweepDueEntry(uint64_t epoch,
                                            absl::string_view ordered_key,
                                            absl::string_view value,
                                            int64_t now, SliceReport* report) {
  uint64_t due;
  absl::string_view record_key;
  if (!SplitOrderedKey(ordered_key, &due, &record_key)) return true;
  if (due > static_cast<uint64_t>(now)) return false;
  ++report->scanned;
  const absl::StatusOr<DueEntry> entry = DecodeDueEntry(value);
  const Namespace* ns = NamespaceOf(record_key);
  if (!entry.ok() || ns == nullptr) {
    counters_.damaged_reads.fetch_add(1);
    return true;
  }
  // While hydrating the record tells whether it must leave a marker.
  if (entry->idle_limited || hydration_floor().value != 0) {
    revisited_[epoch % 2].fetch_add(1);
    LARDER_RETURN_IF_ERROR(RevisitDue(record_key, now, report));
    return true;
  }
  const StagedPtr staged = staging_.Find(record_key);
  const bool is_replaced =
      staged != nullptr && staged->kind != StagedChange::Kind::kTouch;
  if (is_replaced) return true;
  swept_.Add(epoch, ordered_key);
  const int64_t bytes = static_cast<int64_t>(entry->disk_bytes);
  NoteLeaving(epoch, entry->disk_bytes,
              TreeBytes(record_key.substr(kNamespaceIdBytes), Record()));
  report->AddRemoved(ns->name(), bytes);
  return true;
}

absl::StatusOr<SliceReport> L2Store::SweepDueSlice(SliceLimit limit) {
  LARDER_RETURN_IF_ERROR(CheckUsable());
  if (swept_.bytes() > kSweptBytesMax) LARDER_RETURN_IF_ERROR(CommitNow());
  SliceReport report;
  MutexLock lock(&due_mu_);
  const ReaderSlots::Guard reading = EnterRead();
  const EpochLock::Guard guard = epoch_lock_->Enter();
  SliceClock clock(shared_.clock, limit);
  const int64_t now = shared_.clock->NowUnixMillis();
  if (swept_.size() + revisited_[0] + revisited_[1] == 0) {
    due_.handled_through.clear();
  }
  absl::string_view handled_through = due_.handled_through;
  absl::Status bad = absl::OkStatus();
  report.done = true;
  // By pointer: the analysis takes a lambda for one that holds no lock.
  std::string* const cursor = &due_.cursor;
  const auto visit = [&](absl::string_view key, absl::string_view value) {
    if (key <= handled_through) return true;
    if (!clock.Next()) {
      *cursor = std::string(key);
      report.done = false;
      return false;
    }
    const absl::StatusOr<bool> go_on =
        SweepDueEntry(guard.epoch(), key, value, now, &report);
    bad.Update(go_on.status());
    if (go_on.ok() && *go_on) handled_through = key;
    return go_on.ok() && *go_on;
  };
  LARDER_RETURN_IF_ERROR(
      TreeAt(root()->due)
          .Walk(std::max(due_.cursor, due_.handled_through), visit));
  due_.handled_through = std::string(handled_through);
  LARDER_RETURN_IF_ERROR(bad);
  if (report.done) due_.cursor.clear();
  counters_.expirations.fetch_add(report.removed);
  return report;
}

absl::StatusOr<int64_t> L2Store::SweepDebt() const {
  const ReaderSlots::Guard reading = EnterRead();
  const uint64_t now = static_cast<uint64_t>(shared_.clock->NowUnixMillis());
  LARDER_ASSIGN_OR_RETURN(const uint64_t due,
                          TreeAt(root()->due).Rank(OrderedKey(now + 1, "")));
  // What a sweep has dealt with stays in the committed tree until the commit.
  const int64_t done = swept_.size() + revisited_[0] + revisited_[1];
  return std::max<int64_t>(0, static_cast<int64_t>(due) - done);
}

// --- Tombstoned records: one walk over the namespaces that need it, from a
// root that holds every put older than the tombstones, then the tombstones go.

absl::Status L2Store::StartTombstoneRound() {
  TombstoneSweep& t = tombstone_sweep_;
  t = TombstoneSweep();
  for (Namespace* ns : shared_.namespaces->All()) {
    if (ns->NeedsPurge()) t.namespaces.push_back(ns);
  }
  if (t.namespaces.empty()) return absl::OkStatus();
  t.round_hlc = shared_.hlc->Last();
  {
    // A put or a tombstone older than that is in an epoch that this closes,
    // also when the put has its HLC and is not staged yet.
    MutexLock lock(&commit_mu_);
    LARDER_RETURN_IF_ERROR(CommitLocked(/*even_if_empty=*/true));
  }
  t.running = true;
  return absl::OkStatus();
}

void L2Store::FinishTombstoneRound() {
  TombstoneSweep& t = tombstone_sweep_;
  const EpochLock::Guard guard = epoch_lock_->Enter();
  for (Namespace* ns : t.namespaces) {
    ns->set_purged_through(t.round_hlc);
    for (const Tombstone& tombstone : ns->Tombstones()) {
      if (tombstone.hlc > t.round_hlc) continue;
      // Live until the commit that holds the removals does not need it.
      StageSpent(guard, tombstone);
    }
  }
  t = TombstoneSweep();
}

absl::StatusOr<SliceReport> L2Store::SweepTombstonedSlice(
    SliceLimit limit,
    absl::FunctionRef<bool(int64_t entries_max, SliceReport*)> sweep_l1) {
  LARDER_RETURN_IF_ERROR(CheckUsable());
  SliceReport report;
  if (hydration_floor().value != 0) {
    report.done = true;  // A tombstone may cover what is still to come.
    return report;
  }
  MutexLock lock(&tombstone_sweep_mu_);
  TombstoneSweep& t = tombstone_sweep_;
  if (!t.running) LARDER_RETURN_IF_ERROR(StartTombstoneRound());
  if (!t.running) {
    report.done = true;  // No tombstone waits for a purge.
    return report;
  }
  const ReaderSlots::Guard reading = EnterRead();
  EpochLock::Guard guard = epoch_lock_->Enter();
  SliceClock clock(shared_.clock, limit);
  // Not members of `t`: the analysis takes a lambda for one without the lock.
  const Hlc round_hlc = t.round_hlc;
  std::string* const cursor = &t.cursor;
  // Not by a tombstone of a later epoch: a snapshot of this one would miss the
  // record and not hold the tombstone.
  const auto judge = [&](const Namespace& ns, absl::string_view key,
                         Record* r) {
    return ns.IsValid(key, r->hlc, r->invalidation_hashes, round_hlc)
               ? Verdict::kKeep
               : Verdict::kRemove;
  };
  absl::Status bad = absl::OkStatus();
  bool out_of_budget = false;
  while (t.at < t.namespaces.size() && !out_of_budget) {
    Namespace* ns = t.namespaces[t.at];
    if (t.cursor.empty()) t.cursor = RecordKey(ns->id(), "");
    LARDER_RETURN_IF_ERROR(
        TreeAt(root()->records)
            .Walk(t.cursor, [&](absl::string_view record_key,
                                absl::string_view value) {
              uint32_t id;
              absl::string_view key;
              if (!SplitRecordKey(record_key, &id, &key) || id != ns->id()) {
                return false;
              }
              if (!clock.Next()) {
                *cursor = std::string(record_key);
                out_of_budget = true;
                return false;
              }
              ++report.scanned;
              absl::StatusOr<Record> seen = DecodeRecord(value);
              if (seen.ok() &&
                  ns->IsValid(key, seen->hlc, seen->invalidation_hashes,
                              round_hlc)) {
                return true;
              }
              absl::StatusOr<std::optional<Record>> removed =
                  Revisit(record_key, judge);
              // Also when damage hides it now: were it passed over, its
              // tombstone would retire, and it come back with the page.
              bad.Update(removed.status());
              if (removed.ok() && removed->has_value()) {
                report.AddRemoved(ns->name(),
                                  static_cast<int64_t>(DiskBytes(**removed)));
              }
              return bad.ok();
            }));
    LARDER_RETURN_IF_ERROR(bad);
    if (!out_of_budget) {
      ++t.at;
      t.cursor.clear();
    }
  }
  guard.Leave();
  const int64_t left = limit.entries_max - report.scanned;
  if (!out_of_budget && left > 0 && sweep_l1(left, &report)) {
    FinishTombstoneRound();
    report.done = true;
  }
  return report;
}

}  // namespace larder::cache::l2
