#include "tools/cli/file_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"
#include "tools/cli/system_error.h"

namespace larder::cli {
namespace {

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};

FileIdentity IdentityOf(const struct stat& info) {
  return {info.st_dev, info.st_ino};
}

// Names in the directory, sorted. Takes `fd`.
absl::StatusOr<std::vector<std::string>> List(UniqueFd fd) {
  std::unique_ptr<DIR, CloseDir> dir(fdopendir(fd.get()));
  if (dir == nullptr) return SystemError(errno, "cannot list");
  fd.Release();
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(dir.get())) {
    const absl::string_view name(entry->d_name);
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return SystemError(errno, "cannot list");
  std::sort(names.begin(), names.end());
  return names;
}

class Walker {
 public:
  Walker(const FileWalkOptions& options, FileVisitor* visitor)
      : options_(options), visitor_(visitor) {}

  // Visits what is in `directory`. Returns whether to go on.
  bool VisitDirectory(const UniqueFd& directory, FileIdentity identity) {
    above_.push_back(identity);
    const bool go_on = VisitEntries(directory);
    above_.pop_back();
    return go_on;
  }

 private:
  bool VisitEntries(const UniqueFd& directory) {
    // openat(".") rather than dup(): a place of its own to read from.
    UniqueFd listed(
        openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!listed.valid()) {
      visitor_->OnError(path_, SystemError(errno, "cannot open"));
      return true;
    }
    absl::StatusOr<std::vector<std::string>> names = List(std::move(listed));
    if (!names.ok()) {
      visitor_->OnError(path_, names.status());
      return true;
    }
    for (const std::string& name : *names) {
      const size_t path_bytes = path_.size();
      absl::StrAppend(&path_, path_.empty() ? "" : "/", name);
      const bool go_on = VisitEntry(directory, name.c_str());
      path_.resize(path_bytes);
      if (!go_on) return false;
    }
    return true;
  }

  // `path_` is that of the entry.
  bool VisitEntry(const UniqueFd& directory, const char* name) {
    struct stat info;
    if (fstatat(directory.get(), name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
      visitor_->OnError(path_, SystemError(errno, "cannot look at"));
      return true;
    }
    int no_follow = O_NOFOLLOW;
    if (S_ISLNK(info.st_mode) && options_.links == Links::kFollow &&
        fstatat(directory.get(), name, &info, 0) == 0) {
      no_follow = 0;
    }
    if (S_ISREG(info.st_mode)) {
      return visitor_->OnFile(path_, directory.get(), name, info.st_size);
    }
    if (!S_ISDIR(info.st_mode)) {
      visitor_->OnSkipped(path_);
      return true;
    }
    const FileIdentity identity = IdentityOf(info);
    if (options_.skipped_directory == identity) return true;
    if (std::find(above_.begin(), above_.end(), identity) != above_.end()) {
      visitor_->OnSkipped(
          path_);  // A link to where it lies would go on forever.
      return true;
    }
    if (static_cast<int64_t>(path_.size()) > options_.path_bytes_max) {
      visitor_->OnError(path_,
                        absl::InvalidArgumentError(absl::StrCat(
                            "directory not entered: path_bytes ", path_.size(),
                            " exceeds ", options_.path_bytes_max)));
      return true;
    }
    UniqueFd child(openat(directory.get(), name,
                          O_RDONLY | O_DIRECTORY | O_CLOEXEC | no_follow));
    if (!child.valid()) {
      visitor_->OnError(path_, SystemError(errno, "cannot open"));
      return true;
    }
    return VisitDirectory(child, identity);
  }

  const FileWalkOptions& options_;
  FileVisitor* const visitor_;
  std::string path_;
  std::vector<FileIdentity> above_;  // Directories on the way down.
};

absl::string_view BaseName(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == absl::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace

absl::StatusOr<FileIdentity> IdentityOf(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return SystemError(errno, path);
  return IdentityOf(info);
}

absl::Status WalkFiles(const std::string& root, const FileWalkOptions& options,
                       FileVisitor* visitor) {
  struct stat info;
  if (stat(root.c_str(), &info) != 0) return SystemError(errno, root);
  if (S_ISREG(info.st_mode)) {
    visitor->OnFile(BaseName(root), AT_FDCWD, root.c_str(), info.st_size);
    return absl::OkStatus();
  }
  if (!S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(root, ": neither a directory nor a regular file"));
  }
  UniqueFd directory(open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return SystemError(errno, root);
  Walker(options, visitor).VisitDirectory(directory, IdentityOf(info));
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenRegular(int directory_fd, const char* name,
                                     Links links) {
  // O_NONBLOCK: a pipe that took the file's place must not hold us up. A root
  // given by its path may always be a link.
  const bool follow = links == Links::kFollow || directory_fd == AT_FDCWD;
  const int no_follow = follow ? 0 : O_NOFOLLOW;
  UniqueFd fd(openat(directory_fd, name,
                     O_RDONLY | O_NONBLOCK | O_CLOEXEC | no_follow));
  if (!fd.valid()) return SystemError(errno, "cannot open");
  struct stat info;
  if (fstat(fd.get(), &info) != 0) {
    return SystemError(errno, "cannot look at");
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError("no longer a regular file");
  }
  return fd;
}

}  // namespace larder::cli
