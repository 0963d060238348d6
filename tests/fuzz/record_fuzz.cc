// A record keeps its limits, and encodes to what it was decoded from.
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/check.h"
#include "cache/l2/record.h"
#include "cache/policy.h"
#include "tests/fuzz/input.h"

namespace larder::cache::l2 {
namespace {

void CheckLimits(const Record& r) {
  LARDER_CHECK(r.rank == r.hlc.value || r.rank >= kRankMin);
  LARDER_CHECK(r.stored_bytes <= r.raw_bytes);
  LARDER_CHECK(r.raw_bytes <= static_cast<uint64_t>(kBlobBytesMax));
  LARDER_CHECK(r.invalidation_hashes.size() <=
               static_cast<size_t>(kTagsMax + kDependenciesMax));
  LARDER_CHECK(r.expiry.expires_at_unix_ms >= 0 && r.expiry.idle_ttl_ms >= 0 &&
               r.expiry.stale_ms >= 0 && r.last_access_unix_ms >= 0);
  LARDER_CHECK(DueAtUnixMillis(r.expiry, r.last_access_unix_ms) >= 0);
  if (r.extents.empty()) {
    LARDER_CHECK(r.inline_chain.size() == r.chain_bytes());
    LARDER_CHECK(r.inline_chain.size() <= kInlineBytesMax);
    return;
  }
  LARDER_CHECK(r.inline_chain.empty());
  LARDER_CHECK(r.extents.size() <= static_cast<size_t>(kExtentsMax));
  const uint64_t bytes = r.allocated_units() * kUnitBytes;
  LARDER_CHECK(bytes >= r.chain_bytes() &&
               bytes - r.chain_bytes() < kUnitBytes);
  for (const Extent& e : r.extents) {
    LARDER_CHECK(e.units > 0 && e.first * kUnitBytes / kUnitBytes == e.first);
    LARDER_CHECK(e.first + e.units > e.first);
  }
}

void Check(absl::string_view bytes) {
  const absl::StatusOr<Record> r = DecodeRecord(bytes);
  if (!r.ok()) {
    LARDER_CHECK(absl::IsDataLoss(r.status()));
    return;
  }
  CheckLimits(*r);
  const std::string encoded = EncodeRecord(*r);
  LARDER_CHECK(tests::SameOrShorter(encoded, bytes));
  const absl::StatusOr<Record> again = DecodeRecord(encoded);
  LARDER_CHECK(again.ok() && EncodeRecord(*again) == encoded);
  LARDER_CHECK(DigestTerm("ns", "key", *r) == DigestTerm("ns", "key", *again));
}

}  // namespace
}  // namespace larder::cache::l2

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  larder::cache::l2::Check(larder::tests::Input(data, size));
  return 0;
}
