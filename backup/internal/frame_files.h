// Reads frames from where they lie in packs, through their seal.
#ifndef LARDER_BACKUP_INTERNAL_FRAME_FILES_H_
#define LARDER_BACKUP_INTERNAL_FRAME_FILES_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "backup/internal/frame_places.h"
#include "backup/internal/pack_files.h"
#include "cache/mutex.h"

namespace larder::backup_internal {

// Thread-safe. Borrows `files`. Memory: the last kChunksMax sealed chunks that
// were opened, one more for each caller, each at most
// format::kChunkPayloadBytesMax and typically 1 MiB.
class FrameFiles {
 public:
  explicit FrameFiles(PackFiles* files) : files_(files) {}

  // `bytes` at `offset` of the place. What is sealed is read, checked and
  // opened by whole chunks; what is not is verified by who asks.
  // Errors: kDataLoss: they are not there, or their seal is broken;
  // kFailedPrecondition: no key; those of PackFiles.
  absl::StatusOr<std::string> Read(const FramesPlace& place, uint64_t offset,
                                   uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

  // All of a sealed chunk in the pack `pack`. Errors: as above.
  absl::StatusOr<std::shared_ptr<const std::string>> Open(
      const std::string& pack, const SealedChunk& chunk)
      ABSL_LOCKS_EXCLUDED(mu_);

  PackFiles* files() const { return files_; }

 private:
  static constexpr size_t kChunksMax = 8;

  // A payload that was opened, and what it was found under.
  struct Opened {
    std::string pack;
    uint64_t payload_at = 0;
    std::shared_ptr<const std::string> payload;
  };

  PackFiles* const files_;
  cache::Mutex mu_;
  std::list<Opened> opened_ ABSL_GUARDED_BY(mu_);  // The newest last.
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_FRAME_FILES_H_
