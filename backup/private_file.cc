#include "backup/private_file.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;

absl::Status FileError(const std::string& path, int error) {
  const std::string what = absl::StrCat(path, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(what);
    case EACCES:
    case ENXIO:        // A socket.
    case EWOULDBLOCK:  // Leased by another process.
      return absl::FailedPreconditionError(what);
    default:
      return absl::InternalError(what);
  }
}

// Before anything of it is read: what is refused never is in memory.
absl::Status CheckPrivate(const std::string& path, const struct stat& stat) {
  if (!S_ISREG(stat.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": not a regular file"));
  }
  // Its owner could put other keys or tokens there.
  if (stat.st_uid != ::geteuid() && stat.st_uid != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": owned by user ID ", stat.st_uid, " vs ",
                     ::geteuid(), ", who reads it, or root: chown it first"));
  }
  if ((stat.st_mode & (S_IRGRP | S_IROTH | S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": others may read or write it: chmod 600 it first"));
  }
  return absl::OkStatus();
}

absl::Status TooLong(const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": more than ", kFileBytesMax, " bytes"));
}

absl::StatusOr<std::string> ReadWholeFile(const std::string& path,
                                          bool must_be_private) {
  // A pipe without a writer must be refused, not waited for.
  const int flags = must_be_private ? O_NONBLOCK : 0;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  if (fd < 0) return FileError(path, errno);
  const auto close = absl::MakeCleanup([fd] { ::close(fd); });
  struct stat stat = {};
  if (::fstat(fd, &stat) != 0) return FileError(path, errno);
  if (must_be_private) LARDER_RETURN_IF_ERROR(CheckPrivate(path, stat));
  if (stat.st_size > static_cast<off_t>(kFileBytesMax)) return TooLong(path);
  // Of one size from the start: to grow would leave copies behind.
  std::string bytes(kFileBytesMax + 1, '\0');
  auto cleanse = absl::MakeCleanup(
      [&bytes] { OPENSSL_cleanse(bytes.data(), bytes.size()); });
  size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t n = ::read(fd, &bytes[size], bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(path, errno);
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size > kFileBytesMax) return TooLong(path);
  std::move(cleanse).Cancel();
  bytes.resize(size);
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> ReadPrivateFile(const std::string& path) {
  return ReadWholeFile(path, /*must_be_private=*/true);
}

absl::StatusOr<std::string> ReadPublicFile(const std::string& path) {
  return ReadWholeFile(path, /*must_be_private=*/false);
}

}  // namespace larder::backup
