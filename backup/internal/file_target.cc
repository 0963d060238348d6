#include "backup/internal/file_target.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {
namespace {

absl::Status SetAttributes(const std::string& path,
                           const FileAttributes& attributes) {
  constexpr int64_t kNanos = 1'000'000'000;
  struct timespec times[2];
  times[0] = {.tv_sec = 0, .tv_nsec = UTIME_OMIT};
  times[1] = {
      .tv_sec = static_cast<time_t>(attributes.modified_unix_nanos / kNanos),
      .tv_nsec = static_cast<long>(attributes.modified_unix_nanos % kNanos)};
  if (times[1].tv_nsec < 0) {  // Before 1970.
    times[1].tv_nsec += kNanos;
    --times[1].tv_sec;
  }
  if (::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0 &&
      ::chmod(path.c_str(), attributes.mode & 0777) == 0) {
    return absl::OkStatus();
  }
  return absl::InternalError(absl::StrCat(
      path, ": set attributes: ", std::generic_category().message(errno)));
}

// What concerns one file only.
absl::Status OfThisFile(const absl::Status& status) {
  if (status.ok() || absl::IsResourceExhausted(status) ||
      absl::IsDataLoss(status)) {
    return status;
  }
  return absl::FailedPreconditionError(status.message());
}

}  // namespace

absl::Status DirectoryFileTarget::Open() {
  LARDER_RETURN_IF_ERROR(file_system_->CreatePrivateDirectories(root_));
  open_directories_.push_back("");
  return absl::OkStatus();
}

absl::Status DirectoryFileTarget::LeaveDirectory() {
  const std::string path = absl::StrCat(root_, "/", open_directories_.back());
  open_directories_.pop_back();
  return file_system_->SyncDirectory(path);
}

absl::Status DirectoryFileTarget::EnterDirectory(absl::string_view relative) {
  const auto holds = [&](absl::string_view directory) {
    return directory.empty() || relative == directory ||
           (absl::StartsWith(relative, directory) &&
            relative[directory.size()] == '/');
  };
  while (!holds(open_directories_.back())) {
    LARDER_RETURN_IF_ERROR(LeaveDirectory());
  }
  while (open_directories_.back().size() < relative.size()) {
    const size_t from = open_directories_.back().empty()
                            ? 0
                            : open_directories_.back().size() + 1;
    const std::string next(relative.substr(0, relative.find('/', from)));
    const std::string path = absl::StrCat(root_, "/", next);
    LARDER_RETURN_IF_ERROR(
        OfThisFile(file_system_->CreatePrivateDirectories(path)));
    open_directories_.push_back(next);
  }
  return absl::OkStatus();
}

absl::Status DirectoryFileTarget::Begin(const FileAttributes& attributes) {
  const size_t slash = attributes.path.find_last_of('/');
  LARDER_RETURN_IF_ERROR(EnterDirectory(
      slash == std::string::npos
          ? absl::string_view()
          : absl::string_view(attributes.path).substr(0, slash)));
  attributes_ = attributes;
  path_ = absl::StrCat(root_, "/", attributes.path);
  bytes_ = 0;
  auto file = file_system_->Open(path_, {.create = true, .owner_only = true});
  LARDER_RETURN_IF_ERROR(OfThisFile(file.status()));
  file_ = *std::move(file);
  return absl::OkStatus();
}

absl::Status DirectoryFileTarget::Append(absl::string_view data) {
  if (data.empty()) return absl::OkStatus();
  LARDER_RETURN_IF_ERROR(file_->Resize(bytes_ + data.size()));
  LARDER_RETURN_IF_ERROR(file_->WriteAt(bytes_, data));
  bytes_ += data.size();
  return absl::OkStatus();
}

absl::Status DirectoryFileTarget::Finish() {
  LARDER_RETURN_IF_ERROR(file_->Sync());
  file_.reset();
  if (file_system_ != cache::l2::PosixFileSystem()) return absl::OkStatus();
  return SetAttributes(path_, attributes_);
}

void DirectoryFileTarget::Abandon() {
  if (file_ == nullptr) return;
  file_.reset();
  // If it stays, publishing would show half a file; the error comes up when
  // the directory is synced, or the file was never whole to begin with.
  file_system_->Remove(path_).IgnoreError();
}

absl::Status DirectoryFileTarget::Close() {
  while (!open_directories_.empty()) LARDER_RETURN_IF_ERROR(LeaveDirectory());
  return absl::OkStatus();
}

}  // namespace larder::backup_internal
