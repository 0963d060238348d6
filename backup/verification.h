// How the snapshots of an archive were found when they were verified last.
#ifndef LARDER_BACKUP_VERIFICATION_H_
#define LARDER_BACKUP_VERIFICATION_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backup/archive.h"
#include "backup/format/dump.pb.h"

namespace larder::backup {

// Replaces what is there of snapshot `id`.
// Errors: what the file system says, as of an archive that cannot be written.
absl::Status StoreVerification(const Archive& archive, absl::string_view id,
                               const format::Verification& verification);

// Nothing: it was never verified.
// Errors: kDataLoss (damaged), kFailedPrecondition (of a newer version), what
// the file system says.
absl::StatusOr<std::optional<format::Verification>> ReadVerification(
    const Archive& archive, absl::string_view id);

// Whether the last one found damage in `entry`, as it is now.
bool IsFoundDamaged(const Archive& archive, const SnapshotEntry& entry);

// What a verification says which manifest it is of.
std::string ManifestSha256(const format::Manifest& manifest);

}  // namespace larder::backup

#endif  // LARDER_BACKUP_VERIFICATION_H_
