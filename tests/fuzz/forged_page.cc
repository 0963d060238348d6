#include "tests/fuzz/forged_page.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cache/l2/hash.h"

namespace larder::tests {
namespace {

using cache::l2::kChildBytes;
using cache::l2::kPageBytes;
using cache::l2::kPageHeaderBytes;

// docs/formats/l2.md, "page".
constexpr size_t kChecksumBytes = 8;
constexpr size_t kNumberAt = 8;
constexpr size_t kEpochAt = 16;
constexpr size_t kLevelAt = 28;
constexpr size_t kCountAt = 30;
constexpr size_t kHeadBytes = 4;
constexpr size_t kSlotBytes = 4;
constexpr size_t kChildEntriesAt = 20;
constexpr size_t kChildEntriesBytes = 6;

template <typename T>
T Load(const char* from, size_t size = sizeof(T)) {
  T value = 0;
  std::memcpy(&value, from, size);
  return value;
}

absl::string_view Take(size_t size, absl::string_view* input) {
  const absl::string_view taken = input->substr(0, size);
  input->remove_prefix(taken.size());
  return taken;
}

size_t TakeSize(absl::string_view* input) {
  const absl::string_view bytes = Take(sizeof(uint16_t), input);
  return std::min<size_t>(Load<uint16_t>(bytes.data(), bytes.size()),
                          kPageBytes);
}

}  // namespace

std::string PackPage(absl::string_view page) {
  // The longest run of zeros, found from the end of the header on.
  size_t begin = page.size();
  size_t zeros = 0;
  for (size_t i = 0; i < page.size();) {
    const size_t end = std::min(page.find_first_not_of('\0', i), page.size());
    if (end - i > zeros) {
      begin = i;
      zeros = end - i;
    }
    i = end + 1;
  }
  const uint16_t sizes[] = {static_cast<uint16_t>(begin),
                            static_cast<uint16_t>(page.size() - begin - zeros)};
  std::string packed(reinterpret_cast<const char*>(sizes), sizeof(sizes));
  packed += std::string(page.substr(0, begin));
  return packed + std::string(page.substr(begin + zeros));
}

std::vector<char> UnpackPage(absl::string_view* input) {
  const size_t front_bytes = TakeSize(input);
  const size_t back_bytes = TakeSize(input);
  const absl::string_view front = Take(front_bytes, input);
  const absl::string_view back = Take(back_bytes, input);
  std::vector<char> page(kPageBytes, '\0');
  std::copy(back.begin(), back.end(), page.end() - back.size());
  std::copy(front.begin(), front.end(), page.begin());
  return page;
}

void MendPage(std::vector<char>* page) {
  const uint64_t checksum = cache::l2::Checksum64(
      absl::string_view(page->data(), kPageBytes).substr(kChecksumBytes));
  std::memcpy(page->data(), &checksum, sizeof(checksum));
}

void MendPage(uint64_t number, uint64_t epoch, std::vector<char>* page) {
  std::memcpy(&(*page)[kNumberAt], &number, sizeof(number));
  std::memcpy(&(*page)[kEpochAt], &epoch, sizeof(epoch));
  MendPage(page);
}

cache::l2::ChildRef RefOf(const std::vector<char>& page) {
  const char* p = page.data();
  const size_t count = Load<uint16_t>(p + kCountAt);
  uint64_t entries = count;
  if (p[kLevelAt] != 0) {
    entries = 0;
    const size_t slots = kPageHeaderBytes + count * kHeadBytes;
    for (size_t i = 0; i < count; ++i) {
      const size_t slot = slots + i * kSlotBytes;
      if (slot + kSlotBytes > kPageBytes) break;
      const size_t child = size_t{Load<uint16_t>(p + slot)} +
                           Load<uint16_t>(p + slot + sizeof(uint16_t));
      if (child + kChildBytes > kPageBytes) break;
      entries +=
          Load<uint64_t>(p + child + kChildEntriesAt, kChildEntriesBytes);
    }
  }
  return {.page = Load<uint64_t>(p + kNumberAt),
          .epoch = Load<uint64_t>(p + kEpochAt),
          .checksum = Load<uint64_t>(p),
          .entries = entries};
}

}  // namespace larder::tests
