// The files of an archive: a manifest keeps its limits and comes back; a pack's
// head encodes to the very bytes it was decoded from.
#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/format/archive_file.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/coding.h"
#include "backup/format/dump.pb.h"
#include "backup/format/limits.h"
#include "backup/format/message.h"
#include "cache/check.h"
#include "tests/fuzz/dump_message.h"
#include "tests/fuzz/input.h"

namespace larder::backup::format {
namespace {

// docs/formats/dump.md, "archive". Both heads end with their checksum.
constexpr size_t kMessageSizeAt = 12;
constexpr size_t kMessageChecksumAt = 16;
constexpr size_t kHeadChecksumAt = 32;
static_assert(kPackHeadBytes == kManifestHeadBytes);

void CheckManifest(absl::string_view bytes) {
  const absl::StatusOr<Manifest> manifest = DecodeManifest(bytes);
  if (!manifest.ok()) return tests::CheckRefusal(manifest.status());
  LARDER_CHECK(CheckDumpHeader(manifest->header()).ok());
  LARDER_CHECK(manifest->packs_size() > 0);
  LARDER_CHECK(manifest->packs_size() <= kPacksMax);
  uint64_t next = 0;
  for (const Pack& pack : manifest->packs()) {
    std::string id;
    LARDER_CHECK(ParsePackName(pack.name(), &id) && IsSnapshotId(id));
    LARDER_CHECK(pack.bytes() <= kPackBytesMax);
    LARDER_CHECK(pack.first_sequence() == next);
    LARDER_CHECK(pack.chunks() <= pack.bytes() / kChunkHeaderBytes);
    next += pack.chunks();
  }
  const auto again = DecodeManifest(EncodeManifest(*manifest));
  LARDER_CHECK(again.ok());
  LARDER_CHECK(SerializeMessage(*again) == SerializeMessage(*manifest));
}

void CheckPackHead(absl::string_view bytes) {
  if (bytes.size() < kPackHeadBytes) return;
  bytes = bytes.substr(0, kPackHeadBytes);
  const absl::StatusOr<PackHead> head = DecodePackHead(bytes);
  if (!head.ok()) return tests::CheckRefusal(head.status());
  LARDER_CHECK(EncodePackHead(*head) == bytes);
}

void MendHead(std::string* bytes) {
  StoreFixed<uint64_t>(
      Checksum64(absl::string_view(*bytes).substr(0, kHeadChecksumAt)),
      &(*bytes)[kHeadChecksumAt]);
}

void MendMessage(std::string* bytes) {
  const absl::string_view message =
      absl::string_view(*bytes).substr(kManifestHeadBytes);
  const absl::uint128 checksum = Checksum128(message);
  StoreFixed<uint32_t>(static_cast<uint32_t>(message.size()),
                       &(*bytes)[kMessageSizeAt]);
  StoreFixed<uint64_t>(absl::Uint128Low64(checksum),
                       &(*bytes)[kMessageChecksumAt]);
  StoreFixed<uint64_t>(absl::Uint128High64(checksum),
                       &(*bytes)[kMessageChecksumAt + 8]);
}

}  // namespace
}  // namespace larder::backup::format

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace larder::backup::
      format;  // NOLINT(google-build-using-namespace)
  const absl::string_view input = larder::tests::Input(data, size);
  CheckManifest(input);
  CheckPackHead(input);
  std::string mended(input);
  mended.resize(std::max(mended.size(), kManifestHeadBytes));
  MendHead(&mended);
  CheckPackHead(mended);
  MendMessage(&mended);
  MendHead(&mended);
  CheckManifest(mended);
  return 0;
}
