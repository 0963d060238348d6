// The files of an archive: the head of a pack, and the manifest's envelope.
//
// Bytes: docs/formats/dump.md, "archive".
#ifndef LARDER_BACKUP_FORMAT_ARCHIVE_FILE_H_
#define LARDER_BACKUP_FORMAT_ARCHIVE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/format/dump.pb.h"

namespace larder::backup::format {

inline constexpr size_t kPackHeadBytes = 40;
inline constexpr size_t kManifestHeadBytes = 40;

// The first bytes of a pack; chunks follow back to back. A plain value.
struct PackHead {
  uint32_t index = 0;  // Within its dump, from 0.
  uint64_t stream_id = 0;
  uint64_t first_sequence = 0;
};
std::string EncodePackHead(const PackHead& head);
// Requires: bytes.size() == kPackHeadBytes.
// Errors: kDataLoss; kFailedPrecondition (a newer version).
absl::StatusOr<PackHead> DecodePackHead(absl::string_view bytes);

std::string EncodeManifest(const Manifest& manifest);
// Checks envelope, checksum, and every field against the limits and each
// other. Errors: kDataLoss; kFailedPrecondition (a newer version).
absl::StatusOr<Manifest> DecodeManifest(absl::string_view bytes);

// Checks what stands in a header, also when it comes by itself.
absl::Status CheckDumpHeader(const DumpHeader& header);

bool IsSnapshotId(absl::string_view id);    // [0-9A-Za-z-]{1,64}
bool IsSourceName(absl::string_view name);  // [a-z0-9_-]{1,64}
std::string PackName(absl::string_view snapshot_id, uint32_t index);
// Whether `name` is one that PackName() makes; then of which snapshot.
bool ParsePackName(absl::string_view name, std::string* snapshot_id);

}  // namespace larder::backup::format

#endif  // LARDER_BACKUP_FORMAT_ARCHIVE_FILE_H_
