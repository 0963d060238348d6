// Makes the input of a failure small enough to be read: delta debugging.
#ifndef LARDER_TESTS_SUPPORT_SHRINK_H_
#define LARDER_TESTS_SUPPORT_SHRINK_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"

namespace larder::tests {

// Items of a list by their places in it, ascending.
using Selection = std::vector<size_t>;

// Looks for a small selection of a list of `size` items with which `fails` is
// true, as it must be of the whole list (which is not tried). First come ends
// of the list, the shortest first, since most failures need little of what was
// before; then ever smaller chunks are left out.
// Returns: the smallest one found. No single item of it can be left out, unless
// the budget went first: the lengths of what is tried add up to `items_max` at
// most.
Selection ShrinkList(size_t size, int64_t items_max,
                     absl::FunctionRef<bool(const Selection&)> fails);

}  // namespace larder::tests

#endif  // LARDER_TESTS_SUPPORT_SHRINK_H_
