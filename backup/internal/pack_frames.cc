#include "backup/internal/pack_frames.h"

#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

absl::StatusOr<std::string> PackFrames::Read(uint32_t pack, uint64_t offset,
                                             uint64_t bytes) {
  if (pack >= static_cast<uint32_t>(manifest_->references_size())) {
    return absl::DataLossError(
        absl::StrFormat("frame: in reference %d vs %d there are", pack,
                        manifest_->references_size()));
  }
  const backup::format::Pack& of =
      manifest_->references(static_cast<int>(pack));
  const std::string path = archive_->PackPath(of.name());
  if (offset > of.bytes() || bytes > of.bytes() - offset) {
    return absl::DataLossError(
        absl::StrFormat("%s: frame of %d bytes at byte %d vs the pack's %d",
                        path, bytes, offset, of.bytes()));
  }
  auto it = files_.find(pack);
  if (it == files_.end()) {
    if (files_.size() == kFilesMax) files_.clear();
    auto file = archive_->file_system()->Open(path, {.read_only = true});
    if (absl::IsNotFound(file.status())) {
      return absl::DataLossError(file.status().message());
    }
    LARDER_RETURN_IF_ERROR(file.status());
    it = files_.emplace(pack, *std::move(file)).first;
  }
  std::string out(bytes, '\0');
  const absl::Status read = it->second->ReadAt(offset, absl::MakeSpan(out));
  if (absl::IsOutOfRange(read)) return absl::DataLossError(read.message());
  LARDER_RETURN_IF_ERROR(read);
  return out;
}

}  // namespace larder::backup_internal
