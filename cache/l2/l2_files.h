// The files of one L2 directory.
#ifndef LARDER_CACHE_L2_L2_FILES_H_
#define LARDER_CACHE_L2_L2_FILES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cache/l2/file.h"

namespace larder::cache::l2 {

// LOCK       held by the one process
// meta       superblocks and tree pages
// blobs      chains
// space      allocation maps of both
// journal-0, journal-1   invalidations that no commit holds yet
struct L2Files {
  std::unique_ptr<FileLock> lock;
  std::unique_ptr<File> meta;
  std::shared_ptr<File> blobs;  // Shared with Hits that show its bytes.
  std::unique_ptr<File> space;
  std::unique_ptr<File> journal[2];
};

// Opens and locks the directory `path`.
// `create`: make what is missing; else kNotFound.
// Errors: kFailedPrecondition when `path` is no directory, or holds something
// else than an L2; kUnavailable when locked.
absl::StatusOr<L2Files> OpenL2Files(FileSystem* fs, const std::string& path,
                                    bool create, uint64_t l2_bytes_max);

}  // namespace larder::cache::l2

#endif  // LARDER_CACHE_L2_L2_FILES_H_
