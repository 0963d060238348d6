#include "cache/l2/meta_pages.h"

#include "absl/strings/str_cat.h"
#include "cache/l2/superblock.h"

namespace larder::cache::l2 {
namespace {

constexpr size_t kCacheLineBytes = 64;
constexpr size_t kHeadBytesAhead = 704;  // Of some eighty entries, with slots.

}  // namespace

absl::Status MetaPages::Damaged(const ChildRef& ref,
                                absl::string_view why) const {
  damaged_.fetch_add(1, std::memory_order_relaxed);
  return absl::DataLossError(absl::StrCat(meta_->path(), ": at offset ",
                                          ref.page * kPageBytes, ": ", why));
}

absl::StatusOr<PageView> MetaPages::Get(const ChildRef& ref) const {
  if (ref.page < kSuperblockPages || ref.page >= pages_max_) {
    return Damaged(ref,
                   absl::StrCat("page ", ref.page, ": number out of range"));
  }
  const absl::StatusOr<const char*> bytes =
      meta_->View(ref.page * kPageBytes, kPageBytes);
  if (!bytes.ok()) return Damaged(ref, bytes.status().message());
#pragma GCC unroll 16
  // Heads and slots, which a search reads next: one wait for all of it.
  for (size_t at = 0; at < kHeadBytesAhead; at += kCacheLineBytes) {
    __builtin_prefetch(*bytes + at);
  }
  std::atomic<uint64_t>& word = verified_[ref.page / 64];
  const uint64_t bit = uint64_t{1} << (ref.page % 64);
  const bool is_verified = (word.load(std::memory_order_relaxed) & bit) != 0;
  absl::StatusOr<PageView> page = is_verified ? PageView::Trust(*bytes, ref)
                                              : PageView::Verify(*bytes, ref);
  if (!page.ok()) return Damaged(ref, page.status().message());
  if (!is_verified) word.fetch_or(bit, std::memory_order_relaxed);
  return page;
}

}  // namespace larder::cache::l2
