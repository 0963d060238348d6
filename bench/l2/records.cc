#include "bench/l2/records.h"

#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/status_macros.h"

namespace larder::bench {

int64_t RoomFor(int64_t count) {
  // Such a record takes about 250 bytes in the trees, which evict when they
  // fill half of what `meta` may have, a small share of the budget.
  return 16 * kKiB * count + 256 * kMiB;
}

absl::Status FillRecords(LarderStore* store, int64_t from, int64_t to,
                         const RandomValues& values,
                         const cache::PutOptions& options) {
  for (int64_t i = from; i < to; ++i) {
    LARDER_RETURN_IF_ERROR(
        store->cache()
            ->Put(kNamespace, KeyOf(i), values.Of(i), options)
            .status());
  }
  return store->Settle();
}

absl::Status FillGroups(LarderStore* store, int64_t count) {
  const RandomValues values(kRecordBytes);
  for (int64_t i = 0; i < count; ++i) {
    const std::string group = TagOf(i % kRecordGroups);
    cache::PutOptions options = L2Put();
    options.tags = {group};
    options.dependencies = {group};
    LARDER_RETURN_IF_ERROR(store->cache()
                               ->Put(kNamespace, absl::StrCat(group, KeyOf(i)),
                                     values.Of(i), options)
                               .status());
  }
  return store->Settle();
}

std::string TagOf(int64_t group) { return absl::StrCat("group", group, "/"); }

}  // namespace larder::bench
