#include "replication/replica_sink.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backup/blob_cache_source.h"
#include "backup/cancellation.h"
#include "backup/fake_snapshot.h"
#include "backup/format/limits.h"
#include "backup/orchestrator.h"
#include "backup/recorded_dump.h"
#include "cache/check.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replication/claimed_replicas.h"
#include "replication/cuts_at_work.h"
#include "replication/loopback.h"
#include "replication/replica_test_support.h"
#include "replication/replication.pb.h"

namespace larder::replication {
namespace {

using backup::RecordedDump;
using backup::Replay;
using cache::l2::SimulatedDisk;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

int64_t DumpBytes(const RecordedDump& dump) {
  return static_cast<int64_t>(dump.bytes());
}

void ExpectPublished(TestReplica* replica, size_t snapshots = 1) {
  EXPECT_THAT(replica->List(), SizeIs(snapshots));
  EXPECT_TRUE(replica->Verify().ok()) << replica->Verify();
  StatusReply status;
  ASSERT_TRUE(replica->service->GetStatus(&status).ok());
  EXPECT_EQ(status.transfers_kept(), 0u);
}

TEST(ReplicaSinkTest, GivesADumpAsItIs) {
  const RecordedDump dump = MakeDump(40, 3000);
  TestReplica replica;
  const auto sink = replica.Sink({});
  const auto receipt = Replay(dump, sink.get());
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  ExpectPublished(&replica);
  EXPECT_EQ(receipt->bytes_written, replica.List()[0].bytes);
  EXPECT_EQ(receipt->packs, replica.List()[0].manifest.packs_size());
  EXPECT_GT(receipt->packs, 3);
  EXPECT_EQ(sink->counts().bytes_sent, DumpBytes(dump));
  EXPECT_EQ(sink->counts().connections, 1);
  // And the next one, over a new connection.
  ASSERT_TRUE(Replay(MakeDump(3, 100, 2), sink.get()).ok());
  ExpectPublished(&replica, 2);
}

// A whole backup of the cache to the replica, at a time of its own.
backup::BackupReport BackUp(backup::FakeCache* cache, TestReplica* replica,
                            uint64_t seed, const std::string& base_id = "") {
  cache::ManualClock clock(kTestUnixMillis + static_cast<int64_t>(seed));
  backup::BackupOrchestrator orchestrator(
      {.clock = &clock, .random_seed = seed});
  orchestrator.AddSource(std::make_unique<backup::BlobCacheSource>(
      cache->Taker(), backup::BlobCacheSource::Options()));
  orchestrator.AddSink(replica->Sink({}));
  backup::BackupRequest request;
  request.include_blob_cache = true;
  request.base_id = base_id;
  return orchestrator.Run(request);
}

// The replica says what it has; the next backup sends what changed since.
TEST(ReplicaSinkTest, GetsADeltaOnWhatItHas) {
  backup::FakeCache cache = backup::MakeFakeCache(40, 1000);
  TestReplica replica;
  const auto run = [&](uint64_t seed, const std::string& base_id = "") {
    return BackUp(&cache, &replica, seed, base_id);
  };
  const backup::BackupReport full = run(1);
  ASSERT_EQ(full.outcome, backup::Outcome::kOk) << full.status;
  EXPECT_THAT(full.sinks[0].base_snapshot_id, IsEmpty());
  ++cache.info.epoch;
  cache.Put("pages", "new", "value", cache.info.complete_through.value + 1);
  const backup::BackupReport delta = run(2);
  ASSERT_EQ(delta.outcome, backup::Outcome::kOk) << delta.status;
  EXPECT_EQ(delta.sinks[0].base_snapshot_id, full.snapshot_id);
  EXPECT_LT(delta.bytes_sent, full.bytes_sent / 10);
  const backup::BackupReport again = run(3, full.snapshot_id);
  ASSERT_EQ(again.outcome, backup::Outcome::kOk) << again.status;
  EXPECT_EQ(again.sinks[0].base_snapshot_id, full.snapshot_id);
  EXPECT_TRUE(absl::IsNotFound(run(4, "absent").status));
  ExpectPublished(&replica, 3);
  EXPECT_EQ(replica.List()[1].deltas, 1);
}

// The replica folds the chain before it acknowledges the delta that fills it:
// what it has then is of another stream, and still the dump that was sent.
TEST(ReplicaSinkTest, AnAckOfAFoldedDumpThatGotLostIsGivenAgain) {
  backup::FakeCache cache = backup::MakeFakeCache(40, 1000);
  TestReplica replica;
  const auto run = [&](uint64_t seed) {
    const backup::BackupReport report = BackUp(&cache, &replica, seed);
    ++cache.info.epoch;
    cache.Put("pages", absl::StrCat("new ", seed), "value",
              cache.info.complete_through.value + seed);
    return report;
  };
  std::atomic<int> lost = 0;
  replica.network.on_reply = [&](const TransferReply& reply) {
    if (!reply.has_ack()) return Fate::kArrives;
    ++lost;
    return Fate::kCut;
  };
  const size_t full = 1 + backup::format::kDeltasPerChainMax;
  for (uint64_t seed = 1; seed <= full + 1; ++seed) {
    SCOPED_TRACE(absl::StrCat("backup ", seed));
    const backup::BackupReport report = run(seed);
    ASSERT_EQ(report.outcome, backup::Outcome::kOk)
        << report.status << report.sinks[0].status;
    EXPECT_EQ(report.sinks[0].base_snapshot_id.empty(), seed == 1);
  }
  EXPECT_EQ(lost, full + 1);
  ExpectPublished(&replica, full + 1);
  EXPECT_GT(replica.List()[full - 1].manifest.references_size(), 0);
  EXPECT_EQ(replica.List()[full].deltas, 1);
}

TEST(ReplicaSinkTest, KeepsItsSpoolBounded) {
  const RecordedDump dump = MakeDump(60, 3000);
  TestReplica replica;
  const auto sink = replica.Sink({.spool_bytes_max = 10'000});
  ASSERT_TRUE(Replay(dump, sink.get()).ok());
  EXPECT_LE(sink->counts().spool_bytes_peak, 10'000);
  EXPECT_GT(DumpBytes(dump), 100'000);
  ExpectPublished(&replica);
  // A chunk above the bound passes all the same.
  const RecordedDump next = MakeDump(5, 3000, 2);
  ASSERT_TRUE(Replay(next, replica.Sink({.spool_bytes_max = 1}).get()).ok());
  ExpectPublished(&replica, 2);
}

// Every message in turn, of the client and of the replica, meets its fate.
TEST(ReplicaSinkTest, ACutAtAnyMessageCostsOnlyWhatWasUnderWay) {
  const RecordedDump dump = MakeDump(6, 800);
  int64_t most = 0;
  for (const auto& chunk : dump.chunks) {
    most = std::max(most, static_cast<int64_t>(chunk->bytes.size()));
  }
  for (const Fate fate : {Fate::kCut, Fate::kHalfOpen}) {
    for (const bool of_client : {true, false}) {
      for (int at = 0;; ++at) {
        SCOPED_TRACE(absl::StrCat("message ", at, of_client ? " to" : " from",
                                  " the replica, fate ",
                                  static_cast<int>(fate)));
        TestReplica replica;
        std::atomic<int> messages = 0;
        const auto meet = [&](const auto&) {
          return messages++ == at ? fate : Fate::kArrives;
        };
        if (of_client) {
          replica.network.on_request = meet;
        } else {
          replica.network.on_reply = meet;
        }
        // Small enough for syncs to come in.
        const auto sink = replica.Sink({.spool_bytes_max = 3000});
        const auto receipt = Replay(dump, sink.get());
        ASSERT_TRUE(receipt.ok()) << receipt.status();
        ExpectPublished(&replica);
        EXPECT_LE(sink->counts().connections, 2);
        // What was sent, and not yet received: bounded by the window, and by
        // the spool.
        EXPECT_LE(sink->counts().bytes_sent, DumpBytes(dump) + 3000 + most);
        if (messages <= at || testing::Test::HasFailure()) break;
      }
    }
  }
}

// Time passes by each look at it.
class HastyClock : public cache::Clock {
 public:
  int64_t NowUnixMillis() const override { return kTestUnixMillis; }
  int64_t NowSteadyNanos() const override { return nanos_ += 500'000'000; }

 private:
  mutable std::atomic<int64_t> nanos_ = 0;
};

TEST(ReplicaSinkTest, SilenceCountsAsACut) {
  const RecordedDump dump = MakeDump(3, 300);
  for (const bool of_client : {true, false}) {
    for (int at = 0; at < 4; ++at) {
      SCOPED_TRACE(absl::StrCat("message ", at, of_client ? " to" : " from"));
      TestReplica replica;
      HastyClock clock;
      LoopbackNetwork* const network = &replica.network;
      std::atomic<int> messages = 0;
      const auto meet = [&](const auto&) {
        return messages++ == at ? Fate::kLost : Fate::kArrives;
      };
      if (of_client) {
        network->on_request = meet;
      } else {
        network->on_reply = meet;
      }
      const auto sink = ReplicaSink::Create(
          std::make_unique<LoopbackConnector>(network, "peer"),
          {.spool_bytes_max = 400,
           .give_up_ms = 1'000'000,
           .give_up_at_first_ms = 1'000'000,
           .silence_ms_max = 1500,
           .random_seed = 1,
           .clock = &clock,
           .wait = [](int64_t) {}});
      const auto receipt = Replay(dump, sink.get());
      ASSERT_TRUE(receipt.ok()) << receipt.status();
      ExpectPublished(&replica);
    }
  }
}

TEST(ReplicaSinkTest, AHundredCutsCostLessThanATenth) {
  // Chunks of about 1 MiB, as in real dumps.
  backup::FakeCache cache;
  cache.make_frame = [](size_t i) { return backup::RandomBytes(i, 1 << 18); };
  for (int i = 0; i < 16; ++i) {
    cache.PutGenerated("ns", absl::StrCat("key", i), 16, 1 << 18);
  }
  backup::TestBackupOptions options;
  options.source = {};
  const RecordedDump dump = backup::RecordDump(&cache, std::move(options));
  ASSERT_GT(DumpBytes(dump), 64 << 20);
  TestReplica replica;
  std::mt19937_64 random(7);
  std::multiset<int64_t> cuts;
  for (int i = 0; i < 100; ++i) {
    cuts.insert(static_cast<int64_t>(random() % dump.bytes()));
  }
  int64_t passed = 0;
  replica.network.on_request = [&](const TransferRequest& request) {
    passed += static_cast<int64_t>(request.piece().data().size());
    if (cuts.empty() || passed < *cuts.begin()) return Fate::kArrives;
    cuts.erase(cuts.begin());
    return Fate::kCut;
  };
  const auto sink = replica.Sink({});
  const auto receipt = Replay(dump, sink.get());
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_THAT(cuts, IsEmpty());
  EXPECT_EQ(sink->counts().connections, 101);
  EXPECT_LT(static_cast<double>(sink->counts().bytes_sent),
            1.1 * static_cast<double>(DumpBytes(dump)));
  EXPECT_LE(sink->counts().spool_bytes_peak, 32 << 20);
  ExpectPublished(&replica);
}

TEST(ReplicaSinkTest, TheReplicaIsKilledAgainAndAgain) {
  const RecordedDump dump = MakeDump(40, 2000);
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    TestReplica replica;
    std::mt19937_64 random(seed);
    int kills = 0;
    replica.network.on_request = [&](const TransferRequest&) {
      if (random() % 15 != 0) return Fate::kArrives;
      // It dies of what it did. A client that is quicker than its replica could
      // otherwise have it killed for ever before it does a thing.
      replica.network.AwaitIdle();
      ++kills;
      if (random() % 2 == 0) {
        replica.Kill();
      } else {
        replica.CutPower(random());
      }
      return Fate::kCut;
    };
    const auto sink = replica.Sink({.spool_bytes_max = 20'000});
    const auto receipt = Replay(dump, sink.get());
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    EXPECT_GT(kills, 3);
    ExpectPublished(&replica);
  }
}

TEST(ReplicaSinkTest, APowerCutThatCostsUnsyncedBytesIsMadeGoodFromTheSpool) {
  const RecordedDump dump = MakeDump(20, 2000);
  TestReplica replica;
  int64_t passed = 0;
  bool cut = false;
  replica.network.on_request = [&](const TransferRequest& request) {
    passed += static_cast<int64_t>(request.piece().data().size());
    if (cut || passed < 30'000) return Fate::kArrives;
    cut = true;
    replica.CutPower(3);
    return Fate::kCut;
  };
  const auto sink = replica.Sink({.spool_bytes_max = 1 << 20});
  ASSERT_TRUE(Replay(dump, sink.get()).ok());
  EXPECT_TRUE(cut);
  EXPECT_GT(sink->counts().bytes_sent, DumpBytes(dump) + 15'000);
  ExpectPublished(&replica);
}

TEST(ReplicaSinkTest, AnExpiredTransferBeginsAnewWhileAllOfItIsInTheSpool) {
  const RecordedDump dump = MakeDump(10, 1000);
  for (const int64_t spool : {int64_t{1} << 20, int64_t{3000}}) {
    TestReplica replica;
    int pieces = 0;
    bool expired = false;
    replica.network.on_request = [&](const TransferRequest& request) {
      if (request.has_piece()) {
        return pieces++ == 8 ? Fate::kCut : Fate::kArrives;
      }
      if (request.has_hello() && pieces > 8 && !expired) {
        expired = true;
        replica.clock.AdvanceMillis(4'000'000);
        LARDER_CHECK(replica.service->RemoveExpired().ok());
      }
      return Fate::kArrives;
    };
    const auto sink =
        replica.Sink({.spool_bytes_max = spool, .give_up_ms = 8'000'000});
    const auto receipt = Replay(dump, sink.get());
    if (spool > DumpBytes(dump)) {
      EXPECT_TRUE(receipt.ok()) << receipt.status();
      ExpectPublished(&replica);
      continue;
    }
    EXPECT_EQ(receipt.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(receipt.status().message()),
                HasSubstr("keeps nothing of the transfer"));
    EXPECT_THAT(replica.List(), IsEmpty());
  }
}

TEST(ReplicaSinkTest, AFencedPrimaryStopsAtOnce) {
  const RecordedDump dump = MakeDump(10, 1000);
  TestReplica replica;
  const auto promoted = replica.Sink({.term = 2}, "promoted");
  int pieces = 0;
  bool promote = false;
  replica.network.on_request = [&](const TransferRequest& request) {
    promote = request.has_piece() && ++pieces == 6;
    return Fate::kArrives;
  };
  const auto old = replica.Sink({.term = 1});
  ASSERT_TRUE(old->Begin(dump.header).ok());
  absl::Status status;
  for (const auto& chunk : dump.chunks) {
    if (status.ok()) status = old->Append(chunk);
    if (promote) {
      promote = false;
      ASSERT_TRUE(Replay(MakeDump(3, 100, 2), promoted.get()).ok());
    }
  }
  if (status.ok()) status = old->Finish(dump.manifest).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("term 1 vs 2"));
  const int64_t connections = old->counts().connections;
  EXPECT_LE(connections, 2);
  old->Abort();
  EXPECT_EQ(old->Begin(dump.header).code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(old->counts().connections, connections + 1);  // Not tried again.
  ExpectPublished(&replica);
}

TEST(ReplicaSinkTest, AFullDiskEndsTheDumpAndIsGivenBack) {
  const RecordedDump dump = MakeDump(30, 3000);
  TestReplica replica;
  ASSERT_TRUE(Replay(MakeDump(3, 100, 2), replica.Sink({}).get()).ok());
  const uint64_t before = replica.disk.allocated_bytes();
  replica.disk.SetCapacityBytes(before + 40'000);
  const auto sink = replica.Sink({});
  const absl::Status status = Replay(dump, sink.get()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(sink->counts().connections, 1);
  ExpectPublished(&replica);
  EXPECT_THAT(*replica.disk.List("/archive/incoming"),
              ElementsAre("replica.d"));
  replica.disk.SetCapacityBytes(before + 1'000'000);
  EXPECT_TRUE(Replay(dump, sink.get()).ok());
  ExpectPublished(&replica, 2);
}

TEST(ReplicaSinkTest, AFailureAtAnyOperationOfTheReplicaLeavesItSound) {
  const RecordedDump dump = MakeDump(6, 800);
  for (uint64_t at = 0;; ++at) {
    SCOPED_TRACE(absl::StrCat("operation ", at));
    TestReplica replica;
    const uint64_t before = replica.disk.operation_count();
    replica.disk.InjectFault(before + at, SimulatedDisk::Fault::Fail(EIO));
    const auto sink = replica.Sink({.spool_bytes_max = 3000});
    const bool given = Replay(dump, sink.get()).ok();
    if (replica.disk.operation_count() <= before + at) break;
    EXPECT_TRUE(replica.Verify().ok()) << replica.Verify();
    EXPECT_EQ(replica.List().size(), given ? 1u : 0u);
    // It is as good as new.
    ASSERT_TRUE(Replay(MakeDump(3, 100, 2), replica.Sink({}).get()).ok());
    replica.clock.AdvanceMillis(4'000'000);
    ASSERT_TRUE(replica.service->RemoveExpired().ok());
    ExpectPublished(&replica, given ? 2 : 1);
    if (testing::Test::HasFailure()) break;
  }
}

TEST(ReplicaSinkTest, GivesUpOnAReplicaThatIsAway) {
  const RecordedDump dump = MakeDump(10, 1000);
  TestReplica replica;
  std::vector<int64_t> waits;
  const auto wait = [&](int64_t ms) {
    waits.push_back(ms);
    replica.clock.AdvanceMillis(ms);
  };
  replica.network.SetReplica(nullptr);
  const auto sink = replica.Sink({.wait = wait});
  const absl::Status status = sink->Begin(dump.header);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no progress for"));
  // 50 ms, doubled each time, plus or minus a quarter; others wait meanwhile.
  ASSERT_THAT(waits, SizeIs(testing::AllOf(testing::Ge(5u), testing::Le(7u))));
  for (size_t i = 0; i < waits.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(waits[i]),
                50.0 * static_cast<double>(1 << i),
                12.5 * static_cast<double>(1 << i));
  }
  // In the middle, it has longer.
  waits.clear();
  sink->Abort();
  replica.network.SetReplica(replica.service.get());
  ASSERT_TRUE(sink->Begin(dump.header).ok());
  ASSERT_TRUE(sink->Append(dump.chunks[0]).ok());
  replica.network.SetReplica(nullptr);
  EXPECT_EQ(sink->Append(dump.chunks[1]).code(),
            absl::StatusCode::kUnavailable);
  int64_t waited = 0;
  for (const int64_t ms : waits) waited += ms;
  EXPECT_GE(waited, 45'000);
  EXPECT_LE(waited, 45'000 + 6'250);
  sink->Abort();
}

// Not even a refusal comes back: each attempt ends by silence alone. Wherever
// that begins, also within a chunk of which the replica has a part on its disk.
TEST(ReplicaSinkTest, GivesUpInTimeOnAReplicaThatIsSilent) {
  // Chunks of about 1 MiB, as in real dumps: of some pieces each.
  backup::FakeCache cache;
  cache.make_frame = [](size_t i) { return backup::RandomBytes(i, 1 << 18); };
  cache.PutGenerated("ns", "key", 32, 1 << 18);
  backup::TestBackupOptions options;
  options.source = {};
  const RecordedDump dump = backup::RecordDump(&cache, std::move(options));
  for (const int arrive : {2, 3, 4, 7, 10}) {
    SCOPED_TRACE(absl::StrCat(arrive, " messages arrive"));
    TestReplica replica;
    HastyClock clock;
    std::atomic<int> messages = 0;
    replica.network.on_request = [&](const auto&) {
      return messages++ < arrive ? Fate::kArrives : Fate::kLost;
    };
    const auto sink = ReplicaSink::Create(
        std::make_unique<LoopbackConnector>(&replica.network, "peer"),
        {.spool_bytes_max = 1 << 20,
         .random_seed = 1,
         .clock = &clock,
         .wait = [](int64_t) {}});
    ASSERT_TRUE(sink->Begin(dump.header).ok());
    absl::Status status;
    int64_t since = 0;
    for (size_t i = 0; status.ok() && i < dump.chunks.size(); ++i) {
      since = clock.NowSteadyNanos();
      status = sink->Append(dump.chunks[i]);
    }
    const int64_t took_ms = (clock.NowSteadyNanos() - since) / 1'000'000;
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_GE(took_ms, 45'000);
    // The last attempt may take 5 s, and each look at the clock half a second.
    EXPECT_LE(took_ms, 45'000 + 5'000 + 6'000);
    messages = 0;
    sink->Abort();
  }
}

// The connection comes about, and then nobody answers: others wait for that.
TEST(ReplicaSinkTest, GivesUpEarlyOnAReplicaThatDoesNotAnswerHello) {
  const RecordedDump dump = MakeDump(10, 1000);
  TestReplica replica;
  HastyClock clock;
  std::atomic<int> hellos = 0;
  replica.network.on_request = [&](const TransferRequest& request) {
    hellos += request.has_hello() ? 1 : 0;
    return Fate::kLost;
  };
  const auto sink = ReplicaSink::Create(
      std::make_unique<LoopbackConnector>(&replica.network, "peer"),
      {.random_seed = 1, .clock = &clock, .wait = [](int64_t) {}});
  const int64_t since = clock.NowSteadyNanos();
  const absl::Status status = sink->Begin(dump.header);
  const int64_t took_ms = (clock.NowSteadyNanos() - since) / 1'000'000;
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(hellos, 1);
  EXPECT_GE(took_ms, 5'000);
  // Each look at the clock takes half a second.
  EXPECT_LE(took_ms, 5'000 + 3'000);
}

// It says that it is at work, over all cuts, and never gets done.
TEST(ReplicaSinkTest, GivesUpOnAReplicaThatIsAtWorkForTooLong) {
  const RecordedDump dump = MakeDump(10, 1000);
  TestReplica replica;
  replica.Stop();
  replica.service_options.heartbeat_ms = 1;
  replica.Start();
  CutsAtWork network(&replica.network);
  std::atomic<bool> done = false;
  replica.disk.SetHook([&](const SimulatedDisk::Operation& operation) {
    if (operation.kind != SimulatedDisk::OperationKind::kRename ||
        !absl::StrContains(operation.path, "/manifests/")) {
      return absl::OkStatus();
    }
    for (int seconds = 1; !done; ++seconds) {
      if (seconds % 300 == 0) network.CutNext();  // A call lasts no longer.
      for (const int before = network.beats();
           !done && network.beats() < before + 2;) {
        std::this_thread::yield();
      }
      replica.clock.AdvanceMillis(1000);
    }
    return absl::OkStatus();
  });
  const auto sink = replica.Sink({.at_work_ms_max = 600'000});
  ASSERT_TRUE(sink->Begin(dump.header).ok());
  for (const auto& chunk : dump.chunks) ASSERT_TRUE(sink->Append(chunk).ok());
  const int64_t since = replica.clock.NowSteadyNanos();
  const absl::Status status = sink->Finish(dump.manifest).status();
  const int64_t took_ms = (replica.clock.NowSteadyNanos() - since) / 1'000'000;
  done = true;
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no progress for"));
  EXPECT_GE(took_ms, 600'000 + 45'000);
  // A call more.
  EXPECT_LE(took_ms, 600'000 + 45'000 + 300'000);
  EXPECT_GE(network.hellos(), 3);
  sink->Abort();
  replica.disk.SetHook(nullptr);
}

// By two addresses: its copy counts once, and the other sink does not end it.
TEST(ReplicaSinkTest, TwoSinksDoNotShareAReplica) {
  TestReplica replica, second;
  const auto claimed = std::make_shared<ClaimedReplicas>();
  const auto sink = replica.Sink({.claimed = claimed});
  const auto same = replica.Sink({.claimed = claimed});
  const auto other = second.Sink({.claimed = claimed});
  for (const uint64_t seed : {1, 2}) {
    const RecordedDump next = MakeDump(10, 1000, seed);
    ASSERT_TRUE(sink->Begin(next.header).ok());
    const absl::Status refused = same->Begin(next.header);
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("the same one"));
    for (const auto& chunk : next.chunks) {
      ASSERT_TRUE(sink->Append(chunk).ok());
    }
    same->Abort();
    const auto receipt = sink->Finish(next.manifest);
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    ASSERT_TRUE(Replay(next, other.get()).ok());
    ExpectPublished(&replica, seed);
    ExpectPublished(&second, seed);
  }
}

TEST(ReplicaSinkTest, CancellationEndsTheWait) {
  const RecordedDump dump = MakeDump(3, 300);
  TestReplica replica;
  backup::Cancellation cancellation;
  const auto sink =
      replica.Sink({.cancellation = &cancellation,
                    .wait = [&](int64_t) { cancellation.Cancel(); }});
  replica.network.SetReplica(nullptr);
  EXPECT_EQ(sink->Begin(dump.header).code(), absl::StatusCode::kCancelled);
}

TEST(ReplicaSinkTest, WaitsForABackupThatHoldsTheReplicasArchive) {
  const RecordedDump dump = MakeDump(3, 300);
  TestReplica replica;
  auto lock = replica.disk.Lock("/archive/lock");
  ASSERT_TRUE(lock.ok());
  int waits = 0;
  const auto sink = replica.Sink({.wait = [&](int64_t ms) {
    replica.clock.AdvanceMillis(ms);
    if (++waits == 3) lock->reset();
  }});
  const auto receipt = Replay(dump, sink.get());
  EXPECT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_GE(waits, 3);
  EXPECT_EQ(sink->counts().bytes_sent, DumpBytes(dump));
  ExpectPublished(&replica);
}

TEST(ReplicaSinkTest, AbortLeavesNothingBehind) {
  const RecordedDump dump = MakeDump(10, 1000);
  TestReplica replica;
  const auto sink = replica.Sink({});
  ASSERT_TRUE(sink->Begin(dump.header).ok());
  ASSERT_TRUE(sink->Append(dump.chunks[0]).ok());
  EXPECT_THAT(*replica.disk.List("/archive/incoming"), SizeIs(2));
  sink->Abort();
  EXPECT_THAT(*replica.disk.List("/archive/incoming"),
              ElementsAre("replica.d"));
  sink->Abort();  // Harmless.
  EXPECT_TRUE(Replay(dump, sink.get()).ok());
}

// A replica that says what it likes.
class LyingConnector : public ReplicaConnector {
 public:
  explicit LyingConnector(std::deque<TransferReply> replies)
      : replies_(std::move(replies)) {}

  std::unique_ptr<TransferCall> StartTransfer() override {
    return std::make_unique<Call>(replies_);
  }
  absl::StatusOr<BaseReply> Base(const BaseRequest&) override {
    return absl::UnavailableError("none");
  }
  absl::Status Abort(const AbortRequest&) override { return absl::OkStatus(); }
  absl::StatusOr<StatusReply> GetStatus() override {
    return absl::UnavailableError("none");
  }

 private:
  class Call : public TransferCall {
   public:
    explicit Call(std::deque<TransferReply> replies)
        : replies_(std::move(replies)) {}
    bool Write(const TransferRequest&) override { return true; }
    bool WritePiece(uint64_t, absl::string_view,
                    std::shared_ptr<const void>) override {
      return true;
    }
    bool Read(TransferReply* reply) override {
      if (replies_.empty()) return false;
      *reply = replies_.front();
      replies_.pop_front();
      return true;
    }
    void Cancel() override {}
    absl::Status Close() override { return absl::UnavailableError("gone"); }

   private:
    std::deque<TransferReply> replies_;
  };

  const std::deque<TransferReply> replies_;
};

TEST(ReplicaSinkTest, ALyingReplicaIsRefused) {
  const RecordedDump dump = MakeDump(3, 300);
  TransferReply hello;
  hello.mutable_hello()->set_window_bytes(1 << 20);
  hello.mutable_hello()->set_piece_bytes_max(1 << 18);
  const auto give = [&dump](std::deque<TransferReply> replies) {
    cache::ManualClock clock(0);
    const auto sink = ReplicaSink::Create(
        std::make_unique<LyingConnector>(std::move(replies)),
        {.random_seed = 1, .clock = &clock, .wait = [&clock](int64_t ms) {
           clock.AdvanceMillis(ms);
         }});
    return Replay(dump, sink.get()).status().code();
  };
  using Code = absl::StatusCode;
  EXPECT_EQ(give({}), Code::kUnavailable);
  EXPECT_EQ(give({hello}), Code::kUnavailable);
  TransferReply reply = hello;
  reply.mutable_hello()->set_received_bytes(1);  // Nothing was sent.
  EXPECT_EQ(give({reply}), Code::kDataLoss);
  reply = hello;
  reply.mutable_hello()->set_durable_bytes(1);
  EXPECT_EQ(give({reply}), Code::kDataLoss);
  reply = hello;
  reply.mutable_hello()->set_window_bytes(0);
  EXPECT_EQ(give({reply}), Code::kDataLoss);
  reply = hello;
  reply.mutable_hello()->set_piece_bytes_max(0);
  EXPECT_EQ(give({reply}), Code::kDataLoss);
  TransferReply progress;
  progress.mutable_progress()->set_received_bytes(UINT64_MAX);
  progress.mutable_progress()->set_durable_bytes(UINT64_MAX);
  EXPECT_EQ(give({hello, progress}), Code::kDataLoss);
  TransferReply ack;
  ack.mutable_ack()->set_snapshot_id(dump.header.snapshot_id());
  EXPECT_EQ(give({hello, ack}), Code::kDataLoss);
  reply = hello;
  *reply.mutable_hello()->mutable_published() = ack.ack();
  EXPECT_EQ(give({reply}), Code::kDataLoss);
}

}  // namespace
}  // namespace larder::replication
