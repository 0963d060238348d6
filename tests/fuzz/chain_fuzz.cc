// A chain: its header keeps its limits and encodes to what it was decoded from;
// its frames decode to exactly what they say, or not at all.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/check.h"
#include "cache/l2/chain.h"
#include "cache/l2/coding.h"
#include "cache/l2/hash.h"
#include "cache/policy.h"
#include "tests/fuzz/input.h"

namespace larder::cache::l2 {
namespace {

constexpr size_t kHeaderBytesAt = 4;  // docs/formats/l2.md, "chain".

void CheckLimits(const ChainHeader& h) {
  uint64_t raw = 0, stored = 0;
  for (const Frame& f : h.frames) {
    LARDER_CHECK(f.raw_bytes > 0 && f.raw_bytes <= kFrameRawBytes);
    LARDER_CHECK(f.stored_bytes > 0 && f.stored_bytes <= f.raw_bytes);
    raw += f.raw_bytes;
    stored += f.stored_bytes;
  }
  LARDER_CHECK(raw == h.raw_bytes && stored == h.stored_bytes);
  // What a put would have refused, a chain cannot hold.
  PutOptions options;
  options.metadata = h.metadata;
  LARDER_CHECK(ValidatePutOptions(options).ok());
  LARDER_CHECK(h.tags.size() <= static_cast<size_t>(kTagsMax));
  LARDER_CHECK(h.dependencies.size() <= static_cast<size_t>(kDependenciesMax));
}

absl::StatusOr<ChainHeader> CheckHeader(absl::string_view bytes) {
  absl::StatusOr<ChainHeader> h = DecodeChainHeader(bytes);
  if (!h.ok()) {
    LARDER_CHECK(absl::IsDataLoss(h.status()));
    return h;
  }
  CheckLimits(*h);
  const std::string encoded = EncodeChainHeader(*h);
  LARDER_CHECK(encoded.size() <= kHeaderBytesMax);
  LARDER_CHECK(tests::SameOrShorter(encoded, bytes));
  const absl::StatusOr<ChainHeader> again = DecodeChainHeader(encoded);
  LARDER_CHECK(again.ok() && EncodeChainHeader(*again) == encoded);
  return h;
}

void CheckFrame(Frame frame, absl::string_view stored) {
  const uint64_t checksum = Checksum64(stored);
  LARDER_CHECK(VerifyFrame(frame, stored).ok() == (frame.checksum == checksum));
  frame.checksum = checksum;
  LARDER_CHECK(VerifyFrame(frame, stored).ok());
  std::string out(frame.raw_bytes, '\0');
  out.append("behind");
  const absl::Status status = DecodeFrame(frame, stored, out.data());
  LARDER_CHECK(absl::string_view(out).substr(frame.raw_bytes) == "behind");
  LARDER_CHECK(status.ok() || absl::IsDataLoss(status));
  LARDER_CHECK(frame.zstd || out.substr(0, frame.raw_bytes) == stored);
}

// The header says how long it is; the frames follow.
void CheckChain(absl::string_view chain) {
  if (chain.size() < kChainFixedBytes) return;
  const uint32_t header_bytes = static_cast<uint32_t>(
      std::min<size_t>(LoadFixed32(&chain[kHeaderBytesAt]), chain.size()));
  if (header_bytes < kChainFixedBytes) return;
  std::string header(chain.substr(0, header_bytes));
  std::memcpy(&header[kHeaderBytesAt], &header_bytes, sizeof(header_bytes));
  const absl::StatusOr<ChainHeader> h = CheckHeader(header);
  if (!h.ok()) return;
  absl::string_view rest = chain.substr(header_bytes);
  for (const Frame& frame : h->frames) {
    if (rest.size() < frame.stored_bytes) return;
    CheckFrame(frame, rest.substr(0, frame.stored_bytes));
    rest.remove_prefix(frame.stored_bytes);
  }
}

void CheckEncodes(absl::string_view blob) {
  const EncodedFrames e = EncodeFrames(blob, /*level=*/1);
  std::string back(blob.size(), '\0');
  size_t at = 0;
  for (size_t i = 0; i < e.frames.size(); ++i) {
    LARDER_CHECK(VerifyFrame(e.frames[i], e.stored[i]).ok());
    LARDER_CHECK(DecodeFrame(e.frames[i], e.stored[i], &back[at]).ok());
    at += e.frames[i].raw_bytes;
  }
  LARDER_CHECK(back == blob);
}

}  // namespace
}  // namespace larder::cache::l2

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input = larder::tests::Input(data, size);
  larder::cache::l2::CheckHeader(input).status().IgnoreError();
  larder::cache::l2::CheckChain(input);
  larder::cache::l2::CheckEncodes(input);
  return 0;
}
