#include "backup/verification.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "backup/crypto/hash.h"
#include "backup/format/archive_file.h"
#include "backup/format/message.h"
#include "backup/internal/archive_layout.h"
#include "backup/small_file.h"
#include "cache/status_macros.h"

namespace larder::backup {
namespace {

// Of a verdict that cannot be read, the worst is taken: who asks removes what
// is in the way of what is sound, or builds on it.
bool FoundDamage(
    const absl::StatusOr<std::optional<format::Verification>>& last) {
  return !last.ok() || (last->has_value() && IsDamage(**last));
}

bool IsFoundDamaged(const Archive& archive, const SnapshotEntry& entry) {
  const auto last = ReadVerification(archive, entry.id);
  const bool is_of_another =
      last.ok() && last->has_value() &&
      (*last)->manifest_sha256() != ManifestSha256(entry.manifest);
  return FoundDamage(last) && !is_of_another;
}

}  // namespace

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

bool IsDamage(const format::Verification& verification) {
  return verification.status_code() ==
         static_cast<int>(absl::StatusCode::kDataLoss);
}

KnownDamage::KnownDamage(const Archive& archive,
                         const std::vector<SnapshotEntry>& snapshots)
    : archive_(archive) {
  for (const SnapshotEntry& entry : snapshots) by_id_[entry.id] = &entry;
}

bool KnownDamage::Of(const SnapshotEntry& entry) {
  // Also ends what leads back to itself.
  const auto [it, added] = known_.try_emplace(entry.id, false);
  if (!added) return it->second;
  bool damaged = IsFoundDamaged(archive_, entry);
  const auto add = [&](const std::string& id) {
    if (const auto other = by_id_.find(id); other != by_id_.end()) {
      damaged = Of(*other->second) || damaged;
      return;
    }
    // Removed; packs of it that are referred to are not.
    const auto [removed, unread] = known_.try_emplace(id, false);
    if (unread && !id.empty()) {
      removed->second = FoundDamage(ReadVerification(archive_, id));
    }
    damaged = removed->second || damaged;
  };
  add(entry.manifest.header().base_snapshot_id());
  std::string owner;
  for (const format::Pack& pack : entry.manifest.references()) {
    if (format::ParsePackName(pack.name(), &owner)) add(owner);
  }
  return known_[entry.id] = damaged;
}

}  // namespace larder::backup
