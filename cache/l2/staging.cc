#include "cache/l2/staging.h"

#include <cstdint>

#include "absl/hash/hash.h"
#include "cache/l2/key_order.h"

namespace larder::cache::l2 {

size_t StagingTable::ShardIndex(absl::string_view record_key) {
  // By the highest bits: the maps hash alike, and tell the entries of a group
  // apart by the lowest, which all keys of a shard would share.
  return uint64_t{absl::HashOf(record_key)} >> (64 - kShardsLog2);
}

StagedPtr StagingTable::Stage(uint64_t epoch, absl::string_view record_key,
                              StagedPtr change) {
  Shard& shard = shards_[ShardIndex(record_key)];
  WriterLock lock(&shard.mu);
  shard.epochs[epoch % 2] = epoch;
  auto [it, added] = shard.maps[epoch % 2].try_emplace(record_key, nullptr);
  if (added) {
    shard.entries.fetch_add(1, std::memory_order_seq_cst);
    size_.fetch_add(1, std::memory_order_seq_cst);
    size_of_[epoch % 2].fetch_add(1, std::memory_order_seq_cst);
  }
  return std::exchange(it->second, std::move(change));
}

StagedPtr StagingTable::Find(absl::string_view record_key) const {
  if (size_.load(std::memory_order_seq_cst) == 0) return nullptr;
  const Shard& shard = shards_[ShardIndex(record_key)];
  if (shard.entries.load(std::memory_order_seq_cst) == 0) return nullptr;
  ReaderLock lock(&shard.mu);
  const int newer = shard.epochs[1] > shard.epochs[0] ? 1 : 0;
  for (const int i : {newer, 1 - newer}) {
    const auto it = shard.maps[i].find(record_key);
    if (it != shard.maps[i].end()) return it->second;
  }
  return nullptr;
}

std::vector<std::pair<absl::string_view, const StagedChange*>>
StagingTable::Sorted(uint64_t epoch) const {
  std::vector<absl::string_view> keys;
  std::vector<const StagedChange*> changes;
  keys.reserve(size(epoch));
  changes.reserve(size(epoch));
  for (const Shard& shard : shards_) {
    ReaderLock lock(&shard.mu);
    for (const auto& [key, change] : shard.maps[epoch % 2]) {
      keys.push_back(key);
      changes.push_back(change.get());
    }
  }
  std::vector<std::pair<absl::string_view, const StagedChange*>> sorted;
  sorted.reserve(keys.size());
  for (const uint32_t i : KeyOrder(keys)) {
    sorted.emplace_back(keys[i], changes[i]);
  }
  return sorted;
}

void StagingTable::Clear(uint64_t epoch) {
  for (Shard& shard : shards_) {
    Map gone;  // Destroyed after the lock.
    WriterLock lock(&shard.mu);
    gone.swap(shard.maps[epoch % 2]);
    const int64_t n = static_cast<int64_t>(gone.size());
    shard.entries.fetch_sub(n, std::memory_order_seq_cst);
    size_.fetch_sub(n, std::memory_order_seq_cst);
    size_of_[epoch % 2].fetch_sub(n, std::memory_order_seq_cst);
  }
}

}  // namespace larder::cache::l2
