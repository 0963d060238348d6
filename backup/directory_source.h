// A directory of regular files as a source of a backup: how a server registers
// data of its own.
#ifndef LARDER_BACKUP_DIRECTORY_SOURCE_H_
#define LARDER_BACKUP_DIRECTORY_SOURCE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backup/source.h"

namespace larder::backup {

// Dumps name, permission bits, modification time and bytes of every regular
// file below `path`, each read once for all dumps, in order of name. Symbolic
// links are not followed (`path` itself may be one); they and other special
// files are counted and left out, and so are empty directories; modes and times
// of directories are not kept. What is in `excluded` is left out and counted.
//
// There is no snapshot of a file system: a file that changes while it is read
// is left out and listed as a problem, and so is one that cannot be read.
//
// Memory: the names of the directories on the way down, three file chunks, and
// for each dump the names of what it was sent last, 64 KiB.
class DirectorySource : public SnapshotSource {
 public:
  struct Options {
    std::string name = "files";
    bool required = true;
    // Directories that are not entered, however they are reached: the archives
    // that the dump goes to, the L2 that is backed up beside it.
    std::vector<std::string> excluded;
    // Bytes of file content in one chunk; larger files span several.
    int64_t chunk_bytes = 1 << 20;
    // Runs after the first bytes of each file were read.
    std::function<void(const std::string& path)> after_first_read_for_test =
        nullptr;
  };

  DirectorySource(std::string path, Options options)
      : path_(std::move(path)), options_(std::move(options)) {}

  const std::string& name() const override { return options_.name; }
  bool required() const override { return options_.required; }
  // Errors: kNotFound; kFailedPrecondition when it is not a directory, or
  // excluded.
  absl::StatusOr<std::unique_ptr<SourceView>> Open(
      const SourceRequest& request) override;

 private:
  const std::string path_;
  const Options options_;
};

}  // namespace larder::backup

#endif  // LARDER_BACKUP_DIRECTORY_SOURCE_H_
