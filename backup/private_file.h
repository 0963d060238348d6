// Files with secrets in them.
#ifndef LARDER_BACKUP_PRIVATE_FILE_H_
#define LARDER_BACKUP_PRIVATE_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace larder::backup {

// All of a file that only its owner may read or write, at most 1 MiB.
// Errors: kNotFound; kFailedPrecondition: others may; kInvalidArgument: more;
// kInternal.
absl::StatusOr<std::string> ReadPrivateFile(const std::string& path);
// The same of one that others may know. Not of an archive: that is for who
// injects a file system.
absl::StatusOr<std::string> ReadPublicFile(const std::string& path);

}  // namespace larder::backup

#endif  // LARDER_BACKUP_PRIVATE_FILE_H_
