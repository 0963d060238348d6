// A replica on a simulated disk, and dumps for it.
#ifndef LARDER_REPLICATION_REPLICA_TEST_SUPPORT_H_
#define LARDER_REPLICATION_REPLICA_TEST_SUPPORT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "backup/archive.h"
#include "backup/archive_test_support.h"
#include "backup/fake_snapshot.h"
#include "backup/recorded_dump.h"
#include "backup/verify.h"
#include "cache/check.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "replication/archive_receiver.h"
#include "replication/loopback.h"
#include "replication/replica_id.h"
#include "replication/replica_service.h"
#include "replication/replica_sink.h"
#include "replication/resume_token.h"
#include "replication/term_store.h"

namespace larder::replication {

inline constexpr char kTestArchive[] = "/archive";
inline constexpr int64_t kTestUnixMillis = 1'700'000'000'000;

inline absl::StatusOr<std::unique_ptr<ReplicaService>> OpenTestReplica(
    cache::l2::SimulatedDisk* disk, ReplicaService::Options options,
    int64_t pack_bytes = 20'000) {
  auto receiver = ArchiveReceiver::Open(
      kTestArchive, {.pack_bytes = pack_bytes, .file_system = disk});
  if (!receiver.ok()) return receiver.status();
  const std::string own = ArchiveReceiver::OwnDirectory(kTestArchive);
  auto terms = TermStore::Open(disk, own);
  if (!terms.ok()) return terms.status();
  auto tokens = ResumeTokens::Open(disk, own);
  if (!tokens.ok()) return tokens.status();
  auto id = OpenReplicaId(disk, own);
  if (!id.ok()) return id.status();
  options.replica_id = *std::move(id);
  return std::make_unique<ReplicaService>(
      *std::move(receiver), *std::move(terms), *std::move(tokens), options);
}

// Disk, clock, network and replica. Single-owner.
class TestReplica {
 public:
  TestReplica() { Start(); }
  ~TestReplica() { network.SetReplica(nullptr); }

  void Start() {
    auto opened = OpenTestReplica(&disk, options());
    LARDER_CHECK(opened.ok());
    service = *std::move(opened);
    network.SetReplica(service.get());
  }
  void Stop() {
    network.SetReplica(nullptr);
    service.reset();
  }
  // kill -9, and a new process.
  void Kill() {
    Die();
    disk.KillProcess();
    Start();
  }
  void CutPower(uint64_t seed) {
    Die();
    disk.PowerCut(seed);
    Start();
  }

  ReplicaService::Options options() {
    ReplicaService::Options result = service_options;
    result.clock = &clock;
    return result;
  }
  std::unique_ptr<ReplicaSink> Sink(ReplicaSink::Options sink_options,
                                    const std::string& peer = "peer") {
    sink_options.name = "loopback";
    sink_options.lineage = "lineage";
    sink_options.clock = &clock;
    sink_options.random_seed = 1;
    // A wait is over at once: its time passes.
    if (sink_options.wait == nullptr) {
      sink_options.wait = [this](int64_t ms) { clock.AdvanceMillis(ms); };
    }
    return ReplicaSink::Create(
        std::make_unique<LoopbackConnector>(&network, peer),
        std::move(sink_options));
  }

  std::vector<backup::SnapshotEntry> List() {
    const auto archive = backup::Archive::Open(kTestArchive, &disk);
    if (!archive.ok()) return {};
    return *archive->List();
  }
  // Everything in the archive is whole, and nothing else is there.
  absl::Status Verify() {
    const auto report =
        backup::VerifyArchive(*backup::Archive::Open(kTestArchive, &disk), {});
    if (!report.ok()) return report.status();
    if (report->leftover_files > 0) return absl::InternalError("leftovers");
    return report->status;
  }

  // Nothing that it does from here on reaches the disk.
  void Die() {
    disk.SetHook([](const auto&) { return absl::InternalError("dead"); });
    Stop();
    disk.SetHook(nullptr);
  }

  ReplicaService::Options service_options;
  cache::l2::SimulatedDisk disk;
  cache::ManualClock clock{kTestUnixMillis};
  LoopbackNetwork network;
  std::unique_ptr<ReplicaService> service;
};

// A dump of about `count` times `bytes`, which does not compress.
inline backup::RecordedDump MakeDump(int count, size_t bytes,
                                     uint64_t seed = 1) {
  backup::FakeCache cache = backup::MakeFakeCache(count, bytes);
  backup::TestBackupOptions options;
  options.random_seed = seed;
  return backup::RecordDump(&cache, std::move(options));
}

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_REPLICA_TEST_SUPPORT_H_
