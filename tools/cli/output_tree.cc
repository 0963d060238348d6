#include "tools/cli/output_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cache/status_macros.h"
#include "tools/cli/system_error.h"
#include "tools/cli/write_all.h"

namespace larder::cli {
namespace {

constexpr size_t kComponentBytesMax = 255;  // NAME_MAX of Linux.

absl::StatusOr<bool> IsEmpty(const std::string& path) {
  std::error_code error;
  const bool empty = std::filesystem::is_empty(path, error);
  if (error) return SystemError(error.value(), path);
  return empty;
}

// Opens `name` in `parent`, after creating it when it is absent.
absl::StatusOr<UniqueFd> EnterDirectory(int parent, const std::string& name) {
  if (mkdirat(parent, name.c_str(), 0777) != 0 && errno != EEXIST) {
    return SystemError(errno, "cannot create a directory");
  }
  UniqueFd fd(openat(parent, name.c_str(),
                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "a file or link is where the directory '", name, "' should be"));
  }
  return fd;
}

}  // namespace

absl::Status CheckRelativeName(absl::string_view name) {
  const auto refused = [](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("not a file name: ", why));
  };
  if (name.find('\0') != absl::string_view::npos) return refused("a NUL byte");
  for (absl::string_view component : absl::StrSplit(name, '/')) {
    if (component.empty()) return refused("an empty component");
    if (component == "." || component == "..") {
      return refused(absl::StrCat("a component '", component, "'"));
    }
    if (component.size() > kComponentBytesMax) {
      return refused(absl::StrCat("component_bytes ", component.size(),
                                  " exceeds ", kComponentBytesMax));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<OutputTree> OutputTree::Open(const std::string& path,
                                            bool may_have_entries) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  // Some files in the way are reported here, others by open().
  UniqueFd root(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) {
    return SystemError(error ? error.value() : errno, path);
  }
  if (!may_have_entries) {
    LARDER_ASSIGN_OR_RETURN(const bool empty, IsEmpty(path));
    if (!empty) {
      return absl::AlreadyExistsError(absl::StrCat(path, ": not empty"));
    }
  }
  return OutputTree(std::move(root));
}

absl::Status OutputTree::Begin() {
  Abandon();
  // A file of that name may be there: one that was exported, or left by a
  // killed export.
  for (uint64_t i = 0; !file_.valid(); ++i) {
    temporary_ = absl::StrCat(".larder-", getpid(), "-", i, ".tmp");
    file_ = UniqueFd(openat(root_.get(), temporary_.c_str(),
                            O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (!file_.valid() && errno != EEXIST) {
      const int error = errno;
      temporary_.clear();
      return SystemError(error, "cannot create a file");
    }
  }
  return absl::OkStatus();
}

absl::Status OutputTree::Append(absl::string_view bytes) {
  return WriteAll(file_.get(), bytes);
}

absl::Status OutputTree::Finish(absl::string_view name) {
  LARDER_RETURN_IF_ERROR(CheckRelativeName(name));
  std::vector<std::string> components = absl::StrSplit(name, '/');
  UniqueFd parent;
  for (size_t i = 0; i + 1 < components.size(); ++i) {
    const int above = parent.valid() ? parent.get() : root_.get();
    LARDER_ASSIGN_OR_RETURN(parent, EnterDirectory(above, components[i]));
  }
  // close() is where some file systems report that the disk is full.
  if (close(file_.Release()) != 0) {
    return SystemError(errno, "cannot write");
  }
  const int target = parent.valid() ? parent.get() : root_.get();
  if (renameat(root_.get(), temporary_.c_str(), target,
               components.back().c_str()) != 0) {
    return SystemError(errno, "cannot name the file");
  }
  temporary_.clear();
  return absl::OkStatus();
}

void OutputTree::Abandon() {
  file_ = UniqueFd();
  if (!temporary_.empty()) unlinkat(root_.get(), temporary_.c_str(), 0);
  temporary_.clear();
}

}  // namespace larder::cli
