#include "backup/internal/frame_files.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backup/format/chunk.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using Payload = std::shared_ptr<const std::string>;

absl::StatusOr<Payload> FrameFiles::Open(const std::string& pack,
                                         const SealedChunk& chunk) {
  {
    cache::MutexLock lock(&mu_);
    const auto it =
        std::find_if(opened_.begin(), opened_.end(), [&](const Opened& o) {
          return o.payload_at == chunk.payload_at && o.pack == pack;
        });
    if (it != opened_.end()) {
      opened_.splice(opened_.end(), opened_, it);
      return opened_.back().payload;
    }
  }
  // Not under the lock: others may read meanwhile.
  LARDER_ASSIGN_OR_RETURN(
      std::string stored,
      files_->Read(pack, chunk.payload_at, chunk.header.stored_bytes));
  absl::Status status = backup::format::CheckPayload(chunk.header, stored);
  if (status.ok()) {
    absl::StatusOr<std::string> decoded = backup::format::DecodePayload(
        chunk.header, std::move(stored), chunk.seal);
    status = decoded.status();
    if (decoded.ok()) {
      auto payload = std::make_shared<const std::string>(*std::move(decoded));
      cache::MutexLock lock(&mu_);
      opened_.push_back({pack, chunk.payload_at, payload});
      if (opened_.size() > kChunksMax) opened_.pop_front();
      return payload;
    }
  }
  return absl::Status(status.code(),
                      absl::StrCat(pack, ": at byte ", chunk.payload_at, ": ",
                                   status.message()));
}

absl::StatusOr<std::string> FrameFiles::Read(const FramesPlace& place,
                                             uint64_t offset, uint64_t bytes) {
  const uint64_t at = place.offset + offset;
  if (place.sealed == nullptr) return files_->Read(place.pack, at, bytes);
  LARDER_ASSIGN_OR_RETURN(const Payload payload,
                          Open(place.pack, *place.sealed));
  const uint64_t start = at - place.sealed->payload_at;
  if (at < place.sealed->payload_at || start > payload->size() ||
      bytes > payload->size() - start) {
    return absl::DataLossError(absl::StrFormat(
        "%s: %d bytes at byte %d vs a chunk of %d at byte %d", place.pack,
        bytes, at, payload->size(), place.sealed->payload_at));
  }
  return payload->substr(start, bytes);
}

}  // namespace larder::backup_internal
