// What every fuzz target needs: its input as text, and where views may point.
#ifndef LARDER_TESTS_FUZZ_INPUT_H_
#define LARDER_TESTS_FUZZ_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace larder::tests {

inline absl::string_view Input(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Whether `view` is empty or lies wholly within `whole`.
inline bool Within(absl::string_view view, absl::string_view whole) {
  const std::less_equal<const char*> at_most;
  return view.empty() ||
         (at_most(whole.data(), view.data()) &&
          at_most(view.data() + view.size(), whole.data() + whole.size()));
}

// Whether `encoded` can be what was decoded from `bytes`: the same, or shorter
// when `bytes` spelled something out that the encoder says more briefly, such
// as a varint with needless bytes.
inline bool SameOrShorter(absl::string_view encoded, absl::string_view bytes) {
  return encoded == bytes || encoded.size() < bytes.size();
}

}  // namespace larder::tests

#endif  // LARDER_TESTS_FUZZ_INPUT_H_
