// Every byte that L2 reads or writes goes through these two interfaces, so
// that tests can replace the disk.
#ifndef LARDER_CACHE_L2_FILE_H_
#define LARDER_CACHE_L2_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace larder::cache::l2 {

// One open file. Thread-safe: calls on disjoint byte ranges may overlap in
// time; so may View() with everything, as long as the caller does not read
// bytes that another thread is writing.
//
// Errors name the file and the offset:
//   kOutOfRange         the range ends beyond Size().
//   kResourceExhausted  no space, or over quota.
//   kDataLoss           the device failed to read or write (EIO).
//   kInternal           anything else the system says.
class File {
 public:
  virtual ~File() = default;

  // Fills `out` from `offset`; all of it or an error.
  virtual absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const = 0;
  // Writes all of `data` at `offset`; the range must end within Size(). After
  // an error any part of the range may have been written.
  virtual absl::Status WriteAt(uint64_t offset, absl::string_view data) = 0;
  // Makes everything written and the size durable against a power cut. After
  // an error nothing written since the last success may be trusted, however
  // often it is called again.
  virtual absl::Status Sync() = 0;
  // Grows (with zeros, and with room on disk for them where the file system
  // can) or shrinks. Shrinking needs that nobody views the tail.
  virtual absl::Status Resize(uint64_t size_bytes) = 0;
  virtual uint64_t Size() const = 0;
  // The bytes of [offset, offset + length) without copying; valid until the
  // file is closed or shrunk; shows later writes.
  virtual absl::StatusOr<const char*> View(uint64_t offset,
                                           uint64_t length) const = 0;
  // How often View() could not show a page, which then read as zeros.
  virtual int64_t unreadable_pages() const { return 0; }
  virtual const std::string& path() const = 0;
};

// Held while it lives.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

// Thread-safe.
class FileSystem {
 public:
  struct OpenOptions {
    bool create = false;
    // View() reaches this far; a file may not grow beyond it
    // (kResourceExhausted). 0: no limit, and no View().
    uint64_t size_bytes_max = 0;
    // Needs no permission to write; WriteAt() and Resize() fail.
    bool read_only = false;
    // What is created, only this user may read or write. `path` may be no
    // symbolic link.
    bool owner_only = false;
  };

  virtual ~FileSystem() = default;

  // Errors: kNotFound; kFailedPrecondition when it is not a regular file.
  virtual absl::StatusOr<std::unique_ptr<File>> Open(
      const std::string& path, const OpenOptions& options) = 0;
  // Takes the advisory lock of `path`, which is created when absent. Whoever
  // holds it may remove `path`: nobody else then holds a lock of that name.
  // Errors: kUnavailable when another process (or this one) holds it.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      const std::string& path) = 0;
  // Creates `path` and its missing parents; fine when it exists.
  virtual absl::Status CreateDirectories(const std::string& path) = 0;
  // The same, but what it creates, only this user may enter.
  virtual absl::Status CreatePrivateDirectories(const std::string& path) = 0;
  // Makes the directory's entries durable.
  virtual absl::Status SyncDirectory(const std::string& path) = 0;
  // Removes a file or an empty directory.
  // Errors: kNotFound; kFailedPrecondition for a directory with entries.
  virtual absl::Status Remove(const std::string& path) = 0;
  // Removes `path` and all below it, but nothing that a symbolic link leads
  // to, nor what is in another user's directory.
  // Errors: kNotFound; else the first entry that cannot be removed; the rest is
  // still there then.
  virtual absl::Status RemoveTree(const std::string& path) = 0;
  // Replaces `to` atomically when it exists.
  virtual absl::Status Rename(const std::string& from,
                              const std::string& to) = 0;
  // Names (not paths) in `path`, sorted, without "." and "..".
  // Errors: kNotFound; kFailedPrecondition when it is not a directory.
  virtual absl::StatusOr<std::vector<std::string>> List(
      const std::string& path) = 0;
  virtual bool Exists(const std::string& path) = 0;
};

// The machine's own. Lives for the whole process. Handles SIGBUS for its views:
// see guarded_mapping.h.
FileSystem* PosixFileSystem();

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_FILE_H_
