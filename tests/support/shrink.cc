#include "tests/support/shrink.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace larder::tests {
namespace {

constexpr size_t kShortestEnd = 16;

class Shrinker {
 public:
  Shrinker(size_t size, int64_t items_max,
           absl::FunctionRef<bool(const Selection&)> fails)
      : budget_(items_max), fails_(fails), best_(size) {
    std::iota(best_.begin(), best_.end(), 0);
  }

  Selection Run() {
    for (size_t length = kShortestEnd; length < best_.size(); length *= 2) {
      if (Try(Selection(best_.end() - static_cast<ptrdiff_t>(length),
                        best_.end()))) {
        break;
      }
    }
    size_t chunk = std::max<size_t>(best_.size() / 2, 1);
    for (bool dropped = true; dropped || chunk > 1;) {
      if (!dropped || chunk > best_.size()) chunk = (chunk + 1) / 2;
      dropped = DropChunks(chunk);
    }
    return std::move(best_);
  }

 private:
  // Moves to `selection` when it fails, too.
  bool Try(Selection selection) {
    const int64_t cost =
        std::max<int64_t>(1, static_cast<int64_t>(selection.size()));
    if (cost > budget_) return false;
    budget_ -= cost;
    if (!fails_(selection)) return false;
    best_ = std::move(selection);
    return true;
  }

  // Tries to do without each chunk once. Returns: whether one could go.
  bool DropChunks(size_t chunk) {
    bool dropped = false;
    for (size_t begin = 0; begin < best_.size();) {
      const size_t end = std::min(best_.size(), begin + chunk);
      Selection rest(best_.begin(),
                     best_.begin() + static_cast<ptrdiff_t>(begin));
      rest.insert(rest.end(), best_.begin() + static_cast<ptrdiff_t>(end),
                  best_.end());
      if (Try(std::move(rest))) {
        dropped = true;
      } else {
        begin = end;
      }
    }
    return dropped;
  }

  int64_t budget_;
  const absl::FunctionRef<bool(const Selection&)> fails_;
  Selection best_;
};

}  // namespace

Selection ShrinkList(size_t size, int64_t items_max,
                     absl::FunctionRef<bool(const Selection&)> fails) {
  return Shrinker(size, items_max, fails).Run();
}

}  // namespace larder::tests
