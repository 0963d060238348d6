// Reads frames from where a record says that they lie.
#ifndef LARDER_BACKUP_INTERNAL_PACK_FRAMES_H_
#define LARDER_BACKUP_INTERNAL_PACK_FRAMES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "backup/format/dump.pb.h"
#include "cache/l2/file.h"

namespace larder::backup_internal {

// Single-owner. Borrows both. Keeps up to kFilesMax packs open.
class PackFrames {
 public:
  PackFrames(const backup::Archive* archive,
             const backup::format::Manifest* manifest)
      : archive_(archive), manifest_(manifest) {}

  // `bytes` at `offset` of Manifest.references[pack]; whoever asks has their
  // checksum. Requires: bytes <= kFrameBytesMax.
  // Errors: kDataLoss when they are not there; what the file system says.
  absl::StatusOr<std::string> Read(uint32_t pack, uint64_t offset,
                                   uint64_t bytes);

 private:
  static constexpr size_t kFilesMax = 64;

  const backup::Archive* const archive_;
  const backup::format::Manifest* const manifest_;
  absl::flat_hash_map<uint32_t, std::unique_ptr<cache::l2::File>> files_;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_PACK_FRAMES_H_
