// Layout (docs/formats/l2.md, "page"), all numbers little endian:
//
//   0        40            40+4n          40+8n         o[n-1]       4096
//   | header | heads u32 n | slots 2xu16 n | zero bytes | e[n-1] ... e[0] |
//
// Entry i takes [o[i], o[i-1]) (o[-1] = 4096): its key, then its value or its
// child. Slot i is (o[i], key bytes). All keys searched on share their first
// `prefix_bytes` bytes; head i is the next four bytes of key i, as a number
// that compares as they do. So a search reads the header, neighbouring lines
// of heads, one slot and one key: few cache misses, nearly no branches.
// Keys stay whole, so that key() is a view.
//
// Rejected: dropping the prefix from the keys (key() would have to copy).
#include "cache/l2/page.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "cache/check.h"
#include "cache/l2/hash.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

static_assert(std::endian::native == std::endian::little,
              "numbers are copied as they stand");

struct Header {
  uint64_t checksum;  // Of everything behind it.
  uint64_t page;
  uint64_t epoch;
  uint32_t magic;
  uint8_t level;
  uint8_t zero;
  uint16_t count;
  uint16_t prefix_bytes;
  uint16_t zeros[3];
};
static_assert(sizeof(Header) == kPageHeaderBytes);
static_assert(offsetof(Header, checksum) == 0);
static_assert(offsetof(Header, page) == 8);
static_assert(offsetof(Header, epoch) == 16);
static_assert(offsetof(Header, magic) == 24);
static_assert(offsetof(Header, level) == kPageLevelAt);
static_assert(offsetof(Header, count) == kPageCountAt);
static_assert(offsetof(Header, prefix_bytes) == kPagePrefixAt);

// Half of what a ChildRef can hold: a merge into a forged tree cannot overflow.
constexpr uint64_t kEntriesMax = kTreeNumberMax / 2;

constexpr uint32_t kMagic = 0x3147504C;  // "LPG1": format 1.
constexpr size_t kChecksumBytes = sizeof(uint64_t);
constexpr size_t kHeadBytes = kPageHeadBytes;
static_assert(kHeadBytes == sizeof(uint32_t));
constexpr size_t kOffsetBytes = sizeof(uint16_t);
constexpr size_t kOffsetAndKeyBytes = 2 * kOffsetBytes;
static_assert(kSlotBytes == kHeadBytes + kOffsetAndKeyBytes);

// A child in its parent's entry, behind the key.
constexpr size_t kNumberBytes = 6;
constexpr size_t kChildEpochAt = kNumberBytes;
constexpr size_t kChildChecksumAt = kChildEpochAt + kNumberBytes;
constexpr size_t kChildEntriesAt = kChildChecksumAt + kChecksumBytes;
static_assert(kChildEntriesAt + kNumberBytes == kChildBytes);

template <typename T>
T Load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

template <typename T>
void Store(char* to, T value) {
  std::memcpy(to, &value, sizeof(value));
}

uint64_t LoadNumber(const char* from) {
  uint64_t value = 0;
  std::memcpy(&value, from, kNumberBytes);
  return value;
}

void StoreNumber(char* to, uint64_t value) {
  std::memcpy(to, &value, kNumberBytes);
}

uint64_t Checksum(const char* bytes) {
  return Checksum64({bytes + kChecksumBytes, kPageBytes - kChecksumBytes});
}

// The first entry that searches look at: a parent's entry 0 stands for
// everything below entry 1, whatever its key.
int FirstSearched(int level) { return level > 0 ? 1 : 0; }

size_t CommonPrefixBytes(absl::string_view a, absl::string_view b) {
  const size_t limit = std::min(a.size(), b.size());
  return std::mismatch(a.begin(), a.begin() + limit, b.begin()).first -
         a.begin();
}

// The first four bytes of `tail`, padded with zeros, in comparable order.
uint32_t Head(absl::string_view tail) {
  if (tail.size() >= kHeadBytes) {
    return __builtin_bswap32(Load<uint32_t>(tail.data()));
  }
  uint32_t head = 0;
  for (size_t i = 0; i < tail.size(); ++i) {
    head |= uint32_t{static_cast<uint8_t>(tail[i])} << (24 - 8 * i);
  }
  return head;
}

uint32_t HeadAt(const char* bytes, int i) {
  return Load<uint32_t>(bytes + kPageHeaderBytes + i * kHeadBytes);
}

// How many of `count` ascending heads are below `head`. Finds the block by the
// last head of each, then looks at all of the block, four heads at a time: so
// loads wait for others once, where those of a binary search do at each step,
// and no branch depends on what a head is.
int CountBelow(const char* heads, int count, uint32_t head) {
  constexpr int kBlock = 16;
  const auto is_below = [&](int i) {
    return Load<uint32_t>(heads + i * kHeadBytes) < head;
  };
  int whole = 0;
  for (int last = kBlock - 1; last < count; last += kBlock) {
    whole += is_below(last) ? kBlock : 0;
  }
  using Four = uint32_t __attribute__((vector_size(16)));
  const Four wanted = {head, head, head, head};
  Four below = {0, 0, 0, 0};
  const int end = std::min(whole + kBlock, count);
  int i = whole;
#pragma GCC unroll 4
  for (; i + 4 <= end; i += 4) {
    // A comparison gives all ones, minus one, where it holds.
    below -= Load<Four>(heads + i * kHeadBytes) < wanted;
  }
  int sum = whole + static_cast<int>(below[0] + below[1] + below[2] + below[3]);
  for (; i < end; ++i) sum += is_below(i) ? 1 : 0;
  return sum;
}

absl::Status Bad(uint64_t page, absl::string_view what, uint64_t found,
                 uint64_t expected) {
  return absl::DataLossError(absl::StrFormat(
      "page %d: %s: found %d vs expected %d", page, what, found, expected));
}

absl::Status BadChecksum(uint64_t page, uint64_t found, uint64_t expected) {
  return absl::DataLossError(absl::StrFormat(
      "page %d: checksum: found 0x%x vs expected 0x%x", page, found, expected));
}

absl::Status BadEntry(uint64_t page, int i, absl::string_view what,
                      uint64_t found, uint64_t limit) {
  return absl::DataLossError(
      absl::StrFormat("page %d: entry %d: %s: found %d vs limit %d", page, i,
                      what, found, limit));
}

absl::Status CheckHeader(const Header& header) {
  const uint64_t page = header.page;
  if (header.magic != kMagic) return Bad(page, "magic", header.magic, kMagic);
  if (header.level > kPageLevelMax) {
    return Bad(page, "level", header.level, kPageLevelMax);
  }
  if (page > kTreeNumberMax || header.epoch > kTreeNumberMax) {
    return Bad(page, "epoch", header.epoch, kTreeNumberMax);
  }
  const uint16_t zeros =
      header.zero | header.zeros[0] | header.zeros[1] | header.zeros[2];
  if (zeros != 0) return Bad(page, "reserved bytes", zeros, 0);
  if (header.count * kSlotBytes > kPageSpaceBytes) {
    return Bad(page, "entries in page", header.count,
               kPageSpaceBytes / kSlotBytes);
  }
  if (header.level > 0 && header.count == 0) {
    return Bad(page, "children", 0, 1);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PageView> PageView::VerifyCopy(const char* bytes,
                                              const ChildRef& expected) {
  LARDER_ASSIGN_OR_RETURN(const PageView view, Identify(bytes, expected));
  const uint64_t checksum = Checksum(bytes);
  if (checksum != expected.checksum) {
    return BadChecksum(expected.page, checksum, expected.checksum);
  }
  return view;
}

absl::StatusOr<PageView> PageView::Verify(const char* bytes,
                                          const ChildRef& expected) {
  LARDER_ASSIGN_OR_RETURN(const PageView view, VerifyCopy(bytes, expected));
  LARDER_RETURN_IF_ERROR(CheckHeader(Load<Header>(bytes)));
  LARDER_RETURN_IF_ERROR(view.CheckEntries(expected));
  LARDER_RETURN_IF_ERROR(view.CheckOrder(expected.page));
  LARDER_RETURN_IF_ERROR(view.CheckChildren(expected));
  return view;
}

absl::StatusOr<ChildRef> PageView::SelfRef(const char* bytes) {
  const Header header = Load<Header>(bytes);
  ChildRef ref = {.page = header.page,
                  .epoch = header.epoch,
                  .checksum = header.checksum,
                  .entries = 0};
  const uint64_t checksum = Checksum(bytes);
  if (checksum != ref.checksum) {
    return BadChecksum(ref.page, checksum, ref.checksum);
  }
  LARDER_RETURN_IF_ERROR(CheckHeader(header));
  const PageView view(bytes);
  LARDER_RETURN_IF_ERROR(view.CheckEntries(ref));
  if (view.level() == 0) ref.entries = view.size();
  for (int i = 0; view.level() > 0 && i < view.size(); ++i) {
    ref.entries += view.child(i).entries;
  }
  LARDER_RETURN_IF_ERROR(Verify(bytes, ref).status());
  return ref;
}

absl::Status PageView::OtherPage(const Identity& found,
                                 const ChildRef& expected) {
  if (found.checksum != expected.checksum) {
    return BadChecksum(expected.page, found.checksum, expected.checksum);
  }
  if (found.page != expected.page) {
    return Bad(expected.page, "number", found.page, expected.page);
  }
  return Bad(expected.page, "epoch", found.epoch, expected.epoch);
}

// Bounds: after this, key(), value() and child() stay within the page.
absl::Status PageView::CheckEntries(const ChildRef& expected) const {
  const bool leaf = level() == 0;
  const size_t slots_end = kPageHeaderBytes + size() * kSlotBytes;
  size_t end = kPageBytes;
  for (int i = 0; i < size(); ++i) {
    const size_t begin = Load16(slot(i));
    if (begin > end || begin < slots_end) {
      return BadEntry(expected.page, i, "offset", begin,
                      begin > end ? end : slots_end);
    }
    const size_t bytes = end - begin;
    const size_t tail = leaf ? 0 : kChildBytes;
    if (key_bytes(i) > kTreeKeyBytesMax || key_bytes(i) + tail > bytes) {
      return BadEntry(expected.page, i, "key bytes", key_bytes(i), bytes);
    }
    if (leaf ? bytes > kEntryBytesMax : bytes != key_bytes(i) + tail) {
      return BadEntry(expected.page, i, "bytes", bytes,
                      leaf ? kEntryBytesMax : key_bytes(i) + tail);
    }
    end = begin;
  }
  const auto in_use = std::find_if(bytes_ + slots_end, bytes_ + end,
                                   [](char c) { return c != 0; });
  if (in_use != bytes_ + end) {
    return Bad(expected.page, "free space in use at byte", in_use - bytes_,
               end);
  }
  return absl::OkStatus();
}

// Keys ascend; prefix and heads are what the keys say.
absl::Status PageView::CheckOrder(uint64_t page) const {
  for (int i = 1; i < size(); ++i) {
    if (key(i - 1) >= key(i)) {
      return absl::DataLossError(absl::StrFormat(
          "page %d: entry %d: key \"%s\" not above the one before it", page, i,
          absl::CHexEscape(key(i).substr(0, 32))));
    }
  }
  const int first = FirstSearched(level());
  const size_t prefix =
      first < size() ? CommonPrefixBytes(key(first), key(size() - 1)) : 0;
  if (prefix_bytes() != prefix) {
    return Bad(page, "prefix bytes", prefix_bytes(), prefix);
  }
  for (int i = 0; i < size(); ++i) {
    const uint32_t head = i < first ? 0 : Head(key(i).substr(prefix));
    if (HeadAt(bytes_, i) != head) {
      return BadEntry(page, i, "head", HeadAt(bytes_, i), head);
    }
  }
  return absl::OkStatus();
}

// Children are elsewhere and not newer; entries add up.
absl::Status PageView::CheckChildren(const ChildRef& expected) const {
  uint64_t entries = level() == 0 ? size() : 0;
  for (int i = 0; level() > 0 && i < size(); ++i) {
    const ChildRef ref = child(i);
    if (ref.page == 0 || ref.page == expected.page) {
      return BadEntry(expected.page, i, "child page", ref.page, 1);
    }
    if (ref.epoch > expected.epoch) {
      return BadEntry(expected.page, i, "child epoch", ref.epoch,
                      expected.epoch);
    }
    entries += ref.entries;  // At most 512 times 2^48.
  }
  if (entries != expected.entries || entries > kEntriesMax) {
    return Bad(expected.page, "entries", entries, expected.entries);
  }
  return absl::OkStatus();
}

size_t PageView::bytes_used() const {
  return size() * kSlotBytes + kPageBytes - entry_end(size());
}

ChildRef PageView::child(int i) const {
  const size_t begin = entry_begin(i) + key_bytes(i);
  if (begin > kPageBytes - kChildBytes) return {};  // Page 0 is no node.
  const char* from = bytes_ + begin;
  return {.page = LoadNumber(from),
          .epoch = LoadNumber(from + kChildEpochAt),
          .checksum = Load<uint64_t>(from + kChildChecksumAt),
          .entries = LoadNumber(from + kChildEntriesAt)};
}

PageView::Hit PageView::Search(int first, absl::string_view wanted,
                               bool check_prefix) const {
  const int count = size();
  if (first >= count) return {count, false};
  const size_t prefix = prefix_bytes();
  if (check_prefix && prefix > 0) {
    const absl::string_view sample = key(first);
    const size_t n = std::min({prefix, wanted.size(), sample.size()});
    const int order = n == 0 ? 0 : std::memcmp(wanted.data(), sample.data(), n);
    if (order > 0) return {count, false};
    if (order < 0) return {first, false};
  }
  if (wanted.size() < prefix) return {first, false};
  const uint32_t head = Head(wanted.substr(prefix));
  const int at =
      first + CountBelow(bytes_ + kPageHeaderBytes + first * kHeadBytes,
                         count - first, head);
  if (at == count || HeadAt(bytes_, at) != head) return {at, false};
  const int order = wanted.compare(key(at));
  if (order <= 0) return {at, order == 0};
  return SearchEqualHeads(at + 1, wanted, head);
}

// Entries from `first` on that share `head` are told apart by their keys.
PageView::Hit PageView::SearchEqualHeads(int first, absl::string_view wanted,
                                         uint32_t head) const {
  int low = first;
  int high = size();
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (HeadAt(bytes_, middle) == head && key(middle) < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return {low, low < size() && key(low) == wanted};
}

int PageView::LowerBound(absl::string_view wanted) const {
  const int first = FirstSearched(level());
  if (first > 0 && key(0) >= wanted) return 0;
  return Search(first, wanted, /*check_prefix=*/true).index;
}

int PageView::Find(absl::string_view wanted) const {
  const int first = FirstSearched(level());
  if (first > 0 && key(0) == wanted) return 0;
  const Hit hit = Search(first, wanted, /*check_prefix=*/false);
  return hit.exact ? hit.index : -1;
}

int PageView::ChildFor(absl::string_view wanted) const {
  const Hit hit = Search(1, wanted, /*check_prefix=*/true);
  return hit.exact ? hit.index : hit.index - 1;
}

PageBuilder::PageBuilder(int level) : level_(level) {
  LARDER_CHECK(level >= 0 && level <= kPageLevelMax);
}

bool PageBuilder::Fits(absl::string_view key, size_t value_bytes) const {
  const size_t bytes = level_ == 0 ? ValueEntryBytes(key.size() + value_bytes)
                                   : ChildEntryBytes(key.size());
  return used_ + bytes <= kPageSpaceBytes;
}

absl::string_view PageBuilder::key(int i) const {
  const char* slot = bytes_ + kPageHeaderBytes + i * kOffsetAndKeyBytes;
  return {bytes_ + Load<uint16_t>(slot), Load<uint16_t>(slot + kOffsetBytes)};
}

char* PageBuilder::AddEntry(absl::string_view key, size_t tail_bytes) {
  const size_t bytes = key.size() + tail_bytes;
  LARDER_CHECK(key.size() <= kTreeKeyBytesMax);
  LARDER_CHECK(used_ + kSlotBytes + bytes <= kPageSpaceBytes);
  LARDER_CHECK(count_ == 0 || this->key(count_ - 1) < key);
  const size_t data_used = used_ - count_ * kSlotBytes;
  const size_t begin = kPageBytes - data_used - bytes;
  char* slot = bytes_ + kPageHeaderBytes + count_ * kOffsetAndKeyBytes;
  Store<uint16_t>(slot, begin);
  Store<uint16_t>(slot + kOffsetBytes, key.size());
  std::copy(key.begin(), key.end(), bytes_ + begin);
  ++count_;
  used_ += kSlotBytes + bytes;
  return bytes_ + begin + key.size();
}

void PageBuilder::AddValue(absl::string_view key, absl::string_view value) {
  LARDER_CHECK(level_ == 0 && key.size() + value.size() <= kEntryBytesMax);
  char* tail = AddEntry(key, value.size());
  std::copy(value.begin(), value.end(), tail);
  ++entries_;
}

void PageBuilder::AddChild(absl::string_view low_fence, const ChildRef& child) {
  LARDER_CHECK(level_ > 0 && child.page != 0);
  LARDER_CHECK(child.page <= kTreeNumberMax && child.epoch <= kTreeNumberMax &&
               child.entries <= kTreeNumberMax);
  char* tail = AddEntry(low_fence, kChildBytes);
  StoreNumber(tail, child.page);
  StoreNumber(tail + kChildEpochAt, child.epoch);
  Store<uint64_t>(tail + kChildChecksumAt, child.checksum);
  StoreNumber(tail + kChildEntriesAt, child.entries);
  entries_ += child.entries;
}

size_t PageBuilder::WriteHeads() {
  const int first = FirstSearched(level_);
  const size_t prefix =
      first < count_ ? CommonPrefixBytes(key(first), key(count_ - 1)) : 0;
  char* heads = bytes_ + kPageHeaderBytes;
  char* slots = heads + count_ * kHeadBytes;
  std::memmove(slots, heads, count_ * kOffsetAndKeyBytes);
  for (int i = 0; i < count_; ++i) {
    const char* slot = slots + i * kOffsetAndKeyBytes;
    const absl::string_view key(bytes_ + Load<uint16_t>(slot),
                                Load<uint16_t>(slot + kOffsetBytes));
    Store<uint32_t>(heads + i * kHeadBytes,
                    i < first ? 0 : Head(key.substr(prefix)));
  }
  return prefix;
}

ChildRef PageBuilder::Finish(uint64_t page, uint64_t epoch) {
  LARDER_CHECK(level_ == 0 || count_ > 0);
  LARDER_CHECK(page <= kTreeNumberMax && epoch <= kTreeNumberMax &&
               entries_ <= kTreeNumberMax);
  const size_t prefix = WriteHeads();
  const size_t slots_end = kPageHeaderBytes + count_ * kSlotBytes;
  std::memset(bytes_ + slots_end, 0, kPageSpaceBytes - used_);
  Header header = {.checksum = 0,
                   .page = page,
                   .epoch = epoch,
                   .magic = kMagic,
                   .level = static_cast<uint8_t>(level_),
                   .zero = 0,
                   .count = static_cast<uint16_t>(count_),
                   .prefix_bytes = static_cast<uint16_t>(prefix),
                   .zeros = {0, 0, 0}};
  std::memcpy(bytes_, &header, sizeof(header));
  header.checksum = Checksum(bytes_);
  Store<uint64_t>(bytes_, header.checksum);
  return {.page = page,
          .epoch = epoch,
          .checksum = header.checksum,
          .entries = entries_};
}

}  // namespace larder::cache::l2
