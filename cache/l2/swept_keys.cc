#include "cache/l2/swept_keys.h"

#include <utility>

namespace larder::cache::l2 {

bool SweptKeys::Add(uint64_t epoch, absl::string_view ordered_key) {
  MutexLock lock(&mu_);
  Batch& batch = batches_[epoch % 2];
  if (batches_[1 - epoch % 2].set.contains(ordered_key) ||
      batch.set.contains(ordered_key)) {
    return false;
  }
  batch.keys.push_back(batch.arena.Copy({ordered_key}));
  batch.set.insert(batch.keys.back());
  size_.fetch_add(1, std::memory_order_acq_rel);
  bytes_.fetch_add(BytesOf(ordered_key), std::memory_order_acq_rel);
  return true;
}

std::vector<absl::string_view> SweptKeys::Of(uint64_t epoch) const {
  MutexLock lock(&mu_);
  return batches_[epoch % 2].keys;
}

void SweptKeys::Clear(uint64_t epoch) {
  Batch gone;  // Destroyed after the lock.
  MutexLock lock(&mu_);
  std::swap(gone, batches_[epoch % 2]);
  for (absl::string_view key : gone.keys) {
    bytes_.fetch_sub(BytesOf(key), std::memory_order_acq_rel);
  }
  size_.fetch_sub(static_cast<int64_t>(gone.keys.size()),
                  std::memory_order_acq_rel);
}

}  // namespace larder::cache::l2
