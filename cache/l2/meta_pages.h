// Verified pages of `meta`, each checked in full the first time it is read.
#ifndef LARDER_CACHE_L2_META_PAGES_H_
#define LARDER_CACHE_L2_META_PAGES_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/btree.h"
#include "cache/l2/file.h"
#include "cache/l2/page.h"

namespace larder::cache::l2 {

// Thread-safe. Borrows `meta`.
class MetaPages : public PageSource {
 public:
  // `pages_max`: how far `meta` may grow.
  MetaPages(const File* meta, uint64_t pages_max)
      : meta_(meta),
        pages_max_(pages_max),
        verified_(new std::atomic<uint64_t>[pages_max / 64 + 1]()) {}

  absl::StatusOr<PageView> Get(const ChildRef& ref) const override;

  // `page` is about to be written: its next reader checks it in full.
  void Forget(uint64_t page) {
    verified_[page / 64].fetch_and(~(uint64_t{1} << (page % 64)),
                                   std::memory_order_relaxed);
  }

  // How many reads met a damaged page.
  int64_t damaged() const { return damaged_.load(std::memory_order_relaxed); }

 private:
  absl::Status Damaged(const ChildRef& ref, absl::string_view why) const;

  const File* const meta_;
  const uint64_t pages_max_;
  std::unique_ptr<std::atomic<uint64_t>[]> verified_;
  mutable std::atomic<int64_t> damaged_{0};
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_META_PAGES_H_
