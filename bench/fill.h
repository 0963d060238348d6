// What a store holds before it is measured.
#ifndef LARDER_BENCH_FILL_H_
#define LARDER_BENCH_FILL_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "bench/data.h"
#include "bench/store.h"

namespace larder::bench {

// The value of entry `i`, which stays until the next call.
using ValueOf = absl::FunctionRef<absl::string_view(int64_t)>;

// Puts `value_of(i)` under KeyOf(i), for i from 0 to `count` - 1, and settles.
absl::Status FillStore(Store* store, int64_t count, ValueOf value_of);
// The same with values.Of(i).
absl::Status FillStore(Store* store, int64_t count, const RandomValues& values);

}  // namespace larder::bench

#endif  // LARDER_BENCH_FILL_H_
