#include "cache/l2/repair_pages.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "cache/l2/superblock.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

constexpr uint64_t kReadPages = 256;  // At a time.
constexpr uint64_t kGrowPages = 64;   // At least, at a time.

}  // namespace

RepairPages::RepairPages(File* meta, uint64_t pages_max)
    : meta_(meta),
      pages_max_(std::max(pages_max, meta->Size() / kPageBytes)),
      pages_(meta, pages_max_ + 1) {
  Resize(meta->Size() / kPageBytes);
}

void RepairPages::Resize(uint64_t pages) {
  for (std::vector<bool>* bits : {&unreadable_, &refused_, &kept_, &written_}) {
    bits->resize(pages, false);
  }
  for (uint64_t p = 0; p < std::min(pages, kSuperblockPages); ++p) Keep(p);
}

void RepairPages::KeepNothing() {
  kept_ = refused_;
  Resize(kept_.size());
}

absl::Status RepairPages::FindUnreadable() {
  std::string block(kReadPages * kPageBytes, '\0');
  for (uint64_t first = 0; first < count(); first += kReadPages) {
    const uint64_t pages = std::min(kReadPages, count() - first);
    const absl::Status all = meta_->ReadAt(
        first * kPageBytes, absl::MakeSpan(block.data(), pages * kPageBytes));
    if (all.ok()) continue;
    if (!absl::IsDataLoss(all)) return all;
    for (uint64_t page = first; page < first + pages; ++page) {
      const absl::Status one = meta_->ReadAt(
          page * kPageBytes, absl::MakeSpan(block.data(), kPageBytes));
      if (!one.ok() && !absl::IsDataLoss(one)) return one;
      unreadable_[page] = !one.ok();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<PageView> RepairPages::Get(const ChildRef& ref) const {
  if (ref.page < count() && (unreadable_[ref.page] || refused_[ref.page])) {
    return absl::DataLossError(absl::StrCat(
        meta_->path(), ": at offset ", ref.page * kPageBytes, ": page ",
        ref.page,
        unreadable_[ref.page] ? ": cannot be read" : ": reached twice"));
  }
  return pages_.Get(ref);
}

bool RepairPages::Copy(uint64_t page, char* bytes) const {
  return page < count() && !unreadable_[page] &&
         meta_->ReadAt(page * kPageBytes, absl::MakeSpan(bytes, kPageBytes))
             .ok();
}

void RepairPages::ForEachLostLeaf(
    absl::FunctionRef<void(const ChildRef&, const PageView&)> visit) const {
  std::string bytes(kPageBytes, '\0');
  for (uint64_t page = kSuperblockPages; page < count(); ++page) {
    if (kept_[page] || written_[page] || refused_[page]) continue;
    if (!Copy(page, bytes.data())) continue;
    const absl::StatusOr<ChildRef> ref = PageView::SelfRef(bytes.data());
    if (!ref.ok() || ref->page != page) continue;
    const absl::StatusOr<PageView> view = PageView::Verify(bytes.data(), *ref);
    if (view.ok() && view->level() == 0) visit(*ref, *view);
  }
}

absl::StatusOr<uint64_t> RepairPages::Allocate() {
  if (!given_back_.empty()) {
    const uint64_t page = given_back_.back();
    given_back_.pop_back();
    written_[page] = true;
    pages_.Forget(page);
    return page;
  }
  for (uint64_t page = cursor_; page < count(); ++page) {
    if (kept_[page] || unreadable_[page]) continue;
    cursor_ = page + 1;
    written_[page] = true;
    pages_.Forget(page);
    return page;
  }
  cursor_ = count();
  const uint64_t more =
      std::min(std::max(kGrowPages, count() / 16), pages_max_ - count());
  if (more == 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat(meta_->path(), ": a repair needs more than the ", count(),
                     " pages that l2_bytes_max leaves to it: allow it more"));
  }
  LARDER_RETURN_IF_ERROR(meta_->Resize((count() + more) * kPageBytes));
  Resize(count() + more);
  return Allocate();
}

absl::Status RepairPages::Write(uint64_t page, absl::string_view bytes) {
  return meta_->WriteAt(page * kPageBytes, bytes);
}

// Only what this repair wrote may be written again before its commit.
void RepairPages::Free(uint64_t page) {
  if (page >= count() || !written_[page]) return;
  written_[page] = false;
  given_back_.push_back(page);
}

}  // namespace larder::cache::l2
