#include "backup/internal/staging_directory.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "backup/format/archive_file.h"
#include "backup/path.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

using backup::ParentOf;
using backup::WithoutSlashes;
using cache::l2::File;
using cache::l2::FileLock;
using cache::l2::FileSystem;

namespace {

constexpr absl::string_view kSuffix = ".restoring-";
constexpr absl::string_view kLockSuffix = ".restoring.lock";
constexpr absl::string_view kMarkSuffix = ".mark";
// What the file with that suffix holds.
constexpr absl::string_view kMark =
    "A restore was building the directory of this name, without .mark. The "
    "next restore to the same place removes both.\n";

std::string MarkOf(absl::string_view path) {
  return absl::StrCat(path, kMarkSuffix);
}

absl::Status WriteMark(const std::string& path, FileSystem* file_system) {
  LARDER_ASSIGN_OR_RETURN(
      const std::unique_ptr<File> file,
      file_system->Open(path, {.create = true, .owner_only = true}));
  LARDER_RETURN_IF_ERROR(file->Resize(kMark.size()));
  LARDER_RETURN_IF_ERROR(file->WriteAt(0, kMark));
  LARDER_RETURN_IF_ERROR(file->Sync());
  // Before what it marks.
  return file_system->SyncDirectory(ParentOf(path));
}

// kTorn: its writer died, or lost its power, before it was durable.
enum class Mark { kNone, kTorn, kWhole };

Mark ReadMark(const std::string& path, FileSystem* file_system) {
  const auto file = file_system->Open(path, {.read_only = true});
  if (!file.ok() || (*file)->Size() > kMark.size()) return Mark::kNone;
  std::string bytes((*file)->Size(), '\0');
  if (!(*file)->ReadAt(0, absl::MakeSpan(bytes)).ok()) return Mark::kNone;
  if (bytes == kMark) return Mark::kWhole;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != '\0' && bytes[i] != kMark[i]) return Mark::kNone;
  }
  return Mark::kTorn;
}

// The directory first, for good: what has no mark is never removed.
absl::Status RemoveMarked(const std::string& path, FileSystem* file_system) {
  const absl::Status removed = file_system->RemoveTree(path);
  if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
  LARDER_RETURN_IF_ERROR(file_system->SyncDirectory(ParentOf(path)));
  return file_system->Remove(MarkOf(path));
}

// Renaming onto `path` must be able to work, before anything is built for it.
absl::Status CheckReplaceable(const std::string& path,
                              FileSystem* file_system) {
  const auto refused = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": restore target: ", why,
                     ": name a directory below or beside it"));
  };
  const std::string name =
      std::filesystem::path(WithoutSlashes(path)).filename();
  if (name.empty() || name == "." || name == "..") {
    return refused("is a directory without a name of its own");
  }
  if (file_system != cache::l2::PosixFileSystem()) return absl::OkStatus();
  struct statx found;
  if (::statx(AT_FDCWD, WithoutSlashes(path).c_str(),
              AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &found) != 0) {
    return absl::OkStatus();  // Absent, as it should be, or soon to be told.
  }
  if (S_ISLNK(found.stx_mode)) return refused("is a symbolic link");
  if ((found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) {
    return refused("is a mount point");
  }
  return absl::OkStatus();
}

}  // namespace

bool Nested(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return false;
  const auto resolved = [](const std::string& path) {
    std::error_code error;
    std::filesystem::path full = std::filesystem::weakly_canonical(
        std::filesystem::absolute(path), error);
    if (error) full = std::filesystem::absolute(path).lexically_normal();
    return absl::StrCat(absl::StripSuffix(full.string(), "/"), "/");
  };
  const std::string first = resolved(a), second = resolved(b);
  return absl::StartsWith(first, second) || absl::StartsWith(second, first);
}

absl::Status CheckTarget(const std::string& path, FileSystem* file_system) {
  LARDER_RETURN_IF_ERROR(CheckReplaceable(path, file_system));
  if (!file_system->Exists(path)) return absl::OkStatus();
  const absl::StatusOr<std::vector<std::string>> names =
      file_system->List(path);
  if (absl::IsFailedPrecondition(names.status())) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, ": restore target is not a directory"));
  }
  LARDER_RETURN_IF_ERROR(names.status());
  if (names->empty()) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(
      path, ": restore target: ", names->size(), " entries vs 0 allowed"));
}

StagingDirectory::StagingDirectory(std::string target, const std::string& id,
                                   FileSystem* file_system,
                                   std::unique_ptr<FileLock> lock)
    : target_(std::move(target)),
      path_(absl::StrCat(target_, kSuffix, id)),
      file_system_(file_system),
      lock_(std::move(lock)) {}

absl::StatusOr<std::unique_ptr<StagingDirectory>> StagingDirectory::Create(
    std::string target, const std::string& id, FileSystem* file_system) {
  target = WithoutSlashes(std::move(target));
  LARDER_RETURN_IF_ERROR(CheckTarget(target, file_system));
  LARDER_RETURN_IF_ERROR(file_system->CreateDirectories(ParentOf(target)));
  absl::StatusOr<std::unique_ptr<FileLock>> lock =
      file_system->Lock(absl::StrCat(target, kLockSuffix));
  if (absl::IsUnavailable(lock.status())) {
    return absl::UnavailableError(
        absl::StrCat(target, ": another restore is writing to this target"));
  }
  LARDER_RETURN_IF_ERROR(lock.status());
  std::unique_ptr<StagingDirectory> staging(new StagingDirectory(
      std::move(target), id, file_system, *std::move(lock)));
  LARDER_RETURN_IF_ERROR(staging->RemoveLeftovers());
  LARDER_RETURN_IF_ERROR(staging->CreateMarked());
  return staging;
}

absl::Status StagingDirectory::RemoveLeftovers() const {
  const std::string parent = ParentOf(target_);
  LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          file_system_->List(parent));
  const std::string prefix =
      absl::StrCat(target_.substr(target_.find_last_of('/') + 1), kSuffix);
  for (const absl::string_view name : names) {
    absl::string_view id = name;
    if (!absl::ConsumePrefix(&id, prefix) ||
        !absl::ConsumeSuffix(&id, kMarkSuffix) ||
        !backup::format::IsSnapshotId(id)) {
      continue;
    }
    const std::string path = absl::StrCat(target_, kSuffix, id);
    const Mark mark = ReadMark(MarkOf(path), file_system_);
    // A directory is made once its mark is durable: that one is no restore's.
    if (mark == Mark::kTorn && file_system_->Exists(path)) continue;
    if (mark == Mark::kNone) continue;
    LARDER_RETURN_IF_ERROR(RemoveMarked(path, file_system_));
  }
  return absl::OkStatus();
}

absl::Status StagingDirectory::CreateMarked() {
  for (const std::string& path : {path_, MarkOf(path_)}) {
    if (!file_system_->Exists(path)) continue;
    return absl::AlreadyExistsError(
        absl::StrCat(path, ": in the way of a restore, which did not make it"));
  }
  created_ = true;
  LARDER_RETURN_IF_ERROR(WriteMark(MarkOf(path_), file_system_));
  return file_system_->CreatePrivateDirectories(path_);
}

StagingDirectory::~StagingDirectory() {
  // What cannot be removed now, the next restore removes.
  if (created_) RemoveMarked(path_, file_system_).IgnoreError();
  file_system_->Remove(absl::StrCat(target_, kLockSuffix)).IgnoreError();
}

absl::Status StagingDirectory::Publish() {
  LARDER_RETURN_IF_ERROR(file_system_->Rename(path_, target_));
  const absl::Status synced = file_system_->SyncDirectory(ParentOf(target_));
  if (!synced.ok()) Retract();
  return synced;
}

void StagingDirectory::Retract() {
  file_system_->Rename(target_, path_).IgnoreError();
}

}  // namespace larder::backup_internal
