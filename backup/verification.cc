#include "backup/verification.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "backup/crypto/hash.h"
#include "backup/format/message.h"
#include "backup/internal/archive_layout.h"
#include "backup/small_file.h"
#include "cache/status_macros.h"

namespace larder::backup {

absl::Status StoreVerification(const Archive& archive, absl::string_view id,
                               const format::Verification& verification) {
  const std::string directory = backup_internal::VerifiedPath(archive.path());
  LARDER_RETURN_IF_ERROR(
      archive.file_system()->CreatePrivateDirectories(directory));
  return WriteSmallFile(archive.file_system(), directory, id,
                        format::SerializeMessage(verification));
}

absl::StatusOr<std::optional<format::Verification>> ReadVerification(
    const Archive& archive, absl::string_view id) {
  const std::string directory = backup_internal::VerifiedPath(archive.path());
  const auto bytes = ReadSmallFile(archive.file_system(), directory, id);
  if (absl::IsNotFound(bytes.status())) {
    return std::optional<format::Verification>();
  }
  LARDER_RETURN_IF_ERROR(bytes.status());
  format::Verification verification;
  const absl::Status parsed = format::ParseMessage(*bytes, &verification);
  if (parsed.ok()) return std::optional<format::Verification>(verification);
  return absl::Status(parsed.code(),
                      absl::StrCat(directory, "/", id, ": ", parsed.message()));
}

std::string ManifestSha256(const format::Manifest& manifest) {
  return crypto::Sha256(format::SerializeMessage(manifest));
}

bool IsFoundDamaged(const Archive& archive, const SnapshotEntry& entry) {
  const auto last = ReadVerification(archive, entry.id);
  return last.ok() && last->has_value() &&
         (*last)->status_code() ==
             static_cast<int>(absl::StatusCode::kDataLoss) &&
         (*last)->manifest_sha256() == ManifestSha256(entry.manifest);
}

}  // namespace larder::backup
