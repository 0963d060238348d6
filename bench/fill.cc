#include "bench/fill.h"

#include "cache/status_macros.h"

namespace larder::bench {

absl::Status FillStore(Store* store, int64_t count, ValueOf value_of) {
  for (int64_t i = 0; i < count; ++i) {
    LARDER_RETURN_IF_ERROR(store->Put(KeyOf(i), value_of(i)));
  }
  return store->Settle();
}

absl::Status FillStore(Store* store, int64_t count,
                       const RandomValues& values) {
  return FillStore(store, count, [&](int64_t i) { return values.Of(i); });
}

}  // namespace larder::bench
