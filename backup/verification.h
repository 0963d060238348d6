// How the snapshots of an archive were found when they were verified last.
#ifndef LARDER_BACKUP_VERIFICATION_H_
#define LARDER_BACKUP_VERIFICATION_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
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

// Whether it found the snapshot damaged.
bool IsDamage(const format::Verification& verification);

// Which of the snapshots of an archive were found damaged by the last one, as
// they are now: they, what they build on, or a dump whose packs they refer to.
// Single-owner. Borrows both.
class KnownDamage {
 public:
  KnownDamage(const Archive& archive,
              const std::vector<SnapshotEntry>& snapshots);

  // Reads what is stored of `entry`, one of `snapshots`, and of those, once.
  bool Of(const SnapshotEntry& entry);

 private:
  const Archive& archive_;
  absl::flat_hash_map<std::string, const SnapshotEntry*> by_id_;
  absl::flat_hash_map<std::string, bool> known_;
};

// What a verification says which manifest it is of.
std::string ManifestSha256(const format::Manifest& manifest);

}  // namespace larder::backup

#endif  // LARDER_BACKUP_VERIFICATION_H_
