// A replica in a process of its own, and the way to it.
#ifndef LARDER_BENCH_BACKUP_REPLICA_CHILD_H_
#define LARDER_BENCH_BACKUP_REPLICA_CHILD_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backup/sink.h"
#include "bench/child.h"
#include "replication/endpoint.h"

namespace larder::bench {

// Starts one for the archive `dir`. Its line is its endpoint.
absl::StatusOr<std::unique_ptr<ServingChild>> StartReplica(
    const std::string& dir);

absl::StatusOr<std::unique_ptr<backup::SnapshotSink>> SinkTo(
    const replication::Endpoint& replica);

// The child that StartReplica() starts. Returns: its exit code.
int RunReplicaChild(const std::string& dir);

}  // namespace larder::bench

#endif  // LARDER_BENCH_BACKUP_REPLICA_CHILD_H_
