// Files with secrets in them.
#ifndef LARDER_BACKUP_PRIVATE_FILE_H_
#define LARDER_BACKUP_PRIVATE_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace larder::backup {

// All of a regular file of the effective user or root that only its owner may
// read or write, at most 1 MiB. It is judged before it is read, and
// nothing stays in memory but what is returned: that is the caller's to
// overwrite.
// Errors: kNotFound; kFailedPrecondition: another kind of file, another's, or
// others may; kInvalidArgument: more; kInternal.
absl::StatusOr<std::string> ReadPrivateFile(const std::string& path);
// The same of one that others may know. Not of an archive: that is for who
// injects a file system.
absl::StatusOr<std::string> ReadPublicFile(const std::string& path);

}  // namespace larder::backup

#endif  // LARDER_BACKUP_PRIVATE_FILE_H_
