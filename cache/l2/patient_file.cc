#include "cache/l2/patient_file.h"

#include <algorithm>

#include "cache/status_macros.h"

namespace larder::cache::l2 {

absl::Status PatientFile::Try(uint64_t offset, absl::Span<char> out) const {
  absl::Status status;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    status = file_->ReadAt(offset, out);
    if (!absl::IsDataLoss(status)) break;
  }
  return status;
}

absl::Status PatientFile::ReadAt(uint64_t offset, absl::Span<char> out) const {
  const absl::Status whole = Try(offset, out);
  if (unreadable_ == Unreadable::kFails || !absl::IsDataLoss(whole)) {
    return whole;
  }
  size_t next;
  for (size_t at = 0; at < out.size(); at = next) {
    const size_t to_sector_end = kSectorBytes - (offset + at) % kSectorBytes;
    next = std::min(out.size(), at + to_sector_end);
    const absl::Span<char> piece = out.subspan(at, next - at);
    const absl::Status read = Try(offset + at, piece);
    if (absl::IsDataLoss(read)) {
      std::fill(piece.begin(), piece.end(), '\0');
    } else if (!read.ok()) {
      return read;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> PatientFile::ZeroUnreadable(uint64_t offset,
                                                 uint64_t length,
                                                 uint64_t block_bytes) {
  std::string block(block_bytes, '\0');
  bool wrote = false;
  for (uint64_t at = offset; at < offset + length; at += block_bytes) {
    if (!absl::IsDataLoss(Try(at, absl::MakeSpan(block)))) continue;
    std::fill(block.begin(), block.end(), '\0');
    LARDER_RETURN_IF_ERROR(file_->WriteAt(at, block));
    wrote = true;
  }
  return wrote;
}

}  // namespace larder::cache::l2
