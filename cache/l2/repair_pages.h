// The pages of a damaged `meta`: which can be read, which are spoken for, and
// which a repair may write.
#ifndef LARDER_CACHE_L2_REPAIR_PAGES_H_
#define LARDER_CACHE_L2_REPAIR_PAGES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/btree.h"
#include "cache/l2/file.h"
#include "cache/l2/meta_pages.h"
#include "cache/l2/page.h"

namespace larder::cache::l2 {

// Every page is at first free to be written, but for the superblocks: the
// allocation map is not asked, it may be wrong. Whoever walks the old trees
// marks what is not. Nothing is read through a mapping that could not be read
// without it: a mapping shows zeros in place of what a bad sector held.
//
// Single-owner. Borrows `meta`. Memory: five bits a page.
class RepairPages : public PageSource, public PageSink {
 public:
  // `pages_max`: how far `meta` may grow for new pages.
  RepairPages(File* meta, uint64_t pages_max);

  // Reads everything once. To be called before anything else.
  // Errors: what File says and is not kDataLoss.
  absl::Status FindUnreadable();

  // Errors: kDataLoss also for what cannot be read or was refused.
  absl::StatusOr<PageView> Get(const ChildRef& ref) const override;
  // Copies the page, sound or not, to `bytes` (kPageBytes); false when it
  // cannot be read.
  bool Copy(uint64_t page, char* bytes) const;
  // Get() fails from now on, and the page stays kept: two places claim it.
  void Refuse(uint64_t page) { refused_[page] = true; }

  // The page stays as it is.
  void Keep(uint64_t page) { kept_[page] = true; }
  bool IsKept(uint64_t page) const { return kept_[page]; }
  // Forgets what was kept, but for superblocks and what was refused.
  void KeepNothing();

  // Leaves that are sound by themselves and not kept, in the order of their
  // numbers: older copies, and what damaged pages lead to. `visit` may Keep().
  void ForEachLostLeaf(
      absl::FunctionRef<void(const ChildRef&, const PageView&)> visit) const;

  // PageSink. Errors of Allocate(): kResourceExhausted.
  absl::StatusOr<uint64_t> Allocate() override;
  absl::Status Write(uint64_t page, absl::string_view bytes) override;
  void Free(uint64_t page) override;

  const std::string& path() const { return meta_->path(); }
  // Pages of `meta` now.
  uint64_t count() const { return kept_.size(); }
  // That could not be read.
  const std::vector<bool>& unreadable() const { return unreadable_; }

 private:
  void Resize(uint64_t pages);

  File* const meta_;
  const uint64_t pages_max_;
  MetaPages pages_;
  std::vector<bool> unreadable_, refused_, kept_;
  std::vector<bool> written_;  // Handed out, and not given back.
  std::vector<uint64_t> given_back_;
  uint64_t cursor_ = 0;  // What is before it was handed out once.
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_REPAIR_PAGES_H_
