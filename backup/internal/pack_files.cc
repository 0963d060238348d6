#include "backup/internal/pack_files.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using cache::l2::File;

absl::StatusOr<std::shared_ptr<File>> PackFiles::Open(const std::string& name) {
  cache::MutexLock lock(&mu_);
  const auto it = files_.find(name);
  if (it != files_.end()) return it->second;
  absl::StatusOr<std::unique_ptr<File>> file = archive_->file_system()->Open(
      archive_->PackPath(name), {.read_only = true});
  if (absl::IsNotFound(file.status())) {
    LARDER_RETURN_IF_ERROR(archive_->CheckThere());
    return absl::DataLossError(file.status().message());
  }
  LARDER_RETURN_IF_ERROR(file.status());
  if (files_.size() == kFilesMax) files_.clear();
  std::shared_ptr<File> opened = *std::move(file);
  files_[name] = opened;
  return opened;
}

absl::StatusOr<std::string> PackFiles::Read(const std::string& name,
                                            uint64_t offset, uint64_t bytes) {
  LARDER_ASSIGN_OR_RETURN(const std::shared_ptr<File> file, Open(name));
  const uint64_t size = file->Size();
  if (offset > size || bytes > size - offset) {
    return absl::DataLossError(
        absl::StrFormat("%s: %d bytes at byte %d vs the pack's %d",
                        file->path(), bytes, offset, size));
  }
  std::string out(bytes, '\0');
  const absl::Status read = file->ReadAt(offset, absl::MakeSpan(out));
  if (absl::IsOutOfRange(read)) return absl::DataLossError(read.message());
  LARDER_RETURN_IF_ERROR(read);
  return out;
}

}  // namespace larder::backup_internal
