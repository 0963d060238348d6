#include "cache/l2/file_status.h"

#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace larder::cache::l2 {
namespace {

absl::StatusCode CodeOf(int error_number) {
  switch (error_number) {
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::StatusCode::kResourceExhausted;
    case EIO:
      return absl::StatusCode::kDataLoss;
    case EISDIR:
    case ENOTDIR:
    case ENOTEMPTY:
      return absl::StatusCode::kFailedPrecondition;
    case EWOULDBLOCK:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

std::string RangeAction(absl::string_view verb, uint64_t offset,
                        uint64_t length) {
  return absl::StrCat(verb, " ", length, " bytes at offset ", offset);
}

}  // namespace

absl::Status FileError(absl::string_view path, absl::string_view action,
                       int error_number) {
  return absl::Status(
      CodeOf(error_number),
      absl::StrCat(path, ": ", action, ": ",
                   std::generic_category().message(error_number)));
}

absl::Status RangeError(absl::string_view path, absl::string_view verb,
                        uint64_t offset, uint64_t length, int error_number) {
  return FileError(path, RangeAction(verb, offset, length), error_number);
}

absl::Status CheckRange(absl::string_view path, absl::string_view verb,
                        uint64_t offset, uint64_t length, uint64_t size_bytes) {
  if (length <= size_bytes && offset <= size_bytes - length) {
    return absl::OkStatus();
  }
  return absl::OutOfRangeError(absl::StrCat(path, ": ",
                                            RangeAction(verb, offset, length),
                                            ": ends beyond ", size_bytes));
}

}  // namespace larder::cache::l2
