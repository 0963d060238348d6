// Writes the chunks of one dump into packs.
#ifndef LARDER_BACKUP_INTERNAL_PACK_WRITER_H_
#define LARDER_BACKUP_INTERNAL_PACK_WRITER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "cache/l2/file.h"

namespace larder::backup_internal {

// Single-owner. After an error of Append(), Sync() or Close() it is of no more
// use: what was written may be any part.
class PackWriter {
 public:
  struct Options {
    cache::l2::FileSystem* file_system = nullptr;  // Borrowed.
    std::string directory;                         // Of the packs.
    std::string snapshot_id;
    uint32_t first_index = 0;  // Of the first pack.
    uint64_t stream_id = 0;
    int64_t pack_bytes = 0;  // A pack is closed before it grows beyond.
    bool sync = true;
  };
  // Told each chunk that is still there; refuses it when not OK.
  using ChunkFn = std::function<absl::Status(const backup::format::ChunkHeader&,
                                             absl::string_view bytes)>;

  explicit PackWriter(Options options) : options_(std::move(options)) {}

  // Goes on where an earlier writer, which may have died at any moment, left
  // off: finds the chunks from 0 on that are whole, cuts off and removes
  // everything behind them, and syncs. Requires: nothing was appended.
  // Errors: what the file system says; damage only ends what is there.
  absl::Status Recover(const ChunkFn& chunk);

  absl::Status Append(const backup::format::Chunk& chunk);
  // Makes everything appended durable, and its packs' names.
  absl::Status Sync();
  // Completes the last pack and syncs it, not its name.
  absl::Status Close();

  // The last one lacks its checksum until Close().
  const std::vector<backup::format::Pack>& packs() const { return packs_; }
  // Paths of all packs that may be there.
  const std::vector<std::string>& paths() const { return paths_; }

 private:
  absl::Status OpenPack(uint64_t first_sequence);
  absl::Status Write(absl::string_view bytes);
  // Takes the pack `name` over as far as it is whole. Returns: whether all of
  // it is, so that the next one may follow.
  absl::StatusOr<bool> RecoverPack(const std::string& name,
                                   const ChunkFn& chunk);
  absl::StatusOr<bool> RecoverChunk(const ChunkFn& chunk);
  uint64_t next_sequence() const;

  const Options options_;
  std::vector<backup::format::Pack> packs_;
  std::vector<std::string> paths_;
  std::unique_ptr<cache::l2::File> file_;          // Of the last pack.
  backup::format::StreamingChecksum128 checksum_;  // Of `file_`.
  bool names_synced_ = true;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_PACK_WRITER_H_
