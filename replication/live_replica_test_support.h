// A primary and live replicas, each on a disk of its own.
#ifndef LARDER_REPLICATION_LIVE_REPLICA_TEST_SUPPORT_H_
#define LARDER_REPLICATION_LIVE_REPLICA_TEST_SUPPORT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/blob_cache_source.h"
#include "backup/orchestrator.h"
#include "cache/blob.h"
#include "cache/blob_cache.h"
#include "cache/check.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/options.h"
#include "replication/live_l2.h"
#include "replication/live_receiver.h"
#include "replication/loopback.h"
#include "replication/replica_id.h"
#include "replication/replica_service.h"
#include "replication/replica_sink.h"
#include "replication/resume_token.h"
#include "replication/term_store.h"

namespace larder::replication {

inline constexpr char kLiveL2[] = "/data/l2";
// Bytes by (namespace, key).
using LiveModel = std::map<std::pair<std::string, std::string>, std::string>;

inline cache::BlobCacheOptions LiveCacheOptions(cache::Clock* clock,
                                                cache::l2::FileSystem* disk,
                                                uint64_t random_seed) {
  cache::BlobCacheOptions options;
  options.l2_path = kLiveL2;
  options.l1_bytes_max = 1 << 20;
  options.l1_shards = 1;
  options.l2_bytes_max = int64_t{64} << 20;
  options.background_commits = false;
  options.clock = clock;
  options.file_system = disk;
  options.random_seed = random_seed;
  return options;
}

// Single-owner; `clock` is borrowed.
class LiveReplica {
 public:
  explicit LiveReplica(cache::ManualClock* clock,
                       cache::ReplicaL2::DeltaLimits limits = {})
      : clock_(clock), limits_(limits) {}
  ~LiveReplica() { Stop(); }

  absl::Status Start() {
    auto opened = LiveL2::Open({.cache = LiveCacheOptions(clock_, &disk, 1),
                                .delta_limits = limits_,
                                .keys = seal_keys});
    if (!opened.ok()) return opened.status();
    live = *std::move(opened);
    const std::string own =
        KeptDumps::OwnDirectory(LiveL2::StateDirectory(kLiveL2));
    auto opened_terms = TermStore::Open(&disk, own);
    if (!opened_terms.ok()) return opened_terms.status();
    terms = opened_terms->get();
    auto tokens = ResumeTokens::Open(&disk, own);
    if (!tokens.ok()) return tokens.status();
    auto id = OpenReplicaId(&disk, own);
    if (!id.ok()) return id.status();
    service = std::make_unique<ReplicaService>(
        MakeLiveReceiver(live.get()), *std::move(opened_terms),
        *std::move(tokens),
        ReplicaService::Options{.heartbeat_ms = heartbeat_ms,
                                .clock = clock_,
                                .replica_id = *std::move(id)});
    network.SetReplica(service.get());
    return absl::OkStatus();
  }
  void Stop() {
    network.SetReplica(nullptr);
    service.reset();
    live.reset();
  }

  std::unique_ptr<ReplicaSink> Sink(const std::string& lineage,
                                    uint64_t term = 1) {
    return ReplicaSink::Create(
        std::make_unique<LoopbackConnector>(&network, "peer"),
        {.name = "replica",
         .lineage = lineage,
         .term = term,
         .random_seed = 1,
         .clock = clock_,
         .wait = [this](int64_t ms) { clock_->AdvanceMillis(ms); }});
  }

  absl::uint128 digest() const { return live->View()->info().content_digest; }
  // Errors: kNotFound; kUnavailable: nothing was applied.
  absl::StatusOr<std::shared_ptr<const cache::Blob>> Read(
      const std::string& ns, const std::string& key) const {
    const auto newest = live->Newest();
    if (!newest.ok()) return newest.status();
    auto blob = newest->view->Get(ns, key);
    if (blob.ok() && *blob == nullptr) {
      return absl::NotFoundError("no such blob");
    }
    return blob;
  }
  // What a reader is served.
  LiveModel Content(const LiveModel& keys) const {
    LiveModel found;
    for (const auto& [key, bytes] : keys) {
      const auto read = Read(key.first, key.second);
      if (read.ok()) found[key] = std::string((*read)->bytes());
    }
    return found;
  }

  cache::l2::SimulatedDisk disk;
  LoopbackNetwork network;
  int64_t heartbeat_ms = 5'000;
  backup::Archive::Keys seal_keys;  // Of the next Start().
  std::unique_ptr<LiveL2> live;
  std::unique_ptr<ReplicaService> service;
  TermStore* terms = nullptr;  // The service's.

 private:
  cache::ManualClock* const clock_;
  const cache::ReplicaL2::DeltaLimits limits_;
};

// Single-owner; `clock` is borrowed.
class LivePrimary {
 public:
  explicit LivePrimary(cache::ManualClock* clock)
      : LivePrimary(clock, nullptr) {}
  // On the disk `disk`, unless that is null.
  LivePrimary(cache::ManualClock* clock, cache::l2::SimulatedDisk* disk)
      : clock_(clock), disk_(disk != nullptr ? disk : &own_disk_) {
    Open();
  }

  void Open() {
    auto opened = cache::BlobCache::Open(LiveCacheOptions(clock_, disk_, 2));
    LARDER_CHECK(opened.ok());
    cache = *std::move(opened);
  }
  backup::BackupReport Backup(const std::vector<LiveReplica*>& replicas,
                              uint64_t term = 1,
                              backup::BackupRequest request = {}) {
    clock_->AdvanceMillis(1000);
    backup::BackupOrchestrator orchestrator(
        {.clock = clock_, .random_seed = ++seed_, .keys = seal_keys});
    orchestrator.AddSource(std::make_unique<backup::BlobCacheSource>(
        [this](const auto& pin) { return cache->TakeSnapshot(pin); },
        backup::BlobCacheSource::Options()));
    for (LiveReplica* replica : replicas) {
      orchestrator.AddSink(replica->Sink(cache->Stats().l2.lineage, term));
    }
    request.include_blob_cache = true;
    return orchestrator.Run(request);
  }
  absl::uint128 digest() const { return cache->Stats().l2.content_digest; }

  cache::l2::SimulatedDisk* disk() { return disk_; }

  backup::Archive::Keys
      seal_keys;  // Seal what it backs up; null: in the clear.

 private:
  cache::ManualClock* const clock_;
  cache::l2::SimulatedDisk own_disk_;
  cache::l2::SimulatedDisk* const disk_;
  uint64_t seed_ = 0;

 public:
  std::unique_ptr<cache::BlobCache> cache;  // On `disk_`.
};

}  // namespace larder::replication

#endif  // LARDER_REPLICATION_LIVE_REPLICA_TEST_SUPPORT_H_
