// The order of many keys, found faster than by comparing keys.
#ifndef LARDER_CACHE_L2_KEY_ORDER_H_
#define LARDER_CACHE_L2_KEY_ORDER_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace larder::cache::l2 {

// The positions of `keys` (fewer than 2^32) in ascending order of the keys, as
// unsigned bytes; equal keys in the order they have. Looks at a key itself only
// where eight bytes behind what all keys share do not decide. Costs one look at
// each when they are in order already.
std::vector<uint32_t> KeyOrder(absl::Span<const absl::string_view> keys);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_KEY_ORDER_H_
