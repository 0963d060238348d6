#include "replication/replica_id.h"

#include "replication/random_file.h"

namespace larder::replication {

absl::StatusOr<std::string> OpenReplicaId(cache::l2::FileSystem* file_system,
                                          const std::string& directory) {
  return OpenRandomFile(file_system, directory, "id", kReplicaIdBytes);
}

}  // namespace larder::replication
