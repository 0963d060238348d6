#include "cache/l2/repair_records.h"

#include <algorithm>
#include <functional>
#include <iterator>

#include "cache/check.h"
#include "cache/l2/check_chain.h"
#include "cache/l2/commit_merge.h"
#include "cache/l2/tree_builder.h"
#include "cache/policy.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {

RecordsRepair::RecordsRepair(const Setting& setting, const Survey& survey,
                             const ChildRef& records, const ChildRef& age)
    : s_(setting),
      root_(records),
      age_(setting.pages, age),
      live_units_(setting.blobs->Size() / kUnitBytes, false) {
  for (const Survey::LostPage& page : survey.lost) {
    if (page.tree != MetaTree::kRecords) continue;
    lost_[page.damage.low] = page.damage.high;
    lost_records_ += page.damage.ref.entries;
  }
}

bool RecordsRepair::IsLost(absl::string_view record_key) const {
  const auto behind = lost_.upper_bound(record_key);
  if (behind == lost_.begin()) return false;
  const std::string& high = std::prev(behind)->second;
  return high.empty() || record_key < high;
}

bool RecordsRepair::IsRemoved(absl::string_view record_key) const {
  return s_.system->removed_keys().contains(record_key);
}

// The age tree has just what is live. A deleted or replaced record, which an
// old page may still have, is not in it.
bool RecordsRepair::IsLive(absl::string_view record_key,
                           const Record& record) const {
  const auto live = age_.Find(OrderedKey(record.rank, record_key));
  return live.ok() && *live == EncodeAgeEntry(record);
}

bool RecordsRepair::NoteLostLeaf(const ChildRef& ref, const PageView& leaf) {
  if (lost_.empty()) return false;
  for (int i = 0; i < leaf.size(); ++i) {
    if (!IsLost(leaf.key(i))) continue;
    const absl::StatusOr<Record> record = DecodeRecord(leaf.value(i));
    if (!record.ok()) continue;
    if (!IsLive(leaf.key(i), *record)) continue;
    sources_.emplace_back(ref.epoch, ref.page);
    return true;
  }
  return false;
}

// --- Judging.

absl::StatusOr<RecordsRepair::Verdict> RecordsRepair::Judge(
    absl::string_view record_key, absl::string_view value, Known* known) {
  if (!SplitRecordKey(record_key, &known->ns_id, &known->key)) {
    return Verdict{DropCause::kRecord, "record: impossible key"};
  }
  known->space = s_.system->Find(known->ns_id);
  absl::StatusOr<Record> record = DecodeRecord(value);
  if (!record.ok()) {
    return Verdict{DropCause::kRecord, std::string(record.status().message())};
  }
  known->record = *std::move(record);
  if (known->space == nullptr) {
    return Verdict{DropCause::kNamespace, "its namespace's name is lost"};
  }
  const Record& r = known->record;
  const std::optional<Hlc>& flushed = known->space->lost_through;
  if (flushed.has_value() && r.hlc <= *flushed) {
    return Verdict{DropCause::kNamespace,
                   "its namespace's entry is lost: it may have been flushed"};
  }
  if (s_.system->lost().MayCover(known->ns_id, known->key, r)) {
    return Verdict{DropCause::kInvalidation,
                   "an invalidation that is lost may have covered it"};
  }
  const absl::Status chain =
      CheckChain(*s_.blobs, r, known->space->name, known->key);
  if (absl::IsDataLoss(chain)) {
    return Verdict{DropCause::kChain, std::string(chain.message())};
  }
  LARDER_RETURN_IF_ERROR(chain);
  if (!Claim(r)) {
    return Verdict{DropCause::kOverlap, "another blob has its place"};
  }
  return Verdict();
}

void RecordsRepair::SetLive(const Record& record, bool live) {
  for (const Extent& e : record.extents) {
    std::fill_n(live_units_.begin() + static_cast<ptrdiff_t>(e.first), e.units,
                live);
  }
}

// All of its units, or none.
bool RecordsRepair::Claim(const Record& record) {
  for (const Extent& e : record.extents) {
    for (uint64_t u = e.first; u < e.first + e.units; ++u) {
      if (u >= live_units_.size() || live_units_[u]) return false;
    }
  }
  for (const Extent& e : record.extents) {
    for (uint64_t u = e.first; u < e.first + e.units; ++u) {
      if (live_units_[u]) {  // By itself.
        SetLive(record, false);
        return false;
      }
      live_units_[u] = true;
    }
  }
  return true;
}

void RecordsRepair::Account(const Known& known, int sign) {
  const Record& r = known.record;
  // Unsigned numbers wrap, so that adding a negative one subtracts.
  const uint64_t one = sign > 0 ? 1 : ~uint64_t{0};
  for (SystemRepair::Counts* c : {&totals_.counts, &counts_[known.ns_id]}) {
    c->records += one;
    c->raw_bytes += one * r.raw_bytes;
    c->stored_bytes += one * r.stored_bytes;
  }
  if (DueAtUnixMillis(r.expiry, r.last_access_unix_ms) != 0) totals_.due += one;
  const absl::uint128 term = DigestTerm(known.space->name, known.key, r);
  totals_.digest += sign > 0 ? term : -term;
}

// Returns: whether it stays.
absl::StatusOr<bool> RecordsRepair::Take(absl::string_view record_key,
                                         absl::string_view value, bool report) {
  Known known;
  LARDER_ASSIGN_OR_RETURN(Verdict verdict, Judge(record_key, value, &known));
  if (verdict.why.empty()) {
    Account(known, +1);
    s_.system->CheckSynopsis(known.ns_id, known.key);
    s_.due->Add(record_key, known.record);
    s_.age->Add(record_key, known.record);
    return true;
  }
  if (verdict.cause == DropCause::kChain) {
    for (const Extent& e : known.record.extents) {
      if (damaged_extents_.size() >= kDamagedExtentsMax) break;
      damaged_extents_.push_back(e);
    }
  }
  if (!report) return false;
  RepairReport::Dropped dropped;
  dropped.ns_id = known.ns_id;
  if (known.space != nullptr) dropped.ns = known.space->name;
  dropped.key = std::string(known.key.empty() ? record_key : known.key);
  dropped.cause = verdict.cause;
  dropped.why = std::move(verdict.why);
  s_.report->Drop(std::move(dropped));
  return false;
}

absl::Status RecordsRepair::Check(absl::FunctionRef<bool()> cancelled) {
  absl::Status bad;
  // By pages, as PruneTree() goes: each record has its place in `keep_`.
  LARDER_RETURN_IF_ERROR(Tree(s_.pages, root_)
                             .VisitPages(
                                 [&](const Tree::PageInfo& page) {
                                   if (page.level == 0 && bad.ok()) {
                                     bad = CheckLeaf(page.ref, cancelled);
                                   }
                                 },
                                 [](const Tree::Damage&) {}));
  return bad;
}

absl::Status RecordsRepair::CheckLeaf(const ChildRef& ref,
                                      absl::FunctionRef<bool()> cancelled) {
  LARDER_ASSIGN_OR_RETURN(const PageView leaf, s_.pages->Get(ref));
  for (int i = 0; i < leaf.size(); ++i) {
    if (cancelled()) return absl::CancelledError("stopped on request");
    LARDER_ASSIGN_OR_RETURN(const bool stays,
                            Take(leaf.key(i), leaf.value(i), /*report=*/true));
    keep_.push_back(stays);
    dropped_any_ |= !stays;
  }
  return absl::OkStatus();
}

// --- Building.

// What the journal removes: it was good.
void RecordsRepair::Forget(absl::string_view record_key,
                           absl::string_view value) {
  Known known;
  known.record = *DecodeRecord(value);
  SplitRecordKey(record_key, &known.ns_id, &known.key);
  known.space = s_.system->Find(known.ns_id);
  Account(known, -1);
  s_.due->Remove(record_key, known.record);
  s_.age->Remove(record_key, known.record);
  SetLive(known.record, false);
}

absl::StatusOr<ChildRef> RecordsRepair::Build(uint64_t epoch) {
  ChildRef root = root_;
  if (changed() || !s_.system->removed_keys().empty()) {
    size_t at = 0;
    LARDER_ASSIGN_OR_RETURN(
        root, PruneTree(s_.pages, s_.pages, root_, epoch,
                        [&](absl::string_view key, absl::string_view value) {
                          LARDER_CHECK(at < keep_.size());
                          if (!keep_[at++]) return false;
                          if (!IsRemoved(key)) return true;
                          Forget(key, value);
                          return false;
                        }));
  }
  LARDER_ASSIGN_OR_RETURN(root, Recover(root, epoch));
  LARDER_RETURN_IF_ERROR(ReportLost(Tree(s_.pages, root)));
  return root;
}

absl::StatusOr<ChildRef> RecordsRepair::Recover(ChildRef root, uint64_t epoch) {
  // The newest copy knows best when a blob was read.
  std::sort(sources_.begin(), sources_.end(), std::greater<>());
  std::string bytes(kPageBytes, '\0');
  for (const auto& [source_epoch, page] : sources_) {
    if (!s_.pages->Copy(page, bytes.data())) continue;
    LARDER_ASSIGN_OR_RETURN(const ChildRef ref,
                            PageView::SelfRef(bytes.data()));
    LARDER_ASSIGN_OR_RETURN(const PageView leaf,
                            PageView::Verify(bytes.data(), ref));
    TreeChanges found;
    for (int i = 0; i < leaf.size(); ++i) {
      const absl::string_view key = leaf.key(i);
      if (!IsLost(key) || IsRemoved(key)) continue;
      const absl::StatusOr<Record> record = DecodeRecord(leaf.value(i));
      if (!record.ok()) continue;
      if (!IsLive(key, *record)) continue;
      LARDER_ASSIGN_OR_RETURN(const auto there, Tree(s_.pages, root).Find(key));
      if (there.has_value()) continue;
      LARDER_ASSIGN_OR_RETURN(const bool stays,
                              Take(key, leaf.value(i), /*report=*/false));
      if (!stays) continue;
      found.Put(key, leaf.value(i));
      ++s_.report->recovered_records;
    }
    LARDER_ASSIGN_OR_RETURN(root, found.Apply(s_.pages, s_.pages, root, epoch));
  }
  return root;
}

// The age tree names what was on lost pages.
absl::Status RecordsRepair::ReportLost(const Tree& rebuilt) {
  if (lost_.empty()) return absl::OkStatus();
  uint64_t named = 0;
  absl::Status bad;
  LARDER_RETURN_IF_ERROR(age_.WalkDespiteDamage(
      "",
      [&](absl::string_view age_key, absl::string_view) {
        uint64_t at;
        absl::string_view record_key;
        RepairReport::Dropped dropped;
        absl::string_view key;
        if (!SplitOrderedKey(age_key, &at, &record_key) ||
            !SplitRecordKey(record_key, &dropped.ns_id, &key) ||
            !IsLost(record_key)) {
          return true;
        }
        ++named;
        if (IsRemoved(record_key)) return true;
        const auto there = rebuilt.Find(record_key);
        bad = there.status();
        if (!bad.ok() || there->has_value()) return bad.ok();
        const SystemRepair::Space* space = s_.system->Find(dropped.ns_id);
        if (space != nullptr) dropped.ns = space->name;
        dropped.key = std::string(key);
        dropped.cause = DropCause::kPage;
        dropped.why = "its page is damaged";
        s_.report->Drop(std::move(dropped));
        return true;
      },
      [](const Tree::Damage&) {}));
  LARDER_RETURN_IF_ERROR(bad);
  if (lost_records_ > named) {
    const int64_t unnamed = static_cast<int64_t>(lost_records_ - named);
    s_.report->dropped_unnamed += unnamed;
    s_.report->dropped_records += unnamed;
    s_.report->dropped_by_cause[static_cast<size_t>(DropCause::kPage)] +=
        unnamed;
  }
  return absl::OkStatus();
}

}  // namespace larder::cache::l2
