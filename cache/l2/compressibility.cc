#include "cache/l2/compressibility.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cache/l2/coding.h"

namespace larder::cache::l2 {
namespace {

// The sample: runs of bytes at even distances.
constexpr size_t kSampleRuns = 16;
constexpr size_t kSampleRunBytes = 32;
constexpr size_t kSampleBytes = kSampleRuns * kSampleRunBytes;
// The most that the squares of the counts of 512 random bytes sum to: expected
// are 512 + 512 * 511 / 256 = 1534, with a standard deviation of 45; four of
// those more. Where the sum is no more, a byte carries at least 7.77 bits:
// log2(512^2 / (1714 - 512)).
constexpr uint32_t kSquaresMax = 1714;

// Repeats: every so many bytes eight of them are noted, and at even distances
// so many neighbours are looked up. So a repeat that is longer than both
// together meets a place that was noted, and finds it unless another one fell
// into its slot since: one in eight, at so many slots for each.
constexpr size_t kNoteStep = 64;
constexpr int kSlotsPerPlaceLog2 = 2;
// The distance: an eighth of the bytes, within these bounds.
constexpr size_t kWindowGapMin = 128;
constexpr size_t kWindowGapMax = 2048;
constexpr size_t kWordBytes = sizeof(uint64_t);

bool IsSpreadEvenly(absl::string_view bytes) {
  std::array<uint32_t, 256> counts = {};
  const size_t step = (bytes.size() - kSampleRunBytes) / (kSampleRuns - 1);
  const char* at = bytes.data();
  for (size_t run = 0; run < kSampleRuns; ++run, at += step) {
    for (size_t i = 0; i < kSampleRunBytes; i += kWordBytes) {
      uint64_t word = LoadFixed64(at + i);
      for (size_t k = 0; k < kWordBytes; ++k, word >>= 8) ++counts[word & 0xff];
    }
  }
  uint32_t squares = 0;
  for (const uint32_t count : counts) squares += count * count;
  return squares <= kSquaresMax;
}

// Places where eight bytes were seen, by a hash of them.
class Places {
 public:
  explicit Places(absl::string_view bytes)
      : bytes_(bytes),
        shift_(64 - kSlotsPerPlaceLog2 -
               std::bit_width(bytes.size() / kNoteStep)),
        table_(size_t{1} << (64 - shift_), kNowhere) {}

  void Note(size_t at) { table_[SlotOf(at)] = static_cast<uint32_t>(at); }
  // Whether the eight bytes at `at` were noted somewhere before.
  bool Repeats(size_t at) const {
    const uint32_t place = table_[SlotOf(at)];
    return place < at && WordAt(place) == WordAt(at);
  }

 private:
  static constexpr uint32_t kNowhere = ~uint32_t{0};

  uint64_t WordAt(size_t at) const { return LoadFixed64(bytes_.data() + at); }
  size_t SlotOf(size_t at) const {
    return (WordAt(at) * 0x9e3779b97f4a7c15u) >> shift_;
  }

  const absl::string_view bytes_;
  const int shift_;
  std::vector<uint32_t> table_;
};

bool RepeatsItself(absl::string_view bytes) {
  Places places(bytes);
  const size_t end = bytes.size() - kWordBytes;
  const size_t gap = std::clamp(bytes.size() / 8, kWindowGapMin, kWindowGapMax);
  size_t noted = 0;
  for (size_t window = gap; window + kNoteStep <= end; window += gap) {
    for (; noted < window; noted += kNoteStep) places.Note(noted);
    for (size_t i = 0; i < kNoteStep; ++i) {
      if (places.Repeats(window + i)) return true;
    }
  }
  return false;
}

}  // namespace

bool IsIncompressible(absl::string_view bytes) {
  // Less cannot be judged from a sample, and costs little to try.
  if (bytes.size() < kSampleBytes) return false;
  return IsSpreadEvenly(bytes) && !RepeatsItself(bytes);
}

}  // namespace larder::cache::l2
