// What changed since an epoch: the leaves that are newer, as ranges of keys.
#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/l2/l2_snapshot.h"
#include "cache/name_hash.h"
#include "cache/record_fingerprint.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

int64_t BytesOf(const StoredRecord& r) {
  size_t bytes = sizeof(StoredRecord) + r.key.size();
  for (const std::string& tag : r.attributes.tags) bytes += tag.size();
  for (const std::string& d : r.attributes.dependencies) bytes += d.size();
  for (const auto& [name, value] : r.attributes.metadata) {
    bytes += name.size() + value.size();
  }
  return static_cast<int64_t>(bytes);
}

}  // namespace

// Turns leaves of one namespace, from record key `from` on, into ranges.
class PinnedSnapshot::DeltaReader {
 public:
  DeltaReader(const PinnedSnapshot* snapshot, const Namespace& ns,
              std::string from, DeltaBatch* batch)
      : snapshot_(snapshot),
        ns_(ns),
        prefix_(RecordKey(ns.id(), "")),
        name_seed_(NameSeed(ns.name())),
        from_(std::move(from)),
        batch_(batch) {}

  // Returns: the record key to go on from, or nothing at the namespace's end.
  absl::StatusOr<std::optional<std::string>> Run() {
    const Tree tree(snapshot_->store_->meta_pages_.get(),
                    snapshot_->root_.records);
    LARDER_RETURN_IF_ERROR(tree.VisitLeavesSinceDespiteDamage(
        batch_->base.epoch, from_,
        [&](const Tree::LeafInfo& info) { return TakeLeaf(info); },
        [&](const Tree::Damage& damage) { TakeDamage(damage); }));
    return std::move(next_);
  }

 private:
  // Whether a fence lies behind all keys of the namespace.
  bool IsBehind(absl::string_view fence) const {
    return fence >= prefix_ && !absl::StartsWith(fence, prefix_);
  }
  absl::string_view UserKey(absl::string_view record_key) const {
    return record_key.substr(prefix_.size());
  }
  absl::string_view Low(absl::string_view fence) const {
    return std::max<absl::string_view>(fence, from_);
  }

  // Goes on with the last range where that ends at `low`.
  DeltaRange* OpenRange(absl::string_view low) {
    const absl::string_view from = UserKey(low);
    if (!batch_->ranges->empty()) {
      DeltaRange& last = batch_->ranges->back();
      if (last.ns == ns_.name() && !last.until.empty() && last.until == from) {
        return &last;
      }
    }
    DeltaRange range;
    range.ns = ns_.name();
    range.from = std::string(from);
    batch_->ranges->push_back(std::move(range));
    return &batch_->ranges->back();
  }

  void EndAt(absl::string_view high, DeltaRange* range) const {
    const bool to_end = high.empty() || IsBehind(high);
    range->until = to_end ? "" : std::string(UserKey(high));
  }

  bool TakeLeaf(const Tree::LeafInfo& info) {
    const absl::string_view low = Low(info.low);
    if (IsBehind(low)) return false;
    if (batch_->IsFull()) {
      next_ = std::string(low);
      return false;
    }
    DeltaRange* const range = OpenRange(low);
    for (int i = info.leaf.LowerBound(low); i < info.leaf.size(); ++i) {
      const absl::string_view record_key = info.leaf.key(i);
      if (IsBehind(record_key)) break;
      if (batch_->IsFull()) {
        EndAt(record_key, range);
        next_ = std::string(record_key);
        return false;
      }
      TakeRecord(record_key, info.leaf.value(i), range);
    }
    EndAt(info.high, range);
    return !range->until.empty();
  }

  void TakeRecord(absl::string_view record_key, absl::string_view value,
                  DeltaRange* range) {
    const absl::string_view key = UserKey(record_key);
    Hlc hlc;
    // What was only read since has its old HLC. Where it has an idle TTL, the
    // base would take it for dead too early.
    if (DecodeHlc(value, &hlc) && hlc <= batch_->base.complete_through &&
        !MayHaveBeenPutOff(value)) {
      range->kept.push_back(RecordFingerprint(NameHash(name_seed_, key), hlc));
      --batch_->left.kept;
      return;
    }
    absl::StatusOr<Record> record = DecodeRecord(value);
    if (!record.ok()) {
      batch_->lost.push_back(absl::StrCat(absl::CHexEscape(record_key), ": ",
                                          record.status().message()));
      return;
    }
    range->changed.push_back(snapshot_->ToStored(ns_, key, *std::move(record)));
    --batch_->left.changed;
    batch_->left.bytes -= BytesOf(range->changed.back());
  }

  void TakeDamage(const Tree::Damage& damage) {
    const absl::string_view low = Low(damage.low);
    if (IsBehind(low)) return;
    EndAt(damage.high, OpenRange(low));
    batch_->lost.push_back(absl::StrCat("records from ", absl::CHexEscape(low),
                                        " to ", absl::CHexEscape(damage.high),
                                        ": ", damage.status.message()));
  }

  const PinnedSnapshot* const snapshot_;
  const Namespace& ns_;
  const std::string prefix_;
  const uint64_t name_seed_;
  const std::string from_;
  DeltaBatch* const batch_;
  std::optional<std::string> next_;
};

absl::Status PinnedSnapshot::ReadDelta(const DeltaBase& base,
                                       const DeltaLimits& limits,
                                       Position* position,
                                       std::vector<DeltaRange>* ranges,
                                       std::vector<std::string>* damage) const {
  const ReaderSlots::Guard reading = EnterPinned();
  LARDER_RETURN_IF_ERROR(status());
  if (base.epoch > root_.epoch) {
    return absl::FailedPreconditionError(
        absl::StrCat("delta: base epoch ", base.epoch, " vs at most ",
                     root_.epoch, ", that of the snapshot"));
  }
  if (root_.records.epoch <= base.epoch) {
    position->at_end = true;
    return absl::OkStatus();
  }
  DeltaBatch batch{base, limits, ranges, {}};
  LARDER_RETURN_IF_ERROR(
      ReadNamespaces(position, [&](const Namespace& ns, std::string from) {
        return DeltaReader(this, ns, std::move(from), &batch).Run();
      }));
  LARDER_RETURN_IF_ERROR(status());
  damage->insert(damage->end(), batch.lost.begin(), batch.lost.end());
  return absl::OkStatus();
}

}  // namespace larder::cache::l2
