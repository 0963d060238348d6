#include "cache/l2/memory_pages.h"

#include <algorithm>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "cache/check.h"
#include "cache/l2/page.h"

namespace larder::cache::l2 {
namespace {

bool FailsNow(int64_t* calls_left) {
  return *calls_left > 0 && --*calls_left == 0;
}

}  // namespace

absl::StatusOr<PageView> MemoryPages::Get(const ChildRef& ref) const {
  if (FailsNow(&get_calls_left_)) {
    return absl::UnavailableError("get: told to fail");
  }
  if (ref.page >= pages_.size() || pages_[ref.page] == nullptr) {
    return absl::DataLossError(
        absl::StrFormat("page %d: never written", ref.page));
  }
  return PageView::Verify(pages_[ref.page].get(), ref);
}

absl::StatusOr<uint64_t> MemoryPages::Allocate() {
  if (FailsNow(&sink_calls_left_)) {
    return absl::UnavailableError("allocate: told to fail");
  }
  pages_.push_back(nullptr);
  allocated_.push_back(pages_.size() - 1);
  return pages_.size() - 1;
}

absl::Status MemoryPages::Write(uint64_t page, absl::string_view bytes) {
  if (FailsNow(&sink_calls_left_)) {
    return absl::UnavailableError("write: told to fail");
  }
  LARDER_CHECK(page > 0 && page < pages_.size() && pages_[page] == nullptr);
  LARDER_CHECK(bytes.size() == kPageBytes);
  pages_[page] = std::make_unique<char[]>(kPageBytes);
  std::copy(bytes.begin(), bytes.end(), pages_[page].get());
  written_.push_back(page);
  return absl::OkStatus();
}

void MemoryPages::StartBatch() {
  allocated_.clear();
  written_.clear();
  freed_.clear();
}

}  // namespace larder::cache::l2
