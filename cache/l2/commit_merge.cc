#include "cache/l2/commit_merge.h"

#include <algorithm>

#include "cache/check.h"
#include "cache/l2/key_order.h"
#include "cache/policy.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// Pages that a commit asks for at a time: each batch is marked by about one
// write.
constexpr uint64_t kPageBatch = 64;

class BigEndian {
 public:
  explicit BigEndian(uint64_t value) : bytes_(__builtin_bswap64(value)) {}
  absl::string_view view() const {
    return {reinterpret_cast<const char*>(&bytes_), sizeof(bytes_)};
  }

 private:
  const uint64_t bytes_;
};

// 0: never.
uint64_t DueAt(const Record& r) {
  return static_cast<uint64_t>(
      DueAtUnixMillis(r.expiry, r.last_access_unix_ms));
}
uint64_t DueAtOf(absl::string_view ordered_key) {
  uint64_t due;
  absl::string_view record_key;
  LARDER_CHECK(SplitOrderedKey(ordered_key, &due, &record_key));
  return due;
}

}  // namespace

absl::StatusOr<uint64_t> CommitPages::Allocate() {
  if (spare_.empty()) {
    absl::StatusOr<std::vector<uint64_t>> more =
        map_->AllocateUnits(kPageBatch);
    if (!more.ok() && absl::IsResourceExhausted(more.status())) {
      // When `meta` cannot grow, its last pages are still there, one by one.
      const absl::Status grown = grow_(kPageBatch);
      more = map_->AllocateUnits(grown.ok() ? kPageBatch : 1);
      if (!more.ok() && !grown.ok()) return grown;
    }
    if (!more.ok()) return more.status();
    spare_ = *std::move(more);
    std::reverse(spare_.begin(), spare_.end());  // Handed out ascending.
  }
  const uint64_t page = spare_.back();
  spare_.pop_back();
  pages_->Forget(page);
  allocated_.push_back(page);
  return page;
}

absl::Status CommitPages::Write(uint64_t page, absl::string_view bytes) {
  return meta_->WriteAt(page * kPageBytes, bytes);
}

void TreeChanges::Put(absl::string_view key, absl::string_view value) {
  Add(arena_.Copy({key}), arena_.Copy({value}), true);
}

void TreeChanges::Erase(absl::string_view key) {
  Add(arena_.Copy({key}), {}, false);
}

void TreeChanges::PutAt(uint64_t at, absl::string_view record_key,
                        absl::string_view value) {
  Add(arena_.Copy({BigEndian(at).view(), record_key}), arena_.Copy({value}),
      true);
}

void TreeChanges::EraseAt(uint64_t at, absl::string_view record_key) {
  Add(arena_.Copy({BigEndian(at).view(), record_key}), {}, false);
}

void TreeChanges::Add(absl::string_view key, absl::string_view value,
                      bool put) {
  keys_.push_back(key);
  changes_.push_back({value, put});
}

absl::StatusOr<ChildRef> TreeChanges::Apply(const PageSource* source,
                                            PageSink* sink,
                                            const ChildRef& root,
                                            uint64_t epoch) {
  std::vector<TreeOp> ops;
  std::vector<bool> puts;
  ops.reserve(changes_.size());
  for (const uint32_t i : KeyOrder(keys_)) {
    const Change& change = changes_[i];
    if (ops.empty() || ops.back().key != keys_[i]) {
      ops.push_back({keys_[i], change.value});
      puts.push_back(change.put);
    } else if (change.put) {  // Whatever it was before.
      ops.back().value = change.value;
      puts.back() = true;
    }
  }
  if (ops.empty()) return root;
  return ApplyBatch(source, sink, root, epoch, ops,
                    [&](size_t i, std::optional<absl::string_view>) {
                      return puts[i] ? Resolution::kPut : Resolution::kErase;
                    });
}

RecordsMerge::RecordsMerge(Changes changes,
                           std::vector<absl::string_view> swept, NameOf name_of)
    : changes_(std::move(changes)),
      swept_(std::move(swept)),
      is_gone_(swept_.size(), false),
      name_of_(name_of) {
  std::vector<absl::string_view> keys(swept_.size());
  for (size_t i = 0; i < swept_.size(); ++i) {
    uint64_t due;
    LARDER_CHECK(SplitOrderedKey(swept_[i], &due, &keys[i]));
  }
  values_.reserve(changes_.size());  // `ops_` views its strings.
  ops_.reserve(changes_.size() + swept_.size());
  items_.reserve(changes_.size() + swept_.size());
  size_t next = 0;
  for (const uint32_t i : KeyOrder(keys)) {
    const absl::string_view record_key = keys[i];
    // A record has one due time: what was swept last is the newest.
    if (!ops_.empty() && ops_.back().key == record_key) {
      items_.back().swept = i;
      continue;
    }
    while (next < changes_.size() && changes_[next].first < record_key) {
      AddChange(next++);
    }
    if (next < changes_.size() && changes_[next].first == record_key) {
      // To touch what is due would only move it.
      if (changes_[next].second->kind == StagedChange::Kind::kTouch) {
        AddSwept(record_key, i);
      } else {
        AddChange(next);
      }
      ++next;
      continue;
    }
    AddSwept(record_key, i);
  }
  while (next < changes_.size()) AddChange(next++);
}

void RecordsMerge::AddChange(size_t i) {
  const auto& [key, change] = changes_[i];
  values_.push_back(change->kind == StagedChange::Kind::kRemove
                        ? std::string()
                        : EncodeRecord(change->record));
  ops_.push_back({key, values_.back()});
  items_.push_back({change, 0});
}

void RecordsMerge::AddSwept(absl::string_view record_key, size_t i) {
  ops_.push_back({record_key, {}});
  items_.push_back({nullptr, i});
}

absl::StatusOr<ChildRef> RecordsMerge::Apply(const PageSource* source,
                                             PageSink* sink,
                                             const ChildRef& root,
                                             uint64_t epoch) {
  if (ops_.empty()) return root;
  LARDER_ASSIGN_OR_RETURN(
      const ChildRef merged,
      ApplyBatch(source, sink, root, epoch, ops_,
                 [&](size_t i, std::optional<absl::string_view> existing) {
                   return Resolve(i, existing);
                 }));
  LARDER_RETURN_IF_ERROR(bad_);
  // In the order of the due tree, as they came.
  for (size_t i = 0; i < swept_.size(); ++i) {
    if (is_gone_[i]) due_.EraseBorrowed(swept_[i]);
  }
  return merged;
}

Resolution RecordsMerge::ResolveSwept(absl::string_view key, size_t i,
                                      const Record& old) {
  // Put since it was swept: that is another record.
  if (DueAt(old) != DueAtOf(swept_[i])) return Resolution::kKeep;
  Account(key, old, -1);
  age_.EraseAt(old.rank, key);
  is_gone_[i] = true;
  freed_.insert(freed_.end(), old.extents.begin(), old.extents.end());
  return Resolution::kErase;
}

Resolution RecordsMerge::Resolve(size_t i,
                                 std::optional<absl::string_view> existing) {
  const absl::string_view key = ops_[i].key;
  const StagedChange* const change = items_[i].change;
  std::optional<Record> old;
  if (existing.has_value()) {
    absl::StatusOr<Record> decoded = DecodeRecord(*existing);
    if (!decoded.ok()) {
      bad_.Update(decoded.status());
      return Resolution::kKeep;
    }
    old = *std::move(decoded);
  }
  if (change == nullptr) {
    return old.has_value() ? ResolveSwept(key, items_[i].swept, *old)
                           : Resolution::kKeep;
  }
  if (change->kind == StagedChange::Kind::kTouch) {
    // Only of the record that it was made from: nothing comes back by it.
    if (!old.has_value() || old->hlc != change->record.hlc) {
      return Resolution::kKeep;
    }
    Unlink(key, *old);
    Link(key, change->record);
    return Resolution::kPut;
  }
  if (old.has_value()) {
    Unlink(key, *old);
    freed_.insert(freed_.end(), old->extents.begin(), old->extents.end());
  }
  if (change->kind == StagedChange::Kind::kRemove) {
    return old.has_value() ? Resolution::kErase : Resolution::kKeep;
  }
  Link(key, change->record);
  if (!old.has_value()) {
    uint32_t ns_id;
    absl::string_view user_key;
    LARDER_CHECK(SplitRecordKey(key, &ns_id, &user_key));
    deltas_[ns_id].added_keys.push_back(user_key);
  }
  return Resolution::kPut;
}

void RecordsMerge::Unlink(absl::string_view record_key, const Record& r) {
  Account(record_key, r, -1);
  if (const uint64_t due = DueAt(r); due != 0) due_.EraseAt(due, record_key);
  age_.EraseAt(r.rank, record_key);
}

void RecordsMerge::Link(absl::string_view record_key, const Record& r) {
  Account(record_key, r, +1);
  if (const uint64_t due = DueAt(r); due != 0) {
    due_.PutAt(due, record_key, EncodeDueEntry(DueEntryOf(r)));
  }
  age_.PutAt(r.rank, record_key, EncodeAgeEntry(r));
}

void RecordsMerge::Account(absl::string_view record_key, const Record& r,
                           int sign) {
  uint32_t ns_id;
  absl::string_view key;
  LARDER_CHECK(SplitRecordKey(record_key, &ns_id, &key));
  NamespaceDelta& d = deltas_[ns_id];
  d.records += sign;
  d.raw_bytes += sign * static_cast<int64_t>(r.raw_bytes);
  d.stored_bytes += sign * static_cast<int64_t>(r.stored_bytes);
  const absl::uint128 term = DigestTerm(name_of_(ns_id), key, r);
  digest_delta_ += sign > 0 ? term : -term;
}

}  // namespace larder::cache::l2
