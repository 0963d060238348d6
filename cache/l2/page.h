// The 4 KiB page of `meta`: a node of a copy-on-write B+ tree.
//
// Bytes: docs/formats/l2.md, "page". A page carries its own number and epoch;
// its checksum stands in it and in its parent.
#ifndef LARDER_CACHE_L2_PAGE_H_
#define LARDER_CACHE_L2_PAGE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace larder::cache::l2 {

inline constexpr size_t kPageBytes = 4096;
inline constexpr size_t kPageHeaderBytes = 40;
inline constexpr size_t kPageSpaceBytes = kPageBytes - kPageHeaderBytes;
// What an entry costs beside its key and value: head, offset, key length.
inline constexpr size_t kSlotBytes = 4 + 2 + 2;
// A child in its parent: page, epoch and entries of 48 bits each, checksum.
inline constexpr size_t kChildBytes = 6 + 6 + 8 + 6;

// Where the header has what searches read (docs/formats/l2.md, "page").
inline constexpr size_t kPageLevelAt = 28;
inline constexpr size_t kPageCountAt = 30;
inline constexpr size_t kPagePrefixAt = 32;
inline constexpr size_t kPageHeadBytes = 4;  // Of one key.
inline constexpr int kPageEntriesMax =
    static_cast<int>(kPageSpaceBytes / kSlotBytes);

// The largest key plus value of one leaf entry: two fit a page.
inline constexpr size_t kEntryBytesMax = 2000;
// The largest key of a tree: three children fit a page, so trees stay low.
inline constexpr size_t kTreeKeyBytesMax = 1300;
// Pages, epochs and entries of a tree: what a child's fields hold.
inline constexpr uint64_t kTreeNumberMax = (uint64_t{1} << 48) - 1;
// Levels 0 to 31; with three children each, more than 2^48 entries need.
inline constexpr int kPageLevelMax = 31;

static_assert(2 * (kSlotBytes + kEntryBytesMax) <= kPageSpaceBytes);
static_assert(3 * (kSlotBytes + kTreeKeyBytesMax + kChildBytes) <=
              kPageSpaceBytes);

// What a parent says of its child. Also a tree's root, as the superblock
// keeps it; page 0 (a superblock's place) means an empty tree.
struct ChildRef {
  uint64_t page = 0;      // Page number within `meta`.
  uint64_t epoch = 0;     // Of the commit that wrote it (or emptied the tree).
  uint64_t checksum = 0;  // XXH3-64 of the page after its checksum field.
  uint64_t entries = 0;   // Leaf entries at or below it.
  friend bool operator==(const ChildRef&, const ChildRef&) = default;
};

// A verified view of one node. Borrows the page's bytes. Thread-compatible.
// Should they change after all (a bad sector, read again), then what it says
// means nothing, and it still reads nothing beyond the page.
// Level 0 is a leaf: keys with values. A higher level holds, for each child,
// its low fence (the smallest key that may be below it; the first entry
// repeats the node's own low fence, empty on the left edge) and its ChildRef.
class PageView {
 public:
  // Checks everything about `bytes` (kPageBytes of them) that `expected` and
  // the page itself say: checksum, number, epoch, bounds of every entry, order
  // of keys, sum of entries. Never aborts and never reads beyond the page.
  // Errors: kDataLoss `page N: what: found vs expected`.
  static absl::StatusOr<PageView> Verify(const char* bytes,
                                         const ChildRef& expected);
  // What a page that no sound parent names says of itself, all of which holds
  // for its bytes: Verify(bytes, *ref) succeeds. Whether it is still in use,
  // nothing in it tells.
  // Errors: kDataLoss.
  static absl::StatusOr<ChildRef> SelfRef(const char* bytes);
  // For a page that was Verify()ed before and has not been written since;
  // checks only number, epoch and checksum field against `expected`.
  static absl::StatusOr<PageView> Trust(const char* bytes,
                                        const ChildRef& expected) {
    return Identify(bytes, expected);
  }

  // For a copy of a page that was Verify()ed: checks that it has the same
  // bytes still.
  static absl::StatusOr<PageView> VerifyCopy(const char* bytes,
                                             const ChildRef& expected);

  int level() const { return static_cast<uint8_t>(bytes_[kPageLevelAt]); }
  int size() const {  // Entries.
    return std::min<int>(Load16(bytes_ + kPageCountAt), kPageEntriesMax);
  }
  absl::string_view key(int i) const {
    const size_t begin = entry_begin(i);
    return {bytes_ + begin, std::min(key_bytes(i), kPageBytes - begin)};
  }
  absl::string_view value(int i) const {  // Leaf only.
    const size_t begin = std::min(entry_begin(i) + key_bytes(i), kPageBytes);
    const size_t end = entry_end(i);
    return {bytes_ + begin, end > begin ? end - begin : 0};
  }
  ChildRef child(int i) const;  // Level > 0 only.

  // Index of the first entry whose key is >= `key`; size() if none.
  int LowerBound(absl::string_view key) const;
  // Index of the entry whose key is `key`; -1 if none. Faster than LowerBound.
  int Find(absl::string_view key) const;
  // Level > 0: index of the child whose range holds `key`.
  int ChildFor(absl::string_view key) const;

  // Bytes used by entries, of at most kPageSpaceBytes.
  size_t bytes_used() const;
  // The whole page.
  absl::string_view bytes() const { return {bytes_, kPageBytes}; }

 private:
  struct Hit {
    int index;   // The first entry whose key is not below the one looked for.
    bool exact;  // Whether it is that key.
  };

  explicit PageView(const char* bytes) : bytes_(bytes) {}

  struct Identity {  // As a page begins.
    uint64_t checksum;
    uint64_t page;
    uint64_t epoch;
  };
  static_assert(sizeof(Identity) == 24);
  // Checks only these.
  static absl::StatusOr<PageView> Identify(const char* bytes,
                                           const ChildRef& expected) {
    Identity found;
    std::memcpy(&found, bytes, sizeof(found));
    if (found.checksum == expected.checksum && found.page == expected.page &&
        found.epoch == expected.epoch) {
      return PageView(bytes);
    }
    return OtherPage(found, expected);
  }
  // Says in what they differ, which they do.
  static absl::Status OtherPage(const Identity& found,
                                const ChildRef& expected);
  // What Verify() checks once the header is known to be sound.
  absl::Status CheckEntries(const ChildRef& expected) const;
  absl::Status CheckOrder(uint64_t page) const;
  absl::Status CheckChildren(const ChildRef& expected) const;

  static uint16_t Load16(const char* from) {
    uint16_t value;
    std::memcpy(&value, from, sizeof(value));
    return value;
  }
  const char* slot(int i) const {
    return bytes_ + kPageHeaderBytes +
           static_cast<size_t>(size()) * kPageHeadBytes +
           static_cast<size_t>(i) * (kSlotBytes - kPageHeadBytes);
  }
  size_t prefix_bytes() const { return Load16(bytes_ + kPagePrefixAt); }
  size_t entry_begin(int i) const {
    return std::min<size_t>(Load16(slot(i)), kPageBytes);
  }
  size_t entry_end(int i) const {
    return i == 0 ? kPageBytes : entry_begin(i - 1);
  }
  size_t key_bytes(int i) const { return Load16(slot(i) + 2); }
  // Searches the entries from `first` on. Without `check_prefix`, only
  // `exact` means anything.
  Hit Search(int first, absl::string_view key, bool check_prefix) const;
  Hit SearchEqualHeads(int first, absl::string_view key, uint32_t head) const;

  const char* bytes_;
};

// Builds one page, entries in key order. Single-owner.
class PageBuilder {
 public:
  // Requires: 0 <= level <= kPageLevelMax.
  explicit PageBuilder(int level);

  // The space that an entry takes, of kPageSpaceBytes.
  static constexpr size_t ValueEntryBytes(size_t key_and_value_bytes) {
    return kSlotBytes + key_and_value_bytes;
  }
  static constexpr size_t ChildEntryBytes(size_t key_bytes) {
    return kSlotBytes + key_bytes + kChildBytes;
  }

  // Whether one more entry fits. `value_bytes` counts at level 0 only.
  bool Fits(absl::string_view key, size_t value_bytes) const;
  // Require: Fits(), keys that ascend, sizes and numbers within the limits
  // above.
  void AddValue(absl::string_view key, absl::string_view value);  // Level 0.
  void AddChild(absl::string_view low_fence, const ChildRef& child);
  int size() const { return count_; }
  // Bytes used by entries so far, of at most kPageSpaceBytes.
  size_t bytes_used() const { return used_; }
  // Completes the page as page `page` of `epoch`. bytes() is then final.
  // Requires: an entry, if level > 0; to be called once.
  ChildRef Finish(uint64_t page, uint64_t epoch);
  absl::string_view bytes() const { return {bytes_, kPageBytes}; }

 private:
  // Takes `tail_bytes` more than the key from the end of the free space and
  // notes the slot; returns where the tail begins.
  char* AddEntry(absl::string_view key, size_t tail_bytes);
  absl::string_view key(int i) const;
  // Moves the slots behind the heads, fills these, and returns the length of
  // the prefix that they leave out.
  size_t WriteHeads();

  int level_;
  int count_ = 0;
  size_t used_ = 0;
  uint64_t entries_ = 0;
  // Until Finish(), the slots stand where the heads will.
  char bytes_[kPageBytes];
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_PAGE_H_
