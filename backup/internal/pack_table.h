// Reads single chunks of a dump, in any order.
#ifndef LARDER_BACKUP_INTERNAL_PACK_TABLE_H_
#define LARDER_BACKUP_INTERNAL_PACK_TABLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/archive.h"
#include "backup/cancellation.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/format/dump_seal.h"
#include "backup/internal/pack_files.h"

namespace larder::backup_internal {

// A chunk, or some that cannot be read, and where.
struct TableEntry {
  bool is_gap = false;
  backup::format::ChunkHeader header;  // Of a chunk.
  uint64_t payload_at = 0;
  absl::Status reason;  // Of a gap.
};

// What one pack holds of one source, in order: headers only.
struct PackTable {
  std::vector<TableEntry> entries;
  std::vector<size_t> records;  // Those of Records chunks.
};

// Tables of the packs of a dump, made when they are asked for. To make one
// takes a read of 64 bytes for each chunk of the pack, a hundred or so.
//
// Single-owner. Borrows all; `cancellation` may be null. Memory: kTablesMax
// tables, of 150 bytes for each chunk.
class PackTables {
 public:
  PackTables(const backup::Archive* archive,
             const backup::format::Manifest* manifest, uint16_t source,
             PackFiles* files, const backup::Cancellation* cancellation)
      : archive_(archive),
        manifest_(manifest),
        source_(source),
        files_(files),
        cancellation_(cancellation),
        seal_(archive->SealOf(*manifest)) {}

  int packs() const { return manifest_->packs_size(); }

  // Errors: what PackStream says; damage is none, but gaps.
  absl::StatusOr<std::shared_ptr<const PackTable>> Table(int pack);

  // The payload of a chunk, verified and decoded.
  // Errors: kDataLoss naming file and offset; kFailedPrecondition without the
  // key; what the file system says.
  absl::StatusOr<std::string> Payload(int pack, const TableEntry& entry);
  // `bytes` of it as stored, which nothing verifies. Requires: seal() is none.
  absl::StatusOr<std::string> Stored(int pack, const TableEntry& entry,
                                     uint64_t offset, uint64_t bytes);

  const backup::format::DumpSeal& seal() const { return seal_; }
  const std::string& PackName(int pack) const {
    return manifest_->packs(pack).name();
  }

 private:
  static constexpr size_t kTablesMax = 64;

  const backup::Archive* const archive_;
  const backup::format::Manifest* const manifest_;
  const uint16_t source_;
  PackFiles* const files_;
  const backup::Cancellation* const cancellation_;
  const backup::format::DumpSeal seal_;
  absl::flat_hash_map<int, std::shared_ptr<const PackTable>> tables_;
};

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_PACK_TABLE_H_
