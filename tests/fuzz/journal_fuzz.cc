// A journal entry names a tombstone that could be, and encodes to it again.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/check.h"
#include "cache/l2/coding.h"
#include "cache/l2/hash.h"
#include "cache/l2/journal.h"
#include "cache/policy.h"
#include "tests/fuzz/input.h"

namespace larder::cache::l2 {
namespace {

// docs/formats/l2.md, "journal".
constexpr size_t kChecksumBytes = 8;
constexpr size_t kSizeAt = 12;

void Check(absl::string_view bytes) {
  constexpr uint64_t kUntouched = 12'345;
  uint64_t size = kUntouched;
  const absl::StatusOr<JournalEntry> e = DecodeJournalEntry(bytes, &size);
  if (!e.ok()) {
    LARDER_CHECK(absl::IsDataLoss(e.status()) && size == kUntouched);
    return;
  }
  LARDER_CHECK(size > 0 && size <= bytes.size());
  LARDER_CHECK(size % Journal::kAlignBytes == 0);
  const Tombstone& t = e->tombstone;
  LARDER_CHECK(!t.ns.empty() &&
               t.ns.size() <= static_cast<size_t>(kNamespaceBytesMax));
  LARDER_CHECK(t.value.size() <= static_cast<size_t>(kKeyBytesMax));
  const std::string encoded = EncodeJournalEntry(*e);
  LARDER_CHECK(encoded.size() <= size);
  uint64_t size_again;
  const absl::StatusOr<JournalEntry> again =
      DecodeJournalEntry(encoded, &size_again);
  LARDER_CHECK(again.ok() && size_again == encoded.size());
  LARDER_CHECK(again->tombstone == t && again->epoch == e->epoch &&
               again->generation == e->generation);
}

// With a size that fits, and the right checksum.
std::string Mend(absl::string_view input) {
  std::string bytes(input);
  bytes.resize((bytes.size() / Journal::kAlignBytes + 1) *
               Journal::kAlignBytes);
  uint32_t size = LoadFixed32(&bytes[kSizeAt]);
  if (size < Journal::kAlignBytes || size > bytes.size()) {
    size = static_cast<uint32_t>(bytes.size());
    std::memcpy(&bytes[kSizeAt], &size, sizeof(size));
  }
  const uint64_t checksum = Checksum64(
      absl::string_view(bytes).substr(kChecksumBytes, size - kChecksumBytes));
  std::memcpy(&bytes[0], &checksum, sizeof(checksum));
  return bytes;
}

}  // namespace
}  // namespace larder::cache::l2

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input = larder::tests::Input(data, size);
  larder::cache::l2::Check(input);
  larder::cache::l2::Check(larder::cache::l2::Mend(input));
  return 0;
}
