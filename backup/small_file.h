// Small files in an archive that are replaced as a whole: a lease, what was
// verified; a replica's term, its secret, whose a kept dump is.
#ifndef LARDER_BACKUP_SMALL_FILE_H_
#define LARDER_BACKUP_SMALL_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cache/l2/file.h"

namespace larder::backup {

inline constexpr size_t kSmallFileBytesMax = 1 << 20;

// Replaces DIRECTORY/NAME by `content` and its checksum: written beside it,
// synced, renamed, the directory synced. Only this user may read it. After an
// error or a crash the old content is there, or the new one.
absl::Status WriteSmallFile(cache::l2::FileSystem* file_system,
                            const std::string& directory,
                            absl::string_view name, absl::string_view content);

// Errors: kNotFound; kDataLoss when it is not what was written.
absl::StatusOr<std::string> ReadSmallFile(cache::l2::FileSystem* file_system,
                                          const std::string& directory,
                                          absl::string_view name);

}  // namespace larder::backup

#endif  // LARDER_BACKUP_SMALL_FILE_H_
