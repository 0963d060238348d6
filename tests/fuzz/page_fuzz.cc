// A page that passes Verify() is what the builder makes of its entries, and
// its searches agree with its keys.
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/check.h"
#include "cache/l2/page.h"
#include "tests/fuzz/forged_page.h"
#include "tests/fuzz/input.h"

namespace larder::cache::l2 {
namespace {

using tests::Within;

void CheckSearches(const PageView& view) {
  for (int i = 0; i < view.size(); ++i) {
    const absl::string_view key = view.key(i);
    LARDER_CHECK(Within(key, view.bytes()));
    LARDER_CHECK(key.size() <= kTreeKeyBytesMax);
    LARDER_CHECK(i == 0 || view.key(i - 1) < key);
    LARDER_CHECK(view.Find(key) == i && view.LowerBound(key) == i);
    // The next possible key.
    const std::string above = std::string(key) + '\0';
    const bool held = i + 1 < view.size() && view.key(i + 1) == above;
    LARDER_CHECK(view.LowerBound(above) == i + 1);
    LARDER_CHECK(view.Find(above) == (held ? i + 1 : -1));
    if (view.level() == 0) continue;
    LARDER_CHECK(view.ChildFor(key) == i);
    LARDER_CHECK(view.ChildFor(above) == (held ? i + 1 : i));
  }
  if (view.level() > 0) LARDER_CHECK(view.ChildFor("") == 0);
}

void CheckRebuilds(const PageView& view, const ChildRef& ref) {
  PageBuilder builder(view.level());
  for (int i = 0; i < view.size(); ++i) {
    if (view.level() == 0) {
      LARDER_CHECK(Within(view.value(i), view.bytes()));
      LARDER_CHECK(builder.Fits(view.key(i), view.value(i).size()));
      builder.AddValue(view.key(i), view.value(i));
    } else {
      LARDER_CHECK(builder.Fits(view.key(i), 0));
      builder.AddChild(view.key(i), view.child(i));
    }
  }
  LARDER_CHECK(builder.bytes_used() == view.bytes_used());
  LARDER_CHECK(builder.Finish(ref.page, ref.epoch) == ref);
  LARDER_CHECK(builder.bytes() == view.bytes());
}

void Check(const std::vector<char>& page) {
  const ChildRef ref = tests::RefOf(page);
  const absl::StatusOr<PageView> view = PageView::Verify(page.data(), ref);
  const absl::StatusOr<ChildRef> self = PageView::SelfRef(page.data());
  LARDER_CHECK(!self.ok() || PageView::Verify(page.data(), *self).ok());
  if (!view.ok()) {
    LARDER_CHECK(absl::IsDataLoss(view.status()));
    return;
  }
  LARDER_CHECK(self.ok() && *self == ref);
  LARDER_CHECK(PageView::Trust(page.data(), ref).ok());
  CheckSearches(*view);
  CheckRebuilds(*view, ref);
}

}  // namespace
}  // namespace larder::cache::l2

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::string_view input = larder::tests::Input(data, size);
  std::vector<char> page = size == larder::cache::l2::kPageBytes
                               ? std::vector<char>(input.begin(), input.end())
                               : larder::tests::UnpackPage(&input);
  larder::cache::l2::Check(page);
  larder::tests::MendPage(&page);
  larder::cache::l2::Check(page);
  return 0;
}
