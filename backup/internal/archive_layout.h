// Where things lie in an archive.
#ifndef LARDER_BACKUP_INTERNAL_ARCHIVE_LAYOUT_H_
#define LARDER_BACKUP_INTERNAL_ARCHIVE_LAYOUT_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace larder::backup_internal {

inline constexpr absl::string_view kManifestsName = "manifests";
inline constexpr absl::string_view kPacksName = "packs";
inline constexpr absl::string_view kLockName = "lock";
inline constexpr absl::string_view kManifestSuffix = ".manifest";
// Of dumps that a replica has received in part; one directory each.
inline constexpr absl::string_view kIncomingName = "incoming";
// Of what is read at the moment; one file for each reader.
inline constexpr absl::string_view kLeasesName = "leases";
// Among them: what is being removed.
inline constexpr absl::string_view kPruningName = "pruning";
// How snapshots were found when they were verified last; one file each.
inline constexpr absl::string_view kVerifiedName = "verified";
// Behind kManifestSuffix, until the manifest is whole.
inline constexpr absl::string_view kTemporarySuffix = ".tmp";

inline std::string ManifestsPath(absl::string_view archive) {
  return absl::StrCat(archive, "/", kManifestsName);
}
inline std::string PacksPath(absl::string_view archive) {
  return absl::StrCat(archive, "/", kPacksName);
}
inline std::string IncomingPath(absl::string_view archive) {
  return absl::StrCat(archive, "/", kIncomingName);
}
inline std::string LeasesPath(absl::string_view archive) {
  return absl::StrCat(archive, "/", kLeasesName);
}
inline std::string VerifiedPath(absl::string_view archive) {
  return absl::StrCat(archive, "/", kVerifiedName);
}
inline std::string LockPath(absl::string_view archive) {
  return absl::StrCat(archive, "/", kLockName);
}
inline std::string ManifestPath(absl::string_view archive,
                                absl::string_view snapshot_id) {
  return absl::StrCat(ManifestsPath(archive), "/", snapshot_id,
                      kManifestSuffix);
}
inline std::string PackPath(absl::string_view archive,
                            absl::string_view pack_name) {
  return absl::StrCat(PacksPath(archive), "/", pack_name);
}

}  // namespace larder::backup_internal

#endif  // LARDER_BACKUP_INTERNAL_ARCHIVE_LAYOUT_H_
