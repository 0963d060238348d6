#include "backup/internal/invalidation_set.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backup/format/coding.h"
#include "backup/format/limits.h"
#include "backup/format/record_codec.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using cache::Hlc;
using cache::NamespaceState;
using cache::StoredRecord;
using cache::Tombstone;
using cache::TombstoneKind;

absl::Status InvalidationSet::Count(size_t bytes) {
  ++entries_;
  bytes_ += static_cast<int64_t>(bytes);
  // Every snapshot keeps the limits; several merged ones may not.
  if (entries_ <= backup::format::kTombstonesMax &&
      bytes_ <= backup::format::kInvalidationBytesMax) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("invalidations: more than ", backup::format::kTombstonesMax,
                   " or ", backup::format::kInvalidationBytesMax, " bytes"));
}

void InvalidationSet::SetKnown(cache::Hlc through,
                               const std::vector<NamespaceState>& older) {
  known_through_ = through;
  for (const NamespaceState& ns : older) known_[ns.name] = ns.forgotten_through;
}

absl::Status InvalidationSet::Add(
    const backup::format::Invalidations& message) {
  for (const auto& m : message.namespaces()) {
    LARDER_ASSIGN_OR_RETURN(const NamespaceState state,
                            backup::format::FromMessage(m));
    const auto [it, added] = namespaces_.try_emplace(state.name);
    if (added) LARDER_RETURN_IF_ERROR(Count(state.name.size()));
    it->second.generation = std::max(it->second.generation, state.generation);
    it->second.flushed_at = std::max(it->second.flushed_at, state.flushed_at);
    const auto known = known_.find(state.name);
    if (state.forgotten_through > known_through_ &&
        (known == known_.end() || state.forgotten_through != known->second)) {
      it->second.forgotten_through =
          std::max(it->second.forgotten_through, state.forgotten_through);
    }
    newest_ = std::max({newest_, state.flushed_at, state.forgotten_through});
  }
  for (const auto& m : message.tombstones()) {
    LARDER_ASSIGN_OR_RETURN(Tombstone tombstone,
                            backup::format::FromMessage(m));
    LARDER_RETURN_IF_ERROR(AddTombstone(std::move(tombstone)));
  }
  return absl::OkStatus();
}

absl::Status InvalidationSet::AddTombstone(Tombstone tombstone) {
  newest_ = std::max(newest_, tombstone.hlc);
  const Hlc hlc = tombstone.hlc;
  const size_t bytes = tombstone.ns.size() + tombstone.value.size();
  PerNamespace& ns = namespaces_[tombstone.ns];
  Tombstone* slot;
  if (tombstone.kind == TombstoneKind::kPrefix) {
    slot = &ns.by_prefix[tombstone.value];
    ns.prefix_lengths.insert(tombstone.value.size());
  } else {
    slot = &ns.by_hash[backup::format::LoadFixed<uint64_t>(
        tombstone.value.data())];
  }
  // A new slot belongs to no namespace yet.
  if (slot->ns.empty()) {
    *slot = std::move(tombstone);
    return Count(bytes);
  }
  slot->hlc = std::max(slot->hlc, hlc);
  return absl::OkStatus();
}

bool InvalidationSet::Covers(const StoredRecord& record) const {
  const auto it = namespaces_.find(record.ns);
  if (it == namespaces_.end()) return false;
  const PerNamespace& ns = it->second;
  const Hlc hlc = record.attributes.hlc;
  if (hlc <= std::max(ns.flushed_at, ns.forgotten_through)) return true;
  for (const uint64_t hash : record.attributes.invalidation_hashes) {
    const auto found = ns.by_hash.find(hash);
    if (found != ns.by_hash.end() && hlc <= found->second.hlc) return true;
  }
  const absl::string_view key = record.key;
  for (const size_t length : ns.prefix_lengths) {
    if (length > key.size()) break;
    const auto found = ns.by_prefix.find(key.substr(0, length));
    if (found != ns.by_prefix.end() && hlc <= found->second.hlc) return true;
  }
  return false;
}

std::vector<NamespaceState> InvalidationSet::Namespaces() const {
  std::vector<NamespaceState> states;
  for (const auto& [name, ns] : namespaces_) {
    states.push_back({.name = name,
                      .generation = ns.generation,
                      .flushed_at = ns.flushed_at,
                      .forgotten_through = ns.forgotten_through});
  }
  std::sort(states.begin(), states.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return states;
}

std::vector<Tombstone> InvalidationSet::Tombstones() const {
  std::vector<Tombstone> tombstones;
  for (const auto& [name, ns] : namespaces_) {
    for (const auto& [hash, t] : ns.by_hash) tombstones.push_back(t);
    for (const auto& [prefix, t] : ns.by_prefix) tombstones.push_back(t);
  }
  return tombstones;
}

}  // namespace larder::backup_internal
