// What tells one replica from another, by whatever address it is reached.
#ifndef LARDER_REPLICATION_REPLICA_ID_H_
#define LARDER_REPLICATION_REPLICA_ID_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "cache/l2/file.h"

namespace larder::replication {

// Random, so that no two replicas have the same.
inline constexpr size_t kReplicaIdBytes = 16;

// The id in `directory`, made once, durably, when there is none.
// Errors: kDataLoss: it is damaged; removing the file makes a new one.
absl::StatusOr<std::string> OpenReplicaId(cache::l2::FileSystem* file_system,
                                          const std::string& directory);

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_REPLICA_ID_H_
