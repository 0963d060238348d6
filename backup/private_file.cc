#include "backup/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;

absl::Status FileError(const std::string& path, int error) {
  const std::string what = absl::StrCat(path, ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(what)
                         : absl::InternalError(what);
}

// What others may do with the file goes to `*mode`.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path,
                                          mode_t* mode) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError(path, errno);
  const auto close = absl::MakeCleanup([fd] { ::close(fd); });
  struct stat stat = {};
  if (::fstat(fd, &stat) != 0) return FileError(path, errno);
  *mode = stat.st_mode;
  std::string bytes(kFileBytesMax + 1, '\0');
  size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t n = ::read(fd, &bytes[size], bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(path, errno);
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size > kFileBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": more than ", kFileBytesMax, " bytes"));
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> ReadPrivateFile(const std::string& path) {
  mode_t mode = 0;
  LARDER_ASSIGN_OR_RETURN(std::string bytes, ReadWholeFile(path, &mode));
  if ((mode & (S_IRGRP | S_IROTH | S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": others may read or write it: chmod 600 it first"));
  }
  return bytes;
}

absl::StatusOr<std::string> ReadPublicFile(const std::string& path) {
  mode_t mode = 0;
  return ReadWholeFile(path, &mode);
}

}  // namespace larder::backup
