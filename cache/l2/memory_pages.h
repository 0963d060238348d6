// Pages in memory, for tests and benchmarks of trees: a PageSource and a
// PageSink that can be damaged and told to fail.
#ifndef LARDER_CACHE_L2_MEMORY_PAGES_H_
#define LARDER_CACHE_L2_MEMORY_PAGES_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/btree.h"
#include "cache/l2/page.h"

namespace larder::cache::l2 {

// Never reuses a page: every root ever written stays readable.
// Thread-compatible.
class MemoryPages : public PageSource, public PageSink {
 public:
  // Verifies the page.
  // Errors: kDataLoss if damaged or never written; see FailGet().
  absl::StatusOr<PageView> Get(const ChildRef& ref) const override;

  absl::StatusOr<uint64_t> Allocate() override;
  absl::Status Write(uint64_t page, absl::string_view bytes) override;
  void Free(uint64_t page) override { freed_.push_back(page); }

  // The pages allocated, written and freed since StartBatch().
  void StartBatch();
  const std::vector<uint64_t>& allocated() const { return allocated_; }
  const std::vector<uint64_t>& written() const { return written_; }
  const std::vector<uint64_t>& freed() const { return freed_; }

  // The page's bytes, to damage and to mend.
  char* MutableBytes(uint64_t page) { return pages_[page].get(); }

  // Call number `nth` from now on (1: the next) of Allocate() and Write(), or
  // of Get(), fails with kUnavailable, once. 0: none.
  void FailSink(int64_t nth) { sink_calls_left_ = nth; }
  void FailGet(int64_t nth) { get_calls_left_ = nth; }

 private:
  // Page 0 is never handed out. Null: allocated, not yet written.
  std::vector<std::unique_ptr<char[]>> pages_ =
      std::vector<std::unique_ptr<char[]>>(1);
  std::vector<uint64_t> allocated_;
  std::vector<uint64_t> written_;
  std::vector<uint64_t> freed_;
  int64_t sink_calls_left_ = 0;
  mutable int64_t get_calls_left_ = 0;
};

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_MEMORY_PAGES_H_
