// The primary that replication_kill_test kills: changes a cache on a real
// directory, backs it up to two replicas after each step, until then, and says
// on stdout, by a ReplicationReport each, what is done.
//
//   replication_kill_child DIRECTORY SEED STEP TERM ARCHIVE LIVE
//
// STEP: the first one to do. ARCHIVE, LIVE: where replicas listen.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "backup/blob_cache_source.h"
#include "backup/orchestrator.h"
#include "cache/blob_cache.h"
#include "replication/endpoint.h"
#include "replication/grpc_connector.h"
#include "replication/replica_sink.h"
#include "tests/crash/replication_plan.h"

namespace larder::tests {
namespace {

using cache::BlobCache;
using Kind = ReplicationChange::Kind;

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "replication_kill_child: %s\n",
               status.ToString().c_str());
  _exit(1);
}

void Tell(const ReplicationReport& report) {
  if (write(STDOUT_FILENO, &report, sizeof(report)) != sizeof(report)) {
    Check(absl::InternalError("nobody listens"));
  }
}

void Change(BlobCache* cache, const ReplicationChange& change) {
  switch (change.kind) {
    case Kind::kPut:
      return Check(
          cache->Put(change.ns, change.key, change.bytes, {}).status());
    case Kind::kDelete:
      return Check(cache->InvalidateKey(change.ns, change.key).status());
    case Kind::kFlush:
      return Check(cache->FlushNamespace(change.ns).status());
  }
}

// What the last one that was killed left, and what was flushed: else it would
// all pile up, until something has to be evicted for it.
void Sweep(BlobCache* cache) {
  for (bool done = false; !done;) {
    const auto slice = cache->ReclaimOrphansSlice({});
    Check(slice.status());
    done = slice->done;
  }
  for (bool done = false; !done;) {
    const auto slice = cache->SweepTombstonedSlice({});
    Check(slice.status());
    done = slice->done;
  }
}

std::unique_ptr<backup::SnapshotSink> Sink(const std::string& address,
                                           const std::string& lineage,
                                           uint64_t term) {
  const auto endpoint = replication::ParseEndpoint(address);
  Check(endpoint.status());
  auto connector = replication::GrpcConnector::Create({.replica = *endpoint});
  Check(connector.status());
  return replication::ReplicaSink::Create(
      *std::move(connector),
      {.name = address, .lineage = lineage, .term = term});
}

void Work(const std::string& directory, uint64_t seed, uint64_t step,
          uint64_t term, const std::string addresses[2]) {
  auto opened = BlobCache::Open(ReplicationCacheOptions(directory));
  Check(opened.status());
  BlobCache* const cache = opened->get();
  Sweep(cache);
  backup::BackupOrchestrator orchestrator({});
  orchestrator.AddSource(std::make_unique<backup::BlobCacheSource>(
      [cache](const auto& pin) { return cache->TakeSnapshot(pin); },
      backup::BlobCacheSource::Options()));
  for (int i = 0; i < 2; ++i) {
    orchestrator.AddSink(Sink(addresses[i], cache->Stats().l2.lineage, term));
  }
  for (;; ++step) {
    for (const ReplicationChange& change : ReplicationStep(seed, step)) {
      Change(cache, change);
    }
    Tell({.kind = ReplicationReport::Kind::kChanged, .step = step});
    if (cache->Stats().l2.evictions > 0) {
      Check(absl::InternalError("evicted something, with room to spare"));
    }
    const backup::BackupReport done =
        orchestrator.Run({.include_blob_cache = true});
    ReplicationReport report;
    report.kind = ReplicationReport::Kind::kBackedUp;
    report.step = step;
    for (size_t i = 0; i < done.sinks.size(); ++i) {
      const absl::Status& status = done.sinks[i].status;
      if (status.ok()) report.acknowledged |= uint64_t{1} << i;
      if (absl::IsPermissionDenied(status)) report.fenced |= uint64_t{1} << i;
    }
    std::strncpy(report.snapshot_id, done.snapshot_id.c_str(),
                 sizeof(report.snapshot_id) - 1);
    Tell(report);
  }
}

}  // namespace
}  // namespace larder::tests

int main(int argc, char** argv) {
  uint64_t seed = 0, step = 0, term = 0;
  if (argc != 7 || !absl::SimpleAtoi(argv[2], &seed) ||
      !absl::SimpleAtoi(argv[3], &step) || !absl::SimpleAtoi(argv[4], &term)) {
    std::fprintf(stderr,
                 "usage: replication_kill_child DIRECTORY SEED STEP TERM "
                 "ARCHIVE LIVE\n");
    return 2;
  }
  const std::string addresses[] = {argv[5], argv[6]};
  larder::tests::Work(argv[1], seed, step, term, addresses);
  return 1;
}
