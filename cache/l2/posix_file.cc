#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "cache/l2/file.h"
#include "cache/l2/file_status.h"
#include "cache/l2/guarded_mapping.h"
#include "cache/mutex.h"
#include "cache/status_macros.h"

namespace larder::cache::l2 {
namespace {

// A descriptor, closed when destroyed.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

Descriptor OpenAtRetrying(int directory, const std::string& path, int flags,
                          mode_t mode = 0644) {
  int fd;
  do {
    fd = ::openat(directory, path.c_str(), flags | O_CLOEXEC | O_NOCTTY, mode);
  } while (fd < 0 && errno == EINTR);
  return Descriptor(fd);
}

Descriptor OpenRetrying(const std::string& path, int flags,
                        mode_t mode = 0644) {
  return OpenAtRetrying(AT_FDCWD, path, flags, mode);
}

// 0 or the errno.
int SyncRetrying(int fd, int (*sync)(int)) {
  int result;
  do {
    result = sync(fd);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

class PosixFile : public File {
 public:
  // `view` may be null.
  PosixFile(std::string path, Descriptor descriptor, uint64_t size_bytes,
            uint64_t size_bytes_max, std::unique_ptr<GuardedMapping> view)
      : path_(std::move(path)),
        descriptor_(std::move(descriptor)),
        size_bytes_max_(size_bytes_max),
        view_(std::move(view)),
        view_data_(view_ == nullptr ? nullptr : view_->data()),
        view_bytes_(view_ == nullptr ? 0 : view_->size()),
        size_bytes_(size_bytes) {}

  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override;
  absl::Status WriteAt(uint64_t offset, absl::string_view data) override;
  absl::Status Sync() override;
  absl::Status Resize(uint64_t size_bytes) override;
  uint64_t Size() const override {
    return size_bytes_.load(std::memory_order_acquire);
  }
  absl::StatusOr<const char*> View(uint64_t offset,
                                   uint64_t length) const override;
  int64_t unreadable_pages() const override {
    return view_ == nullptr ? 0 : view_->unreadable_pages();
  }
  const std::string& path() const override { return path_; }

 private:
  // Each returns 0 or the errno.
  int TruncateTo(uint64_t size_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(resize_mu_);
  int GrowTo(uint64_t size_bytes, uint64_t before)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(resize_mu_);

  const std::string path_;
  const Descriptor descriptor_;
  const uint64_t size_bytes_max_;  // 0: no limit.
  const std::unique_ptr<GuardedMapping> view_;
  const char* const view_data_;
  const uint64_t view_bytes_;
  Mutex resize_mu_;
  // What View() may show: beyond the end of the file a mapping faults.
  std::atomic<uint64_t> size_bytes_;
};

absl::Status PosixFile::ReadAt(uint64_t offset, absl::Span<char> out) const {
  LARDER_RETURN_IF_ERROR(CheckRange(path_, "read", offset, out.size(), Size()));
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t count =
        ::pread(descriptor_.get(), out.data() + done, out.size() - done,
                static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return RangeError(path_, "read", offset, out.size(), errno);
    if (count == 0) {
      // Somebody else shortened the file.
      return CheckRange(path_, "read", offset, out.size(), offset + done);
    }
    done += static_cast<size_t>(count);
  }
  return absl::OkStatus();
}

absl::Status PosixFile::WriteAt(uint64_t offset, absl::string_view data) {
  LARDER_RETURN_IF_ERROR(
      CheckRange(path_, "write", offset, data.size(), Size()));
  size_t done = 0;
  while (done < data.size()) {
    const ssize_t count =
        ::pwrite(descriptor_.get(), data.data() + done, data.size() - done,
                 static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return RangeError(path_, "write", offset, data.size(), errno);
    }
    done += static_cast<size_t>(count);
  }
  if (view_ != nullptr) view_->NoteWritten(offset, data.size());
  return absl::OkStatus();
}

absl::Status PosixFile::Sync() {
  const int error = SyncRetrying(descriptor_.get(), ::fdatasync);
  if (error != 0) return FileError(path_, "sync", error);
  return absl::OkStatus();
}

absl::Status PosixFile::Resize(uint64_t size_bytes) {
  const auto action = [&] { return absl::StrCat("resize to ", size_bytes); };
  if (size_bytes_max_ > 0 && size_bytes > size_bytes_max_) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path_, ": ", action(), ": exceeds ", size_bytes_max_));
  }
  MutexLock lock(&resize_mu_);
  const uint64_t before = Size();
  // Before the file shrinks, so that no new view reaches the lost tail.
  if (size_bytes < before) {
    size_bytes_.store(size_bytes, std::memory_order_release);
  }
  const int error =
      size_bytes > before ? GrowTo(size_bytes, before) : TruncateTo(size_bytes);
  size_bytes_.store(error == 0 ? size_bytes : before,
                    std::memory_order_release);
  if (error != 0) return FileError(path_, action(), error);
  return absl::OkStatus();
}

int PosixFile::TruncateTo(uint64_t size_bytes) {
  int result;
  do {
    result = ::ftruncate(descriptor_.get(), static_cast<off_t>(size_bytes));
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

// With room on disk for all of it: a full disk shows here, where it can be
// refused, and a write finds its blocks, which takes less time than to reserve
// them one by one. Where that is not to be had, a hole must do.
int PosixFile::GrowTo(uint64_t size_bytes, uint64_t before) {
  int result;
  do {
    result =
        ::fallocate(descriptor_.get(), /*mode=*/0, static_cast<off_t>(before),
                    static_cast<off_t>(size_bytes - before));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return 0;
  if (errno == EOPNOTSUPP || errno == ENOSYS) return TruncateTo(size_bytes);
  const int error = errno;
  // What it got hold of is given back; the size may have changed with it.
  TruncateTo(before);
  return error;
}

absl::StatusOr<const char*> PosixFile::View(uint64_t offset,
                                            uint64_t length) const {
  const uint64_t size = std::min(Size(), view_bytes_);
  if (offset <= size && length <= size - offset) return view_data_ + offset;
  return CheckRange(path_, "view", offset, length, size);
}

class PosixFileLock : public FileLock {
 public:
  explicit PosixFileLock(Descriptor descriptor)
      : descriptor_(std::move(descriptor)) {}

 private:
  const Descriptor descriptor_;  // The lock goes when it is closed.
};

// Names in an open directory.
absl::StatusOr<std::vector<std::string>> ListNames(const Descriptor& directory,
                                                   const std::string& path) {
  // The stream closes the descriptor that it takes.
  const int copy = ::fcntl(directory.get(), F_DUPFD_CLOEXEC, 0);
  DIR* const stream = copy < 0 ? nullptr : ::fdopendir(copy);
  if (stream == nullptr) {
    const int error = errno;
    if (copy >= 0) ::close(copy);
    return FileError(path, "list", error);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const struct dirent* entry = ::readdir(stream)) {
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  const int error = errno;
  ::closedir(stream);
  if (error != 0) return FileError(path, "list", error);
  return names;
}

// Removes `name` in the directory `parent`; `path` serves messages only.
absl::Status RemoveTreeAt(int parent, const std::string& name,
                          const std::string& path);

class PosixFileSystemImpl : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(
      const std::string& path, const OpenOptions& options) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      const std::string& path) override;
  absl::Status CreateDirectories(const std::string& path) override;
  absl::Status CreatePrivateDirectories(const std::string& path) override;
  absl::Status SyncDirectory(const std::string& path) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status RemoveTree(const std::string& path) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::StatusOr<std::vector<std::string>> List(
      const std::string& path) override;
  bool Exists(const std::string& path) override;
};

absl::StatusOr<std::unique_ptr<File>> PosixFileSystemImpl::Open(
    const std::string& path, const OpenOptions& options) {
  // O_NONBLOCK: opening a FIFO must fail below instead of waiting for a peer.
  Descriptor descriptor =
      OpenRetrying(path,
                   (options.read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK |
                       (options.create ? O_CREAT : 0) |
                       (options.owner_only ? O_NOFOLLOW : 0),
                   options.owner_only ? 0600 : 0644);
  if (!descriptor.ok()) return FileError(path, "open", errno);
  struct stat stat;
  if (::fstat(descriptor.get(), &stat) != 0) {
    return FileError(path, "stat", errno);
  }
  if (!S_ISREG(stat.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": open: not a regular file"));
  }
  const uint64_t size_bytes = static_cast<uint64_t>(stat.st_size);
  // A file that is already larger stays readable as a whole.
  const uint64_t view_bytes =
      options.size_bytes_max == 0
          ? 0
          : std::max(options.size_bytes_max, size_bytes);
  std::unique_ptr<GuardedMapping> view;
  if (view_bytes > 0) {
    LARDER_ASSIGN_OR_RETURN(
        view, GuardedMapping::Map(descriptor.get(), view_bytes, path));
  }
  return std::make_unique<PosixFile>(path, std::move(descriptor), size_bytes,
                                     options.size_bytes_max, std::move(view));
}

// flock() belongs to the open file description, not to the process as fcntl()
// locks do: a second Lock() in this process fails too, and closing another
// descriptor of the file does not drop it.
absl::StatusOr<std::unique_ptr<FileLock>> PosixFileSystemImpl::Lock(
    const std::string& path) {
  while (true) {
    Descriptor descriptor = OpenRetrying(path, O_RDWR | O_CREAT | O_NONBLOCK);
    if (!descriptor.ok()) return FileError(path, "open", errno);
    int result;
    do {
      result = ::flock(descriptor.get(), LOCK_EX | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    if (result != 0) return FileError(path, "lock", errno);
    // The last holder may have removed the file between our two calls; the
    // lock of a file without a name keeps nobody out.
    struct stat held, named;
    if (::fstat(descriptor.get(), &held) != 0) {
      return FileError(path, "stat", errno);
    }
    if (::stat(path.c_str(), &named) == 0 && named.st_dev == held.st_dev &&
        named.st_ino == held.st_ino) {
      return std::make_unique<PosixFileLock>(std::move(descriptor));
    }
  }
}

absl::Status PosixFileSystemImpl::CreateDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return FileError(path, "create directories", error.value());
  return absl::OkStatus();
}

absl::Status PosixFileSystemImpl::CreatePrivateDirectories(
    const std::string& path) {
  for (size_t slash = 0; slash != std::string::npos;) {
    slash = path.find('/', slash + 1);
    const std::string prefix = path.substr(0, slash);
    if (::mkdir(prefix.c_str(), 0700) != 0 && errno != EEXIST) {
      return FileError(prefix, "create directory", errno);
    }
  }
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return absl::OkStatus();
  return FileError(path, "create directory", ENOTDIR);
}

absl::Status PosixFileSystemImpl::SyncDirectory(const std::string& path) {
  const Descriptor descriptor = OpenRetrying(path, O_RDONLY | O_DIRECTORY);
  if (!descriptor.ok()) return FileError(path, "open directory", errno);
  const int error = SyncRetrying(descriptor.get(), ::fsync);
  if (error != 0) return FileError(path, "sync directory", error);
  return absl::OkStatus();
}

absl::Status PosixFileSystemImpl::Remove(const std::string& path) {
  if (::remove(path.c_str()) != 0) return FileError(path, "remove", errno);
  return absl::OkStatus();
}

// Removes the entries of `directory`, whose path serves messages only.
absl::Status RemoveEntries(const Descriptor& directory,
                           const std::string& path) {
  LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          ListNames(directory, path));
  for (const std::string& name : names) {
    LARDER_RETURN_IF_ERROR(
        RemoveTreeAt(directory.get(), name, absl::StrCat(path, "/", name)));
  }
  return absl::OkStatus();
}

absl::Status RemoveTreeAt(int parent, const std::string& name,
                          const std::string& path) {
  if (::unlinkat(parent, name.c_str(), 0) == 0) return absl::OkStatus();
  if (errno != EISDIR) return FileError(path, "remove", errno);
  {
    // Whatever takes the directory's place meanwhile, no link is followed.
    const Descriptor directory =
        OpenAtRetrying(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!directory.ok()) return FileError(path, "open directory", errno);
    struct stat stat;
    if (::fstat(directory.get(), &stat) != 0) {
      return FileError(path, "stat", errno);
    }
    if (stat.st_uid != ::geteuid()) return FileError(path, "remove", EPERM);
    LARDER_RETURN_IF_ERROR(RemoveEntries(directory, path));
  }
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0) {
    return absl::OkStatus();
  }
  return FileError(path, "remove", errno);
}

absl::Status PosixFileSystemImpl::RemoveTree(const std::string& path) {
  return RemoveTreeAt(AT_FDCWD, path, path);
}

absl::Status PosixFileSystemImpl::Rename(const std::string& from,
                                         const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return FileError(from, absl::StrCat("rename to ", to), errno);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> PosixFileSystemImpl::List(
    const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator it(path, error);
  while (!error && it != std::filesystem::directory_iterator()) {
    names.push_back(it->path().filename().string());
    it.increment(error);
  }
  if (error) return FileError(path, "list", error.value());
  std::sort(names.begin(), names.end());
  return names;
}

bool PosixFileSystemImpl::Exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

}  // namespace

FileSystem* PosixFileSystem() {
  static PosixFileSystemImpl file_system;
  return &file_system;
}

}  // namespace larder::cache::l2
