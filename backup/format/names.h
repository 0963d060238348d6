// Names in a dump: of blobs, and of files.
#ifndef LARDER_BACKUP_FORMAT_NAMES_H_
#define LARDER_BACKUP_FORMAT_NAMES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace larder::backup::format {

// Namespace, NUL, key: sorts like (namespace, key), since a namespace holds no
// NUL.
std::string BlobName(absl::string_view ns, absl::string_view key);
// False when there is no NUL.
bool SplitBlobName(absl::string_view name, absl::string_view* ns,
                   absl::string_view* key);

// A path that cannot leave the directory it is joined to: relative, its
// components not empty, ".", "..", or over 255 bytes, no NUL, within the
// limits of length and depth.
// Errors: kInvalidArgument; the path is escaped and shortened in the message.
absl::Status CheckRelativePath(absl::string_view path);

// Whether `a` sorts before `b`, component by component: the order in which a
// walk meets files when it sorts each directory.
bool PathLess(absl::string_view a, absl::string_view b);

// For messages: escaped, and shortened to about 100 bytes.
std::string Printable(absl::string_view name);

}  // namespace larder::backup::format

#endif  // LARDER_BACKUP_FORMAT_NAMES_H_
