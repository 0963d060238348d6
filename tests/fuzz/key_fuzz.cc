// The keys of all trees split into what joins to them again; so does what the
// due tree says of a record.
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/check.h"
#include "cache/l2/record.h"
#include "cache/l2/system_tree.h"
#include "cache/policy.h"
#include "tests/fuzz/input.h"

namespace larder::cache::l2 {
namespace {

using tests::Within;

void CheckRecordKey(absl::string_view bytes) {
  uint32_t ns_id;
  absl::string_view key;
  if (!SplitRecordKey(bytes, &ns_id, &key)) return;
  LARDER_CHECK(Within(key, bytes) && ValidateKey(key).ok());
  LARDER_CHECK(RecordKey(ns_id, key) == bytes);
}

void CheckOrderedKey(absl::string_view bytes) {
  uint64_t at;
  absl::string_view record_key;
  if (!SplitOrderedKey(bytes, &at, &record_key)) return;
  LARDER_CHECK(Within(record_key, bytes) && !record_key.empty());
  LARDER_CHECK(OrderedKey(at, record_key) == bytes);
  CheckRecordKey(record_key);
}

void CheckSynopsisKey(absl::string_view bytes) {
  uint32_t ns_id, chunk;
  if (!SplitSynopsisEntryKey(bytes, &ns_id, &chunk)) return;
  LARDER_CHECK(SynopsisEntryKey(ns_id, chunk) == bytes);
}

void CheckDueEntry(absl::string_view bytes) {
  const absl::StatusOr<DueEntry> entry = DecodeDueEntry(bytes);
  if (!entry.ok()) {
    LARDER_CHECK(absl::IsDataLoss(entry.status()));
    return;
  }
  const absl::StatusOr<DueEntry> again = DecodeDueEntry(EncodeDueEntry(*entry));
  LARDER_CHECK(again.ok() && again->idle_limited == entry->idle_limited &&
               again->disk_bytes == entry->disk_bytes);
}

}  // namespace
}  // namespace larder::cache::l2

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input = larder::tests::Input(data, size);
  larder::cache::l2::CheckRecordKey(input);
  larder::cache::l2::CheckOrderedKey(input);
  larder::cache::l2::CheckSynopsisKey(input);
  larder::cache::l2::CheckDueEntry(input);
  return 0;
}
