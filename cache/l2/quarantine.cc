#include "cache/l2/quarantine.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "cache/l2/page.h"
#include "cache/l2/record.h"

namespace larder::cache::l2 {

void Quarantine::Free(SpaceMap::Lane lane, Extent extent, uint64_t epoch) {
  const bool is_chain = lane == SpaceMap::Lane::kBlobs;
  unmarked_units_ += (is_chain ? blobs_ : meta_)->Disown(extent);
  MutexLock lock(&mu_);
  items_.push_back({epoch, lane, extent});
  if (is_chain) {
    blob_bytes_ += static_cast<int64_t>(extent.units * kUnitBytes);
  } else {
    meta_bytes_ += static_cast<int64_t>(extent.units * kPageBytes);
  }
}

void Quarantine::FreeChain(const Extents& extents, uint64_t epoch) {
  for (const Extent& e : extents) Free(SpaceMap::Lane::kBlobs, e, epoch);
}

void Quarantine::GiveBack(const Item& item) {
  if (item.lane == SpaceMap::Lane::kBlobs) {
    blob_bytes_ -= static_cast<int64_t>(item.extent.units * kUnitBytes);
    unmarked_units_ += blobs_->Release(item.extent);
  } else {
    meta_bytes_ -= static_cast<int64_t>(item.extent.units * kPageBytes);
    unmarked_units_ += meta_->Release(item.extent);
  }
}

void Quarantine::Release(uint64_t safe_epoch) {
  std::vector<Item> free;
  {
    MutexLock lock(&mu_);
    if (items_.empty()) return;
    const absl::flat_hash_set<uint64_t> held = held_->Held();
    const auto waits = [&](const Item& item) {
      return item.epoch > safe_epoch || (item.lane == SpaceMap::Lane::kBlobs &&
                                         held.contains(item.extent.first));
    };
    const auto middle = std::partition(items_.begin(), items_.end(), waits);
    free.assign(middle, items_.end());
    items_.erase(middle, items_.end());
  }
  for (const Item& item : free) GiveBack(item);
}

}  // namespace larder::cache::l2
