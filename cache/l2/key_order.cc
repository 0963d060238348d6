#include "cache/l2/key_order.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>

#include "cache/check.h"
#include "cache/l2/coding.h"

namespace larder::cache::l2 {
namespace {

size_t CommonPrefixBytes(absl::Span<const absl::string_view> keys) {
  const absl::string_view first = keys[0];
  size_t common = first.size();
  for (const absl::string_view key : keys) {
    if (common == 0) break;
    if (key.size() >= common &&
        std::memcmp(key.data(), first.data(), common) == 0) {
      continue;
    }
    common =
        std::mismatch(first.begin(),
                      first.begin() + std::min(common, key.size()), key.begin())
            .first -
        first.begin();
  }
  return common;
}

// The first eight bytes, padded with zeros, as a number that compares as they
// do.
uint64_t Head(absl::string_view tail) {
  if (tail.size() >= sizeof(uint64_t)) return LoadBig64(tail.data());
  char padded[sizeof(uint64_t)] = {};
  if (!tail.empty()) std::memcpy(padded, tail.data(), tail.size());
  return LoadBig64(padded);
}

struct Place {
  uint64_t head;
  uint32_t position;
};

}  // namespace

std::vector<uint32_t> KeyOrder(absl::Span<const absl::string_view> keys) {
  LARDER_CHECK(keys.size() <= std::numeric_limits<uint32_t>::max());
  std::vector<uint32_t> order(keys.size());
  if (keys.empty()) return order;
  const size_t common = CommonPrefixBytes(keys);
  const auto before = [&](const Place& a, const Place& b) {
    if (a.head != b.head) return a.head < b.head;
    const int c = keys[a.position].compare(keys[b.position]);
    return c != 0 ? c < 0 : a.position < b.position;
  };
  std::vector<Place> places(keys.size());
  bool in_order = true;
  for (uint32_t i = 0; i < keys.size(); ++i) {
    places[i] = {Head(keys[i].substr(common)), i};
    in_order = in_order && (i == 0 || before(places[i - 1], places[i]));
  }
  if (!in_order) std::sort(places.begin(), places.end(), before);
  for (size_t i = 0; i < places.size(); ++i) order[i] = places[i].position;
  return order;
}

}  // namespace larder::cache::l2
