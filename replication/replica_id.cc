#include "replication/replica_id.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "backup/crypto/random.h"
#include "backup/small_file.h"
#include "cache/status_macros.h"

namespace larder::replication {
namespace {

constexpr absl::string_view kIdName = "id";

}  // namespace

absl::StatusOr<std::string> OpenReplicaId(cache::l2::FileSystem* file_system,
                                          const std::string& directory) {
  absl::StatusOr<std::string> id =
      backup::ReadSmallFile(file_system, directory, kIdName);
  if (absl::IsNotFound(id.status())) {
    id = backup::crypto::RandomBytes(kReplicaIdBytes);
    LARDER_RETURN_IF_ERROR(id.status());
    LARDER_RETURN_IF_ERROR(
        backup::WriteSmallFile(file_system, directory, kIdName, *id));
  }
  LARDER_RETURN_IF_ERROR(id.status());
  if (id->size() != kReplicaIdBytes) {
    return absl::DataLossError(absl::StrCat(directory, "/", kIdName, ": ",
                                            id->size(), " bytes vs ",
                                            kReplicaIdBytes));
  }
  return id;
}

}  // namespace larder::replication
