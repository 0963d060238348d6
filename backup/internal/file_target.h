// Where restored files go.
#ifndef LARDER_BACKUP_INTERNAL_FILE_TARGET_H_
#define LARDER_BACKUP_INTERNAL_FILE_TARGET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cache/l2/file.h"

namespace larder::backup_internal {

// What a dump says of a file besides its bytes.
struct FileAttributes {
  std::string path;  // Relative; see format::CheckRelativePath().
  uint32_t mode = 0;
  int64_t modified_unix_nanos = 0;
};

// One file at a time: Begin, Append*, then Finish or Abandon. Single-owner.
class FileTarget {
 public:
  virtual ~FileTarget() = default;
  // Errors: kFailedPrecondition when this one file cannot be there (its
  // directory is a file); any other is final.
  virtual absl::Status Begin(const FileAttributes& attributes) = 0;
  virtual absl::Status Append(absl::string_view data) = 0;
  virtual absl::Status Finish() = 0;
  virtual void Abandon() = 0;
};

// Takes files and keeps nothing: for verification.
class NullFileTarget : public FileTarget {
 public:
  absl::Status Begin(const FileAttributes&) override {
    return absl::OkStatus();
  }
  absl::Status Append(absl::string_view) override { return absl::OkStatus(); }
  absl::Status Finish() override { return absl::OkStatus(); }
  void Abandon() override {}
};

// Writes below `root`, which it creates and which nobody else touches: so no
// link can lead a path out of it. Files come in the order of their names.
// Permission bits and times are set on the machine's own file system only, once
// a file is whole; until then, only this user may read it. Directories, of
// which a dump knows no mode, stay so.
class DirectoryFileTarget : public FileTarget {
 public:
  DirectoryFileTarget(std::string root, cache::l2::FileSystem* file_system)
      : root_(std::move(root)), file_system_(file_system) {}

  absl::Status Open();  // First of all.
  absl::Status Begin(const FileAttributes& attributes) override;
  absl::Status Append(absl::string_view data) override;
  absl::Status Finish() override;
  void Abandon() override;
  // Makes all directories durable. Last of all.
  absl::Status Close();

 private:
  // Makes `relative` the directory that files go to.
  absl::Status EnterDirectory(absl::string_view relative);
  absl::Status LeaveDirectory();

  const std::string root_;
  cache::l2::FileSystem* const file_system_;
  // The directories on the way down from `root_`, not yet synced.
  std::vector<std::string> open_directories_;
  FileAttributes attributes_;
  std::string path_;
  std::unique_ptr<cache::l2::File> file_;
  uint64_t bytes_ = 0;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_FILE_TARGET_H_
