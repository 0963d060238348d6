#include "cache/l2/commit_merge.h"

#include <algorithm>
#include <cstring>

#include "cache/check.h"
#include "cache/l2/coding.h"
#include "cache/policy.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// Pages that a commit asks for at a time: each batch is marked by about one
// write.
constexpr uint64_t kPageBatch = 64;

// The first eight bytes of `key`, padded with zeros, as a number that compares
// as they do.
uint64_t Head64(absl::string_view key) {
  if (key.size() >= sizeof(uint64_t)) return LoadBig64(key.data());
  char padded[sizeof(uint64_t)] = {};
  if (!key.empty()) std::memcpy(padded, key.data(), key.size());
  return LoadBig64(padded);
}

class BigEndian {
 public:
  explicit BigEndian(uint64_t value) : bytes_(__builtin_bswap64(value)) {}
  absl::string_view view() const {
    return {reinterpret_cast<const char*>(&bytes_), sizeof(bytes_)};
  }

 private:
  const uint64_t bytes_;
};

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
  changes_.push_back({Head64(key), key, value, put});
}

absl::StatusOr<ChildRef> TreeChanges::Apply(const PageSource* source,
                                            PageSink* sink,
                                            const ChildRef& root,
                                            uint64_t epoch) {
  // Puts sort behind erases of the same key, and the last one counts.
  std::sort(changes_.begin(), changes_.end(),
            [](const Change& a, const Change& b) {
              if (a.head != b.head) return a.head < b.head;
              const int order = a.key.compare(b.key);
              return order != 0 ? order < 0 : a.put < b.put;
            });
  std::vector<TreeOp> ops;
  std::vector<bool> puts;
  ops.reserve(changes_.size());
  for (size_t i = 0; i < changes_.size(); ++i) {
    if (i + 1 < changes_.size() && changes_[i + 1].key == changes_[i].key) {
      continue;
    }
    ops.push_back({changes_[i].key, changes_[i].value});
    puts.push_back(changes_[i].put);
  }
  if (ops.empty()) return root;
  return ApplyBatch(source, sink, root, epoch, ops,
                    [&](size_t i, std::optional<absl::string_view>) {
                      return puts[i] ? Resolution::kPut : Resolution::kErase;
                    });
}

RecordsMerge::RecordsMerge(Changes changes,
                           std::vector<absl::string_view> swept, NameOf name_of)
    : changes_(std::move(changes)), name_of_(name_of) {
  struct Swept {
    uint64_t heads[2];  // Of the key's first 16 bytes.
    absl::string_view record_key;
    uint64_t due;
  };
  std::vector<Swept> sorted;
  sorted.reserve(swept.size());
  for (absl::string_view ordered_key : swept) {
    Swept s;
    LARDER_CHECK(SplitOrderedKey(ordered_key, &s.due, &s.record_key));
    s.heads[0] = Head64(s.record_key);
    s.heads[1] = Head64(
        s.record_key.substr(std::min(sizeof(uint64_t), s.record_key.size())));
    sorted.push_back(s);
  }
  std::sort(sorted.begin(), sorted.end(), [](const Swept& a, const Swept& b) {
    if (a.heads[0] != b.heads[0]) return a.heads[0] < b.heads[0];
    if (a.heads[1] != b.heads[1]) return a.heads[1] < b.heads[1];
    return a.record_key < b.record_key;
  });
  values_.reserve(changes_.size());  // `ops_` views its strings.
  ops_.reserve(changes_.size() + sorted.size());
  items_.reserve(changes_.size() + sorted.size());
  size_t next = 0;
  for (const Swept& s : sorted) {
    // A record has one due time; an older one is moot.
    if (!ops_.empty() && ops_.back().key == s.record_key) continue;
    while (next < changes_.size() && changes_[next].first < s.record_key) {
      AddChange(next++);
    }
    if (next < changes_.size() && changes_[next].first == s.record_key) {
      // To touch what is due would only move it.
      if (changes_[next].second->kind == StagedChange::Kind::kTouch) {
        AddSwept(s.record_key, s.due);
      } else {
        AddChange(next);
      }
      ++next;
      continue;
    }
    AddSwept(s.record_key, s.due);
  }
  while (next < changes_.size()) AddChange(next++);
}

void RecordsMerge::AddChange(size_t i) {
  const auto& [key, change] = changes_[i];
  values_.push_back(change->kind == StagedChange::Kind::kRemove
                        ? std::string()
                        : EncodeRecord(change->record));
  ops_.push_back({key, values_.back()});
  items_.push_back({change.get(), 0});
}

void RecordsMerge::AddSwept(absl::string_view record_key, uint64_t due) {
  ops_.push_back({record_key, {}});
  items_.push_back({nullptr, due});
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
  return merged;
}

Resolution RecordsMerge::ResolveSwept(absl::string_view key, uint64_t due,
                                      const Record& old) {
  // Put since it was swept: that is another record.
  if (static_cast<uint64_t>(
          DueAtUnixMillis(old.expiry, old.last_access_unix_ms)) != due) {
    return Resolution::kKeep;
  }
  Unlink(key, old);
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
    return old.has_value() ? ResolveSwept(key, items_[i].due, *old)
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
  const int64_t due = DueAtUnixMillis(r.expiry, r.last_access_unix_ms);
  if (due != 0) due_.EraseAt(static_cast<uint64_t>(due), record_key);
  age_.EraseAt(r.age_hlc.value, record_key);
}

void RecordsMerge::Link(absl::string_view record_key, const Record& r) {
  Account(record_key, r, +1);
  const int64_t due = DueAtUnixMillis(r.expiry, r.last_access_unix_ms);
  if (due != 0) {
    due_.PutAt(static_cast<uint64_t>(due), record_key,
               EncodeDueEntry(DueEntryOf(r)));
  }
  age_.PutAt(r.age_hlc.value, record_key, "");
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
