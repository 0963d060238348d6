// Reads bytes of an archive's packs.
#ifndef LARDER_BACKUP_INTERNAL_PACK_FILES_H_
#define LARDER_BACKUP_INTERNAL_PACK_FILES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "cache/l2/file.h"
#include "cache/mutex.h"

namespace larder::backup_internal {

// Thread-safe. Borrows the archive. Keeps up to kFilesMax packs open.
class PackFiles {
 public:
  explicit PackFiles(const backup::Archive* archive) : archive_(archive) {}

  // Bytes [offset, offset + bytes) of the pack `name`, which nothing verifies.
  // Allocates nothing that is not there.
  // Errors: kDataLoss when they are not there, or the device fails;
  // kUnavailable when nothing of the archive is there; else what
  // the file system says.
  absl::StatusOr<std::string> Read(const std::string& name, uint64_t offset,
                                   uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  static constexpr size_t kFilesMax = 64;

  absl::StatusOr<std::shared_ptr<cache::l2::File>> Open(const std::string& name)
      ABSL_LOCKS_EXCLUDED(mu_);

  const backup::Archive* const archive_;
  cache::Mutex mu_;
  absl::flat_hash_map<std::string, std::shared_ptr<cache::l2::File>> files_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_PACK_FILES_H_
