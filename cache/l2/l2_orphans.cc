// Orphans: space that is marked in use and that no record holds, left by a
// kill between chain and commit. Mark from a pinned root, sweep the difference.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cache/l2/l2_snapshot.h"
#include "cache/l2/l2_store.h"
#include "cache/l2/slice_clock.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// What a slice looks at between two looks at the clock.
constexpr uint64_t kUnitsPerStep = 8192;

void SetBits(std::vector<uint64_t>* bits, Extent e) {
  for (uint64_t unit = e.first; unit < e.first + e.units; ++unit) {
    if (unit / 64 < bits->size()) {
      (*bits)[unit / 64] |= uint64_t{1} << (unit % 64);
    }
  }
}

bool BitIsSet(const std::vector<uint64_t>& bits, uint64_t unit) {
  return unit / 64 < bits.size() && ((bits[unit / 64] >> (unit % 64)) & 1) != 0;
}

}  // namespace

// Of what is staged nothing is inherited, so that the last commit will do: what
// the next one has no room for may be just what orphans take.
void L2Store::StartOrphanRound() {
  orphans_ = OrphanSweep();
  {
    MutexLock lock(&commit_mu_);
    orphans_.pinned = PinCommitted({.owner = "orphan sweep"});
  }
  orphans_.used.assign(blobs_map_->capacity_units() / 64 + 1, 0);
}

absl::Status L2Store::MarkSlice(SliceLimit limit, SliceReport* report) {
  OrphanSweep& sweep = orphans_;
  const auto* pinned = static_cast<const PinnedSnapshot*>(sweep.pinned.get());
  const ReaderSlots::Guard reading = pinned->EnterPinned();
  LARDER_RETURN_IF_ERROR(pinned->status());
  const EpochLock::Guard guard = epoch_lock_->Enter();
  SliceClock clock(shared_.clock, limit);
  bool more = false;
  // By pointer: the analysis takes a lambda for one that holds no lock.
  std::string* const cursor = &sweep.cursor;
  // A damaged page hides what it references: nothing may be reclaimed.
  LARDER_RETURN_IF_ERROR(
      TreeAt(pinned->root().records)
          .Walk(sweep.cursor,
                [&](absl::string_view key, absl::string_view value) {
                  if (!clock.Next()) {
                    *cursor = std::string(key);
                    more = true;
                    return false;
                  }
                  ++report->scanned;
                  if (absl::StatusOr<Record> r = DecodeRecord(value); r.ok()) {
                    for (const Extent& e : r->extents) SetBits(&sweep.used, e);
                  }
                  return true;
                }));
  sweep.marked = !more;
  return absl::OkStatus();
}

void L2Store::ForEachOrphanRun(uint64_t first, uint64_t units_max,
                               uint64_t* next,
                               absl::FunctionRef<void(Extent)> visit) {
  const std::vector<uint64_t>& used = orphans_.used;
  *next = blobs_map_->ForEachInheritedRun(first, units_max, [&](Extent run) {
    uint64_t start = run.first;
    const uint64_t end = run.first + run.units;
    while (start < end) {
      while (start < end && BitIsSet(used, start)) ++start;
      uint64_t stop = start;
      while (stop < end && !BitIsSet(used, stop)) ++stop;
      if (stop > start) visit({start, stop - start});
      start = stop;
    }
  });
}

void L2Store::ReclaimSlice(SliceLimit limit, SliceReport* report) {
  const EpochLock::Guard guard = epoch_lock_->Enter();
  SliceClock clock(shared_.clock, limit);
  const uint64_t capacity = blobs_map_->capacity_units();
  while (orphans_.next_unit < capacity) {
    uint64_t next;
    std::vector<Extent> runs;
    ForEachOrphanRun(orphans_.next_unit, kUnitsPerStep, &next,
                     [&](Extent run) { runs.push_back(run); });
    for (const Extent& run : runs) {
      if (!clock.Next()) {
        orphans_.next_unit = run.first;
        return;
      }
      quarantine_->Free(SpaceMap::Lane::kBlobs, run, 0);
      // A step may end within a run.
      if (run.first != orphans_.freed_end) {
        ++report->scanned;
        ++report->removed;
      }
      report->bytes += static_cast<int64_t>(run.units * kUnitBytes);
      orphans_.freed_end = run.first + run.units;
    }
    orphans_.next_unit = next;
    if (clock.IsTimeUp()) return;
  }
  report->done = true;
}

absl::Status L2Store::ReclaimOrphanPages(const Superblock& root) {
  const uint64_t capacity = meta_map_->capacity_units();
  std::vector<uint64_t> used(capacity / 64 + 1, 0);
  SetBits(&used, {0, kSuperblockPages});
  absl::Status damage = absl::OkStatus();
  for (const ChildRef& tree : {root.records, root.due, root.age, root.system}) {
    LARDER_RETURN_IF_ERROR(TreeAt(tree).VisitPages(
        [&](const Tree::PageInfo& page) {
          SetBits(&used, {page.ref.page, 1});
        },
        [&](const Tree::Damage& d) { damage.Update(d.status); }));
  }
  LARDER_RETURN_IF_ERROR(damage);
  std::vector<Extent> orphaned;
  meta_map_->ForEachInheritedRun(0, capacity, [&](Extent run) {
    for (uint64_t page = run.first; page < run.first + run.units; ++page) {
      if (!BitIsSet(used, page)) orphaned.push_back({page, 1});
    }
  });
  for (const Extent& e : orphaned) {
    quarantine_->Free(SpaceMap::Lane::kMeta, e, 0);
  }
  return absl::OkStatus();
}

absl::StatusOr<SliceReport> L2Store::ReclaimOrphansSlice(SliceLimit limit) {
  LARDER_RETURN_IF_ERROR(CheckUsable());
  SliceReport report;
  MutexLock lock(&orphan_mu_);
  if (orphans_.pinned == nullptr) StartOrphanRound();
  absl::Status status = absl::OkStatus();
  if (!orphans_.marked) {
    status = MarkSlice(limit, &report);
  } else {
    ReclaimSlice(limit, &report);
    if (report.done) {
      const auto* pinned =
          static_cast<const PinnedSnapshot*>(orphans_.pinned.get());
      const ReaderSlots::Guard reading = pinned->EnterPinned();
      status = pinned->status();
      if (status.ok()) status = ReclaimOrphanPages(pinned->root());
    }
  }
  if (!status.ok()) {
    orphans_ = OrphanSweep();
    // The pin gave way to puts that needed the room: the round starts over.
    report.done = false;
    if (absl::IsAborted(status)) return report;
    return status;
  }
  if (report.done) {
    orphans_ = OrphanSweep();
    // What a kill left behind is on its way out, and all else is in use.
    blobs_map_->ForgetInherited();
    meta_map_->ForgetInherited();
    MutexLock commit_lock(&commit_mu_);
    ReleaseQuarantine();
    LARDER_RETURN_IF_ERROR(blobs_map_->FlushDirty());
    LARDER_RETURN_IF_ERROR(meta_map_->FlushDirty());
  }
  return report;
}

absl::Status L2Store::ForEachOrphan(
    absl::FunctionRef<bool(const OrphanChain&)> visit) {
  MutexLock lock(&orphan_mu_);
  // A reclaim that is under way starts over.
  StartOrphanRound();
  SliceReport ignored;
  while (!orphans_.marked) {
    if (absl::Status s = MarkSlice(SliceLimit(), &ignored); !s.ok()) {
      orphans_ = OrphanSweep();
      return s;
    }
  }
  bool go_on = true;
  Extent pending;  // A step may end within a run.
  const auto visit_pending = [&] {
    if (pending.units > 0 && go_on) {
      go_on = visit({pending.first * kUnitBytes, pending.units * kUnitBytes});
    }
  };
  for (uint64_t unit = 0, next; go_on && unit < blobs_map_->capacity_units();
       unit = next) {
    ForEachOrphanRun(unit, kUnitsPerStep, &next, [&](Extent run) {
      if (run.first == pending.first + pending.units) {
        pending.units += run.units;
        return;
      }
      visit_pending();
      pending = run;
    });
  }
  visit_pending();
  orphans_ = OrphanSweep();
  return absl::OkStatus();
}

}  // namespace larder::cache::l2
