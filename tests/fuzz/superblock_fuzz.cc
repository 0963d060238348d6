// A superblock decodes to what encodes to it, but for bytes that are reserved.
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/check.h"
#include "cache/l2/coding.h"
#include "cache/l2/hash.h"
#include "cache/l2/page.h"
#include "cache/l2/superblock.h"
#include "tests/fuzz/input.h"

namespace larder::cache::l2 {
namespace {

// docs/formats/l2.md, "superblock".
constexpr size_t kFieldsBytes = 244;
constexpr size_t kChecksumAt = kPageBytes - 8;

void Check(absl::string_view bytes) {
  const absl::StatusOr<Superblock> s = DecodeSuperblock(bytes);
  if (!s.ok()) {
    LARDER_CHECK(absl::IsDataLoss(s.status()) ||
                 absl::IsFailedPrecondition(s.status()));
    return;
  }
  LARDER_CHECK(bytes.size() == kPageBytes);
  LARDER_CHECK(LoadFixed64(&bytes[kChecksumAt]) ==
               Checksum64(bytes.substr(0, kChecksumAt)));
  const std::string encoded = EncodeSuperblock(*s);
  LARDER_CHECK(absl::string_view(encoded).substr(0, kFieldsBytes) ==
               bytes.substr(0, kFieldsBytes));
  const absl::StatusOr<Superblock> again = DecodeSuperblock(encoded);
  LARDER_CHECK(again.ok() && EncodeSuperblock(*again) == encoded);
  LARDER_CHECK(LineageText(s->lineage).size() == 36);
}

}  // namespace
}  // namespace larder::cache::l2

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace larder::cache::l2;  // NOLINT(google-build-using-namespace)
  const absl::string_view input = larder::tests::Input(data, size);
  Check(input);
  // As a whole page with the right checksum: short inputs get past it, too.
  std::string page(input.substr(0, kChecksumAt));
  page.resize(kChecksumAt, '\0');
  AppendFixed64(&page, Checksum64(page));
  Check(page);
  return 0;
}
