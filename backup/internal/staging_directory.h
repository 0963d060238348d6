// Builds a directory aside and publishes it by one rename.
#ifndef LARDER_BACKUP_INTERNAL_STAGING_DIRECTORY_H_
#define LARDER_BACKUP_INTERNAL_STAGING_DIRECTORY_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/l2/file.h"

namespace larder::backup_internal {

// Whether one path is the other or below it; neither need exist.
bool Nested(const std::string& a, const std::string& b);

// Errors: kAlreadyExists unless `path` is absent or an empty directory;
// kInvalidArgument when no rename can put another directory there.
absl::Status CheckTarget(const std::string& path,
                         cache::l2::FileSystem* file_system);

// For one restore into `target`: TARGET.restoring-ID beside it, under the lock
// TARGET.restoring.lock. TARGET.restoring-ID.mark is there as long as the
// directory, and longer: without it nothing is taken for a leftover.
// Single-owner.
class StagingDirectory {
 public:
  // `id` is a snapshot's. Checks `target`, takes the lock, removes what killed
  // restores into the same target left behind, and creates the directory, for
  // this user alone.
  // Errors: kAlreadyExists (see CheckTarget; or something else has the
  // directory's name); kUnavailable (another restore).
  static absl::StatusOr<std::unique_ptr<StagingDirectory>> Create(
      std::string target, const std::string& id,
      cache::l2::FileSystem* file_system);

  // Removes what was not published.
  ~StagingDirectory();

  const std::string& path() const { return path_; }

  // Renames the directory, which must be durable in itself, to the target and
  // makes that durable. After an error the target is as it was.
  absl::Status Publish();
  // Takes it back, when another part of the same restore cannot be published.
  void Retract();

 private:
  StagingDirectory(std::string target, const std::string& id,
                   cache::l2::FileSystem* file_system,
                   std::unique_ptr<cache::l2::FileLock> lock);

  absl::Status RemoveLeftovers() const;
  absl::Status CreateMarked();

  const std::string target_;
  const std::string path_;
  cache::l2::FileSystem* const file_system_;
  const std::unique_ptr<cache::l2::FileLock> lock_;
  bool created_ = false;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_STAGING_DIRECTORY_H_
