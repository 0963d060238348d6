// Many short byte strings, kept together and freed together.
#ifndef LARDER_CACHE_L2_KEY_ARENA_H_
#define LARDER_CACHE_L2_KEY_ARENA_H_

#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "cache/check.h"

namespace larder::cache::l2 {

// Single-owner. What it returns lives as long as it does.
class KeyArena {
 public:
  static constexpr size_t kBlockBytes = size_t{64} << 10;

  // One copy of all parts, end to end: at most kBlockBytes.
  absl::string_view Copy(std::initializer_list<absl::string_view> parts) {
    size_t bytes = 0;
    for (absl::string_view part : parts) bytes += part.size();
    LARDER_CHECK(bytes <= kBlockBytes);
    if (left_ < bytes) {
      // Not filled with zeros first.
      blocks_.emplace_back(new char[kBlockBytes]);
      left_ = kBlockBytes;
    }
    char* const begin =
        bytes == 0 ? nullptr : blocks_.back().get() + (kBlockBytes - left_);
    char* end = begin;
    for (absl::string_view part : parts) {
      if (part.empty()) continue;
      std::memcpy(end, part.data(), part.size());
      end += part.size();
    }
    left_ -= bytes;
    return {begin, bytes};
  }

 private:
  std::vector<std::unique_ptr<char[]>> blocks_;
  size_t left_ = 0;  // In the last block.
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_KEY_ARENA_H_
