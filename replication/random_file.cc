#include "replication/random_file.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/crypto/random.h"
#include "backup/small_file.h"
#include "cache/status_macros.h"

namespace larder::replication {

absl::StatusOr<std::string> OpenRandomFile(cache::l2::FileSystem* file_system,
                                           const std::string& directory,
                                           absl::string_view name,
                                           size_t size) {
  absl::StatusOr<std::string> bytes =
      backup::ReadSmallFile(file_system, directory, name);
  if (absl::IsNotFound(bytes.status())) {
    bytes = backup::crypto::RandomBytes(size);
    LARDER_RETURN_IF_ERROR(bytes.status());
    LARDER_RETURN_IF_ERROR(
        backup::WriteSmallFile(file_system, directory, name, *bytes));
  }
  LARDER_RETURN_IF_ERROR(bytes.status());
  if (bytes->size() != size) {
    return absl::DataLossError(absl::StrCat(directory, "/", name, ": ",
                                            bytes->size(), " bytes vs ", size));
  }
  return bytes;
}

}  // namespace larder::replication
