#include "cache/l2/compressibility.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
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
constexpr int32_t kSquaresMax = 1714;

// Repeats: every so many bytes eight of them are noted, and at even distances
// so many neighbours are looked up. So a repeat that is longer than both
// together meets eight that were noted, and finds them unless others fell into
// their slot since: one in eight, at so many slots for each.
constexpr size_t kNoteStep = 64;
constexpr int kSlotsPerNoteLog2 = 2;
// With fewer bytes there is little to note: nearer notes cost less than wider
// looks.
constexpr size_t kSmallBytes = 4096;
constexpr size_t kNoteStepSmall = 16;
// The distance: an eighth of the bytes, within these bounds.
constexpr size_t kWindowGapMin = 128;
constexpr size_t kWindowGapMax = 2048;
constexpr size_t kWordBytes = sizeof(uint64_t);

using ByteCounts = std::array<int16_t, 256>;

// Without a loop around each byte.
template <size_t... kByte>
void CountBytes(uint64_t word, ByteCounts* counts,
                std::index_sequence<kByte...>) {
  (++(*counts)[(word >> (8 * kByte)) & 0xff], ...);
}

bool IsSpreadEvenly(absl::string_view bytes) {
  // Counts and their products fit; 16 bits are what SSE2 multiplies and adds
  // in one step.
  ByteCounts counts = {};
  static_assert(kSampleBytes * kSampleBytes <=
                std::numeric_limits<int32_t>::max());
  const size_t step = (bytes.size() - kSampleRunBytes) / (kSampleRuns - 1);
  const char* at = bytes.data();
  for (size_t run = 0; run < kSampleRuns; ++run, at += step) {
    for (size_t i = 0; i < kSampleRunBytes; i += kWordBytes) {
      CountBytes(LoadFixed64(at + i), &counts,
                 std::make_index_sequence<kWordBytes>());
    }
  }
  int32_t squares = 0;
  for (const int16_t count : counts) squares += int32_t{count} * count;
  return squares <= kSquaresMax;
}

// Which eight bytes were noted, as half of them in a slot by a hash of all.
// Single-owner.
class Notes {
 public:
  // Requires: `most` is at least 2.
  explicit Notes(size_t most)
      : shift_(64 - kSlotsPerNoteLog2 - std::bit_width(most - 1)),
        table_(size_t{1} << (64 - shift_), 0) {}

  void Add(uint64_t word) { table_[SlotOf(word)] = TagOf(word); }
  // True of others than those added in one of 2^32 cases.
  bool MayHold(uint64_t word) const {
    return table_[SlotOf(word)] == TagOf(word);
  }

 private:
  static uint32_t TagOf(uint64_t word) {
    return static_cast<uint32_t>(word >> 32);
  }
  size_t SlotOf(uint64_t word) const {
    return (word * 0x9e3779b97f4a7c15u) >> shift_;
  }

  const int shift_;
  std::vector<uint32_t> table_;
};

bool RepeatsItself(absl::string_view bytes) {
  const size_t end = bytes.size() - kWordBytes;
  const size_t gap = std::clamp(bytes.size() / 8, kWindowGapMin, kWindowGapMax);
  const size_t step = bytes.size() <= kSmallBytes ? kNoteStepSmall : kNoteStep;
  Notes notes(bytes.size() / step);
  size_t noted = 0;
  for (size_t window = gap; window + step <= end; window += gap) {
    for (; noted < window; noted += step) {
      notes.Add(LoadFixed64(bytes.data() + noted));
    }
    // Without a branch for each, so that the lookups overlap.
    bool repeats = false;
    for (size_t i = window; i < window + step; ++i) {
      repeats |= notes.MayHold(LoadFixed64(bytes.data() + i));
    }
    if (repeats) return true;
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
