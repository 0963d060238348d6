// What the cache gets of a record, namespace or tombstone in a dump keeps its
// limits, and is all that the message says. Input: u8 which, the message.
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/format/dump.pb.h"
#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "backup/format/record_codec.h"
#include "cache/check.h"
#include "cache/policy.h"
#include "cache/snapshot.h"
#include "cache/tombstone.h"
#include "tests/fuzz/dump_message.h"
#include "tests/fuzz/input.h"

namespace larder::backup::format {
namespace {

void CheckLimits(const cache::StoredRecord& record) {
  LARDER_CHECK(cache::ValidateNamespace(record.ns).ok());
  LARDER_CHECK(cache::ValidateKey(record.key).ok());
  cache::PutOptions options;
  options.metadata = record.attributes.metadata;
  LARDER_CHECK(cache::ValidatePutOptions(options).ok());
  LARDER_CHECK(record.attributes.invalidation_hashes.size() ==
               record.attributes.tags.size() +
                   record.attributes.dependencies.size());
  uint64_t raw = 0, stored = 0;
  for (const cache::Frame& frame : record.frames) {
    LARDER_CHECK(frame.raw_bytes > 0 && frame.raw_bytes <= kFrameBytesMax);
    LARDER_CHECK(frame.stored_bytes > 0 &&
                 frame.stored_bytes <= kFrameBytesMax);
    raw += frame.raw_bytes;
    stored += frame.stored_bytes;
  }
  LARDER_CHECK(raw == record.raw_bytes && stored == record.stored_bytes);
}

void CheckLimits(const cache::NamespaceState& state) {
  LARDER_CHECK(cache::ValidateNamespace(state.name).ok());
}

void CheckLimits(const cache::Tombstone& tombstone) {
  LARDER_CHECK(cache::ValidateNamespace(tombstone.ns).ok());
  LARDER_CHECK(tombstone.value.size() <=
               static_cast<size_t>(cache::kKeyBytesMax));
}

template <typename Message>
void Check(absl::string_view bytes) {
  Message message;
  if (!tests::ParsesAndComesBack(bytes, &message)) return;
  const auto value = FromMessage(message);
  if (!value.ok()) return tests::CheckRefusal(value.status());
  CheckLimits(*value);
  Message again;
  ToMessage(*value, &again);
  message.DiscardUnknownFields();
  LARDER_CHECK(SerializeMessage(again) == SerializeMessage(message));
}

}  // namespace
}  // namespace larder::backup::format

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace larder::backup::
      format;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  const absl::string_view bytes = larder::tests::Input(data + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      Check<Record>(bytes);
      break;
    case 1:
      Check<Namespace>(bytes);
      break;
    default:
      Check<Tombstone>(bytes);
      break;
  }
  return 0;
}
