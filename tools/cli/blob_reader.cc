#include "tools/cli/blob_reader.h"

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "cache/status_macros.h"

namespace larder::cli {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{8} << 20;

}  // namespace

absl::Status ReadBlob(
    cache::BlobCache* cache, absl::string_view ns, absl::string_view key,
    absl::FunctionRef<absl::Status(const cache::Hit& piece)> take) {
  const int64_t damaged_before = cache->Stats().l2.damaged_reads;
  for (uint64_t offset = 0;; offset += kPieceBytes) {
    std::optional<cache::Hit> piece =
        cache->GetRange(ns, key, offset, kPieceBytes);
    if (!piece.has_value()) {
      if (cache->Stats().l2.damaged_reads > damaged_before) {
        return absl::DataLossError("damaged: a checksum does not match");
      }
      return absl::NotFoundError("absent, expired or invalidated");
    }
    // The end of a blob that is a multiple of the piece shows as an empty one.
    if (offset > 0 && piece->bytes().empty()) return absl::OkStatus();
    LARDER_RETURN_IF_ERROR(take(*piece));
    if (piece->bytes().size() < kPieceBytes) return absl::OkStatus();
  }
}

}  // namespace larder::cli
