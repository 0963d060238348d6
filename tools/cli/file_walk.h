// Visits every regular file below a path.
#ifndef LARDER_TOOLS_CLI_FILE_WALK_H_
#define LARDER_TOOLS_CLI_FILE_WALK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/cli/unique_fd.h"

namespace larder::cli {

// Device and inode: what a file is, whatever its name.
using FileIdentity = std::pair<uint64_t, uint64_t>;
// Errors: kNotFound and whatever stat(2) says.
absl::StatusOr<FileIdentity> IdentityOf(const std::string& path);

enum class Links {
  kSkip,
  // A link counts as what it leads to; one that leads nowhere, or to a
  // directory that it lies in, is skipped.
  kFollow,
};

// What a walk meets. Paths are relative to its root, with '/' between names;
// they live as long as the call.
class FileVisitor {
 public:
  virtual ~FileVisitor() = default;
  // A regular file; OpenRegular(directory_fd, name, links) opens it. Returns:
  // whether to go on.
  virtual bool OnFile(absl::string_view path, int directory_fd,
                      const char* name, int64_t size_bytes) = 0;
  // A link that is not followed, a device, socket or pipe.
  virtual void OnSkipped(absl::string_view path) = 0;
  // What could not be looked at, and, for a directory, nothing below it.
  virtual void OnError(absl::string_view path, const absl::Status& status) = 0;
};

struct FileWalkOptions {
  Links links = Links::kSkip;
  // A directory that is left out, silently.
  std::optional<FileIdentity> skipped_directory;
  // A directory whose path is longer is an error of its own, and not entered:
  // no name below it could be shorter.
  int64_t path_bytes_max = 1024;
};

// Visits in the order of names within each directory. `root` may be a single
// file (its path is then its base name) or a link to either.
// Memory: the names of the directories on the way down.
// Errors: kNotFound and others for `root` itself only.
absl::Status WalkFiles(const std::string& root, const FileWalkOptions& options,
                       FileVisitor* visitor);

// Opens `name` in `directory_fd` for reading, if it is a regular file (or, with
// kFollow, a link to one), and does not wait for anything.
absl::StatusOr<UniqueFd> OpenRegular(int directory_fd, const char* name,
                                     Links links);

}  // namespace larder::cli

#endif  // LARDER_TOOLS_CLI_FILE_WALK_H_
