#include "backup/internal/leftovers.h"

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backup/format/archive_file.h"
#include "backup/internal/archive_layout.h"
#include "cache/status_macros.h"

namespace larder::backup_internal {

absl::StatusOr<std::vector<std::string>> FindLeftovers(
    const backup::Archive& archive,
    const std::vector<backup::SnapshotEntry>& snapshots) {
  std::vector<std::string> leftovers;
  absl::flat_hash_set<std::string> packs;
  for (const backup::SnapshotEntry& snapshot : snapshots) {
    if (!snapshot.status.ok()) return leftovers;
    for (const auto* of :
         {&snapshot.manifest.packs(), &snapshot.manifest.references()}) {
      for (const auto& pack : *of) packs.insert(pack.name());
    }
  }
  const std::string manifests = ManifestsPath(archive.path());
  LARDER_ASSIGN_OR_RETURN(const std::vector<std::string> manifest_names,
                          archive.file_system()->List(manifests));
  const std::string temporary = absl::StrCat(kManifestSuffix, kTemporarySuffix);
  for (const std::string& name : manifest_names) {
    if (absl::EndsWith(name, temporary)) {
      leftovers.push_back(absl::StrCat(manifests, "/", name));
    }
  }
  LARDER_ASSIGN_OR_RETURN(
      const std::vector<std::string> pack_names,
      archive.file_system()->List(PacksPath(archive.path())));
  for (const std::string& name : pack_names) {
    std::string id;
    if (backup::format::ParsePackName(name, &id) && !packs.contains(name)) {
      leftovers.push_back(archive.PackPath(name));
    }
  }
  return leftovers;
}

bool BackupIsRunning(const backup::Archive& archive) {
  const std::string path = LockPath(archive.path());
  return archive.file_system()->Exists(path) &&
         absl::IsUnavailable(archive.file_system()->Lock(path).status());
}

}  // namespace larder::backup_internal
