#include "cache/l2/swept_keys.h"

#include <utility>

namespace larder::cache::l2 {

void SweptKeys::Add(uint64_t epoch, absl::string_view ordered_key) {
  MutexLock lock(&mu_);
  Batch& batch = batches_[epoch % 2];
  batch.keys.push_back(batch.arena.Copy({ordered_key}));
  batch.bytes += BytesOf(ordered_key);
  size_.fetch_add(1, std::memory_order_acq_rel);
  bytes_.fetch_add(BytesOf(ordered_key), std::memory_order_acq_rel);
}

std::vector<absl::string_view> SweptKeys::Of(uint64_t epoch) const {
  MutexLock lock(&mu_);
  return batches_[epoch % 2].keys;
}

void SweptKeys::Clear(uint64_t epoch) {
  Batch gone;  // Destroyed after the lock.
  MutexLock lock(&mu_);
  std::swap(gone, batches_[epoch % 2]);
  bytes_.fetch_sub(gone.bytes, std::memory_order_acq_rel);
  size_.fetch_sub(static_cast<int64_t>(gone.keys.size()),
                  std::memory_order_acq_rel);
}

}  // namespace larder::cache::l2
