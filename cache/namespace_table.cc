#include "cache/namespace_table.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cache/check.h"
#include "cache/policy.h"
#include "cache/status_macros.h"

namespace larder::cache {
namespace {

uint64_t HashValue(absl::string_view value) {
  LARDER_CHECK(value.size() == sizeof(uint64_t));
  uint64_t h;
  std::memcpy(&h, value.data(), sizeof(h));
  return h;
}

bool IsHashed(TombstoneKind kind) {
  return kind == TombstoneKind::kTag || kind == TombstoneKind::kDependency;
}

}  // namespace

bool Namespace::IsValid(absl::string_view key, Hlc hlc,
                        absl::Span<const uint64_t> invalidation_hashes,
                        Hlc through) const {
  const auto covered_by = [&](Hlc tombstone) {
    return hlc <= tombstone && tombstone <= through;
  };
  if (covered_by(flushed_at())) return false;
  if (tombstones() == 0) return true;
  ReaderLock lock(&mu_);
  for (uint64_t h : invalidation_hashes) {
    const auto it = by_hash_.find(h);
    if (it != by_hash_.end() && covered_by(it->second.hlc)) return false;
  }
  for (const auto& [length, count] : prefix_lengths_) {
    if (length > key.size()) break;
    const auto it = by_prefix_.find(key.substr(0, length));
    if (it != by_prefix_.end() && covered_by(it->second)) return false;
  }
  return true;
}

absl::Status Namespace::CheckRoom(int64_t more) const {
  if (tombstones() + more <= kTombstonesMax) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "namespace ", name_, ": live tombstones: ", tombstones(), " plus ", more,
      " vs at most ", kTombstonesMax, ": sweep first"));
}

void Namespace::Add(const Tombstone& tombstone) {
  WriterLock lock(&mu_);
  if (IsHashed(tombstone.kind)) {
    auto [it, added] = by_hash_.try_emplace(
        HashValue(tombstone.value), Mark{tombstone.kind, tombstone.hlc});
    if (added) tombstones_.fetch_add(1, std::memory_order_release);
    it->second.hlc = std::max(it->second.hlc, tombstone.hlc);
    return;
  }
  LARDER_CHECK(tombstone.kind == TombstoneKind::kPrefix);
  auto [it, added] = by_prefix_.try_emplace(tombstone.value, tombstone.hlc);
  if (added) {
    ++prefix_lengths_[tombstone.value.size()];
    tombstones_.fetch_add(1, std::memory_order_release);
  }
  it->second = std::max(it->second, tombstone.hlc);
}

void Namespace::Flush(Hlc hlc, uint64_t generation) {
  WriterLock lock(&mu_);  // Two flushes at once: both maxima must win.
  flushed_at_.store(std::max(flushed_at(), hlc).value,
                    std::memory_order_release);
  generation_.store(std::max(this->generation(), generation),
                    std::memory_order_release);
}

bool Namespace::Retire(const Tombstone& tombstone) {
  WriterLock lock(&mu_);
  // Before the tombstone goes: who misses it sees that.
  retirements_.fetch_add(1, std::memory_order_release);
  if (IsHashed(tombstone.kind)) {
    const auto it = by_hash_.find(HashValue(tombstone.value));
    if (it == by_hash_.end() || it->second.hlc > tombstone.hlc) return false;
    by_hash_.erase(it);
  } else {
    const auto it = by_prefix_.find(tombstone.value);
    if (it == by_prefix_.end() || it->second > tombstone.hlc) return false;
    by_prefix_.erase(it);
    const auto length = prefix_lengths_.find(tombstone.value.size());
    if (--length->second == 0) prefix_lengths_.erase(length);
  }
  tombstones_.fetch_sub(1, std::memory_order_release);
  return true;
}

std::vector<Tombstone> Namespace::Tombstones() const {
  std::vector<Tombstone> all;
  ReaderLock lock(&mu_);
  for (const auto& [hash, mark] : by_hash_) {
    all.push_back(
        {mark.kind, name_,
         std::string(reinterpret_cast<const char*>(&hash), sizeof(hash)),
         mark.hlc});
  }
  for (const auto& [prefix, hlc] : by_prefix_) {
    all.push_back({TombstoneKind::kPrefix, name_, prefix, hlc});
  }
  return all;
}

struct NamespaceTable::Slots {
  explicit Slots(size_t size)
      : mask(size - 1), slot(new std::atomic<Namespace*>[size]()) {}
  const size_t mask;
  const std::unique_ptr<std::atomic<Namespace*>[]> slot;
};

NamespaceTable::NamespaceTable(int32_t namespaces_max)
    : namespaces_max_(namespaces_max) {
  tables_.push_back(std::make_unique<Slots>(64));
  slots_.store(tables_.back().get());
}

NamespaceTable::~NamespaceTable() = default;

Namespace* NamespaceTable::Find(absl::string_view name) const {
  const Slots* slots = slots_.load(std::memory_order_acquire);
  for (size_t i = NameSeed(name);; ++i) {
    Namespace* ns =
        slots->slot[i & slots->mask].load(std::memory_order_acquire);
    if (ns == nullptr || ns->name() == name) return ns;
  }
}

void NamespaceTable::Publish(Namespace* added) {
  const auto insert = [](Slots* slots, Namespace* ns) {
    size_t i = NameSeed(ns->name());
    while (slots->slot[i & slots->mask].load() != nullptr) ++i;
    slots->slot[i & slots->mask].store(ns, std::memory_order_release);
  };
  Slots* current = tables_.back().get();
  if (all_.size() * 2 <= current->mask) {  // At most half full.
    insert(current, added);
    return;
  }
  auto grown = std::make_unique<Slots>((current->mask + 1) * 4);
  for (const auto& ns : all_) insert(grown.get(), ns.get());
  slots_.store(grown.get(), std::memory_order_release);
  tables_.push_back(std::move(grown));
}

Namespace* NamespaceTable::FindById(uint32_t id) const {
  MutexLock lock(&mu_);
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

absl::StatusOr<Namespace*> NamespaceTable::FindOrCreate(
    absl::string_view name) {
  if (Namespace* ns = Find(name); ns != nullptr) return ns;
  LARDER_RETURN_IF_ERROR(ValidateNamespace(name));
  MutexLock lock(&mu_);
  if (Namespace* ns = Find(name); ns != nullptr) return ns;
  if (all_.size() >= static_cast<size_t>(namespaces_max_)) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "namespaces: ", all_.size(), " vs at most ", namespaces_max_));
  }
  const uint32_t id = next_id_++;
  all_.push_back(std::make_unique<Namespace>(std::string(name), id));
  by_id_[id] = all_.back().get();
  Publish(all_.back().get());
  return all_.back().get();
}

absl::StatusOr<Namespace*> NamespaceTable::Restore(absl::string_view name,
                                                   uint32_t id) {
  LARDER_RETURN_IF_ERROR(ValidateNamespace(name));
  MutexLock lock(&mu_);
  if (Find(name) != nullptr || by_id_.contains(id)) {
    return absl::DataLossError(
        absl::StrCat("namespace ", name, ": id ", id, ": not unique"));
  }
  next_id_ = std::max(next_id_, id + 1);
  all_.push_back(std::make_unique<Namespace>(std::string(name), id));
  by_id_[id] = all_.back().get();
  Publish(all_.back().get());
  return all_.back().get();
}

std::vector<Namespace*> NamespaceTable::All() const {
  std::vector<Namespace*> out;
  MutexLock lock(&mu_);
  for (const auto& ns : all_) out.push_back(ns.get());
  return out;
}

uint32_t NamespaceTable::next_id() const {
  MutexLock lock(&mu_);
  return next_id_;
}

void NamespaceTable::set_next_id(uint32_t id) {
  MutexLock lock(&mu_);
  next_id_ = std::max(next_id_, id);
}

}  // namespace larder::cache
