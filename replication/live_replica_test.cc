// A live replica follows its primary, and is promoted.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/archive_test_support.h"
#include "backup/orchestrator.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2_image.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replication/cuts_at_work.h"
#include "replication/limits.h"
#include "replication/live_replica_test_support.h"
#include "replication/loopback.h"
#include "replication/promotion.h"
#include "replication/replication.pb.h"

namespace larder::replication {
namespace {

using backup::BackupReport;
using backup::Outcome;
using cache::BlobCache;
using cache::l2::SimulatedDisk;
using ::testing::HasSubstr;

// They do not compress.
std::string Bytes(size_t count, int seed) {
  std::mt19937_64 random(static_cast<uint64_t>(seed));
  std::string bytes;
  while (bytes.size() < count) bytes += static_cast<char>(random());
  return bytes;
}

class LiveReplicaTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(replica_.Start().ok()); }

  void Put(const std::string& key, const std::string& bytes,
           cache::PutOptions options = {}) {
    ASSERT_TRUE(primary_.cache->Put("ns", key, bytes, options).ok());
  }
  void Fill(int count, size_t bytes = 3000) {
    for (int i = 0; i < count; ++i) {
      Put(absl::StrCat("key", i), Bytes(bytes, i));
    }
  }
  std::string Get(const std::string& key) const {
    const auto read = replica_.Read("ns", key);
    return read.ok() ? std::string((*read)->bytes())
                     : std::string(read.status().message());
  }
  void ExpectBackup(const BackupReport& report) {
    ASSERT_EQ(report.outcome, Outcome::kOk)
        << report.status << " " << report.sinks[0].status;
    EXPECT_EQ(replica_.digest(), primary_.digest());
  }

  cache::ManualClock clock_{1'700'000'000'000};
  LivePrimary primary_{&clock_};
  LiveReplica replica_{&clock_};
};

TEST_F(LiveReplicaTest, TakesAFullDumpAndThenDeltas) {
  EXPECT_TRUE(absl::IsUnavailable(replica_.Read("ns", "a").status()));
  Fill(200);
  const BackupReport full = primary_.Backup({&replica_});
  ExpectBackup(full);
  EXPECT_EQ(Get("key7"), Bytes(3000, 7));
  Put("key7", "new");
  Put("added", "too");
  ASSERT_TRUE(primary_.cache->InvalidateKey("ns", "key8").ok());
  const BackupReport delta = primary_.Backup({&replica_});
  ExpectBackup(delta);
  EXPECT_EQ(delta.sinks[0].base_snapshot_id, full.snapshot_id);
  EXPECT_LT(delta.bytes_sent, full.bytes_sent / 10);
  EXPECT_EQ(Get("key7"), "new");
  EXPECT_EQ(Get("added"), "too");
  EXPECT_EQ(Get("key8"), "no such blob");
  EXPECT_EQ(Get("key9"), Bytes(3000, 9));
  // Nothing is left of what came.
  EXPECT_FALSE(replica_.disk.Exists(
      absl::StrCat(kLiveL2, ".replica/incoming/", delta.snapshot_id)));
}

TEST_F(LiveReplicaTest, WhatIsReadAtThePrimaryStaysAlive) {
  constexpr int64_t kIdleMs = 60'000;
  Put("used", "state", {.idle_ttl_ms = kIdleMs});
  Put("unused", "state", {.idle_ttl_ms = kIdleMs});
  Put("large", Bytes(3000, 1), {.idle_ttl_ms = kIdleMs});
  ExpectBackup(primary_.Backup({&replica_}));
  for (int round = 0; round < 3; ++round) {
    for (int half = 0; half < 2; ++half) {
      clock_.AdvanceMillis(kIdleMs / 2 - 500);
      ASSERT_TRUE(primary_.cache->Get("ns", "used").has_value());
      ASSERT_TRUE(primary_.cache->Get("ns", "large").has_value());
    }
    clock_.AdvanceMillis(1000);
    ASSERT_TRUE(primary_.cache->SweepDueSlice({}).ok());
    const BackupReport delta = primary_.Backup({&replica_});
    ExpectBackup(delta);
    EXPECT_NE(delta.sinks[0].base_snapshot_id, "");
    EXPECT_EQ(Get("used"), "state") << round;
    EXPECT_EQ(Get("large"), Bytes(3000, 1)) << round;
    EXPECT_EQ(Get("unused"), "no such blob") << round;
  }
}

TEST_F(LiveReplicaTest, TakesSealedDumpsWithTheirKey) {
  primary_.seal_keys = backup::TestKeys("a");
  Fill(50);
  for (const auto& keys : {backup::Archive::Keys(), backup::TestKeys("b")}) {
    replica_.Stop();
    replica_.seal_keys = keys;
    ASSERT_TRUE(replica_.Start().ok());
    const BackupReport refused = primary_.Backup({&replica_});
    EXPECT_EQ(refused.outcome, Outcome::kFailed);
    EXPECT_EQ(refused.sinks[0].status.code(),
              absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(refused.sinks[0].status.message()),
                HasSubstr("sealed with key ID"));
    EXPECT_EQ(refused.bytes_sent, 0);  // At Hello.
  }
  replica_.Stop();
  replica_.seal_keys = backup::TestKeys("ba");
  ASSERT_TRUE(replica_.Start().ok());
  ExpectBackup(primary_.Backup({&replica_}));
  EXPECT_EQ(Get("key7"), Bytes(3000, 7));
  // A delta, under another key.
  primary_.seal_keys = backup::TestKeys("b");
  Put("key7", "new");
  const BackupReport delta = primary_.Backup({&replica_});
  ExpectBackup(delta);
  EXPECT_NE(delta.sinks[0].base_snapshot_id, "");
  EXPECT_EQ(Get("key7"), "new");
  // Not in the clear: anybody could have sent that.
  primary_.seal_keys = nullptr;
  Put("key8", "newer");
  const BackupReport clear = primary_.Backup({&replica_});
  EXPECT_EQ(clear.sinks[0].status.code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(clear.sinks[0].status.message()),
              HasSubstr("seal the backup"));
  EXPECT_EQ(Get("key7"), "new");
}

TEST_F(LiveReplicaTest, AViewStaysAsItWas) {
  Fill(50);
  ExpectBackup(primary_.Backup({&replica_}));
  const auto before = replica_.live->View();
  for (int round = 0; round < 3; ++round) {
    Fill(50, 2000 + static_cast<size_t>(round));
    ExpectBackup(primary_.Backup({&replica_}));
  }
  ExpectBackup(primary_.Backup({&replica_}, 1, {.full = true}));
  for (int i = 0; i < 50; ++i) {
    const auto blob = before->Get("ns", absl::StrCat("key", i));
    ASSERT_TRUE(blob.ok()) << blob.status();
    ASSERT_EQ((*blob)->bytes(), Bytes(3000, i));
    ASSERT_EQ(Get(absl::StrCat("key", i)), Bytes(2002, i));
  }
}

TEST_F(LiveReplicaTest, WhatIsInvalidatedThereIsNotServedHere) {
  Put("tagged", "1", {.tags = {"t"}});
  Put("pre-fixed", "2");
  Put("stays", "3");
  ASSERT_TRUE(primary_.cache->Put("other", "key", "4", {}).ok());
  ExpectBackup(primary_.Backup({&replica_}));
  const std::vector<std::string> tags = {"t"};
  ASSERT_TRUE(primary_.cache->InvalidateTags("ns", tags).ok());
  ASSERT_TRUE(primary_.cache->InvalidatePrefix("ns", "pre-").ok());
  ASSERT_TRUE(primary_.cache->FlushNamespace("other").ok());
  EXPECT_EQ(Get("tagged"), "1");
  ExpectBackup(primary_.Backup({&replica_}));
  EXPECT_EQ(Get("tagged"), "no such blob");
  EXPECT_EQ(Get("pre-fixed"), "no such blob");
  EXPECT_EQ(Get("stays"), "3");
  EXPECT_FALSE(replica_.Read("other", "key").ok());
  // Also when it is opened again.
  replica_.Stop();
  ASSERT_TRUE(replica_.Start().ok());
  EXPECT_EQ(Get("tagged"), "no such blob");
  EXPECT_EQ(Get("stays"), "3");
  EXPECT_EQ(replica_.digest(), primary_.digest());
}

TEST_F(LiveReplicaTest, WhatExpiresIsNotServedAndStays) {
  Put("short", "1", {.ttl_ms = 5000});
  ExpectBackup(primary_.Backup({&replica_}));
  EXPECT_EQ(Get("short"), "1");
  clock_.AdvanceMillis(10'000);
  EXPECT_EQ(Get("short"), "no such blob");
  EXPECT_EQ(replica_.digest(), primary_.digest());
}

TEST_F(LiveReplicaTest, ADeltaOfManyChangesIsBuiltAside) {
  LiveReplica small(&clock_, {.changes = 20});
  ASSERT_TRUE(small.Start().ok());
  Fill(100);
  ASSERT_EQ(primary_.Backup({&small}).outcome, Outcome::kOk);
  Fill(60, 1000);
  const BackupReport delta = primary_.Backup({&small});
  ASSERT_EQ(delta.outcome, Outcome::kOk) << delta.sinks[0].status;
  EXPECT_NE(delta.sinks[0].base_snapshot_id, "");
  EXPECT_EQ(small.digest(), primary_.digest());
  EXPECT_EQ((*small.Read("ns", "key3"))->bytes(), Bytes(1000, 3));
  EXPECT_EQ((*small.Read("ns", "key99"))->bytes(), Bytes(3000, 99));
  EXPECT_FALSE(small.disk.Exists(absl::StrCat(kLiveL2, ".replica/building")));
  EXPECT_FALSE(small.disk.Exists(absl::StrCat(kLiveL2, ".replica/old")));
}

TEST_F(LiveReplicaTest, AHigherTermThatComesWhileADumpIsBuiltFencesIt) {
  using Operation = cache::l2::SimulatedDisk::OperationKind;
  Fill(20);
  ExpectBackup(primary_.Backup({&replica_}));
  const absl::uint128 before = replica_.digest();
  Fill(20, 1000);
  bool has_come = false;
  replica_.disk.SetHook([&](const cache::l2::SimulatedDisk::Operation& o) {
    if (!has_come && o.kind == Operation::kWrite &&
        absl::StartsWith(o.path, absl::StrCat(kLiveL2, ".replica/building"))) {
      has_come = true;  // First: to persist the term is an operation, too.
      EXPECT_TRUE(replica_.terms->Admit(2).ok());
    }
    return absl::OkStatus();
  });
  const BackupReport fenced =
      primary_.Backup({&replica_}, /*term=*/1, {.full = true});
  replica_.disk.SetHook(nullptr);
  EXPECT_TRUE(has_come);
  EXPECT_EQ(fenced.sinks[0].status.code(), absl::StatusCode::kPermissionDenied)
      << fenced.sinks[0].status;
  EXPECT_EQ(replica_.digest(), before);
  EXPECT_FALSE(
      replica_.disk.Exists(absl::StrCat(kLiveL2, ".replica/building")));
}

// What is shown after a swap that failed halfway is at another place than what
// the next start opens: it takes no delta.
TEST_F(LiveReplicaTest, ASwapThatFailedHalfwayIsFinished) {
  using Operation = cache::l2::SimulatedDisk::OperationKind;
  LiveReplica small(&clock_, {.changes = 20});
  ASSERT_TRUE(small.Start().ok());
  Fill(100);
  ASSERT_EQ(primary_.Backup({&small}).outcome, Outcome::kOk);
  for (const Operation failing :
       {Operation::kSyncDirectory, Operation::kOpen}) {
    Fill(60, 1000 + static_cast<int>(failing));
    bool is_swapped = false, has_failed = false;
    small.disk.SetHook([&](const cache::l2::SimulatedDisk::Operation& o) {
      if (is_swapped && !has_failed && o.kind == failing) {
        has_failed = true;
        return absl::InternalError("injected");
      }
      is_swapped |= o.kind == Operation::kRename &&
                    o.path == absl::StrCat(kLiveL2, ".replica/next");
      return absl::OkStatus();
    });
    EXPECT_EQ(primary_.Backup({&small}).outcome, Outcome::kFailed);
    EXPECT_TRUE(has_failed);
    small.disk.SetHook(nullptr);
    Fill(5, 2000 + static_cast<int>(failing));
    const BackupReport next = primary_.Backup({&small});
    ASSERT_EQ(next.outcome, Outcome::kOk) << next.sinks[0].status;
    EXPECT_EQ(small.digest(), primary_.digest());
    small.Stop();
    ASSERT_TRUE(small.Start().ok());
    EXPECT_EQ(small.digest(), primary_.digest());
  }
}

// Two processes went on with copies of one directory: lineage and epochs agree,
// contents do not.
TEST_F(LiveReplicaTest, AWrongDeltaIsRefusedAndThenAFullDumpTaken) {
  Fill(100);
  primary_.cache.reset();
  SimulatedDisk copy;
  cache::WriteImage(cache::ReadImage(primary_.disk(), kLiveL2), &copy, kLiveL2);
  primary_.Open();
  LivePrimary twin(&clock_, &copy);
  Put("key50", "mine");
  ExpectBackup(primary_.Backup({&replica_}));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(twin.cache->Put("ns", absl::StrCat("key", i), "its", {}).ok());
    ASSERT_TRUE(twin.cache->Flush().ok());
  }
  ASSERT_EQ(twin.cache->Stats().l2.lineage, primary_.cache->Stats().l2.lineage);
  const BackupReport wrong = twin.Backup({&replica_});
  EXPECT_EQ(wrong.outcome, Outcome::kFailed);
  EXPECT_TRUE(absl::IsDataLoss(wrong.sinks[0].status)) << wrong.sinks[0].status;
  EXPECT_NE(wrong.sinks[0].base_snapshot_id, "");
  EXPECT_EQ(replica_.digest(), primary_.digest());
  EXPECT_EQ(Get("key50"), "mine");
  EXPECT_FALSE(replica_.live->TakesDeltas());
  const BackupReport full = twin.Backup({&replica_});
  EXPECT_EQ(full.outcome, Outcome::kOk) << full.sinks[0].status;
  EXPECT_EQ(full.sinks[0].base_snapshot_id, "");
  EXPECT_EQ(replica_.digest(), twin.digest());
  EXPECT_EQ(Get("key1"), "its");
  EXPECT_EQ(Get("key50"), Bytes(3000, 50));
  EXPECT_TRUE(replica_.live->TakesDeltas());
}

// What the primary's disk lost is mended there; a full dump from the same disk
// would bring it no better.
TEST_F(LiveReplicaTest, ABlobThatThePrimaryCannotReadCostsNoFullDump) {
  Fill(50);
  ExpectBackup(primary_.Backup({&replica_}));
  const absl::uint128 before = replica_.digest();
  Put("key7", Bytes(2900, 777));
  ASSERT_TRUE(primary_.cache->Flush().ok());
  const std::string blobs = absl::StrCat(kLiveL2, "/blobs");
  const size_t at = cache::ReadImage(primary_.disk(), kLiveL2)["blobs"].find(
      Bytes(2900, 777));
  ASSERT_NE(at, std::string::npos);
  ASSERT_TRUE(primary_.disk()->FlipBit(blobs, at, 0).ok());
  for (int round = 0; round < 2; ++round) {
    Put("key8", absl::StrCat("new", round));
    const BackupReport damaged = primary_.Backup({&replica_});
    const absl::Status& refused = damaged.sinks[0].status;
    EXPECT_TRUE(absl::IsDataLoss(refused)) << refused;
    for (const char* told : {"1 blob", "ns/key7", "larder verify --repair"}) {
      EXPECT_THAT(std::string(refused.message()), HasSubstr(told));
    }
    EXPECT_NE(damaged.sinks[0].base_snapshot_id, "") << round;
    EXPECT_TRUE(replica_.live->TakesDeltas());
    EXPECT_EQ(replica_.digest(), before);
  }
  Put("key7", "again");
  const BackupReport mended = primary_.Backup({&replica_});
  ExpectBackup(mended);
  EXPECT_NE(mended.sinks[0].base_snapshot_id, "");
  EXPECT_EQ(Get("key7"), "again");
  EXPECT_EQ(Get("key8"), "new1");
}

TEST_F(LiveReplicaTest, APromotedReplicaIsAPrimaryAndFencesTheOldOne) {
  LiveReplica third(&clock_);
  ASSERT_TRUE(third.Start().ok());
  Fill(50);
  ASSERT_EQ(primary_.Backup({&replica_, &third}, 3).outcome, Outcome::kOk);
  const auto options = LiveCacheOptions(&clock_, &replica_.disk, 1);
  // As long as it serves, nobody promotes it, or opens it as a primary.
  EXPECT_TRUE(absl::IsUnavailable(Promote(options, 0).status()));
  replica_.Stop();
  const auto refused = BlobCache::Open(options);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status()));
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("larder promote"));
  EXPECT_TRUE(absl::IsInvalidArgument(Promote(options, 3).status()));
  const auto promotion = Promote(options, 0);
  ASSERT_TRUE(promotion.ok()) << promotion.status();
  EXPECT_EQ(promotion->term, 4);
  EXPECT_EQ(promotion->old_lineage, primary_.cache->Stats().l2.lineage);
  EXPECT_NE(promotion->info.lineage, promotion->old_lineage);
  ASSERT_FALSE(promotion->info.ancestors.empty());
  EXPECT_EQ(promotion->info.ancestors[0], promotion->old_lineage);
  EXPECT_EQ(promotion->info.content_digest, primary_.digest());
  EXPECT_EQ(*PrimaryTerm(&replica_.disk, kLiveL2), 4);
  // By another path, too.
  ASSERT_TRUE(replica_.disk.Rename(kLiveL2, "/data/moved").ok());
  EXPECT_EQ(*PrimaryTerm(&replica_.disk, "/data/moved/"), 4);
  ASSERT_TRUE(replica_.disk.Rename("/data/moved", kLiveL2).ok());
  // No replica overwrites it.
  const absl::Status started = replica_.Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(started)) << started;
  EXPECT_THAT(std::string(started.message()), HasSubstr("primary's L2"));
  replica_.Stop();
  EXPECT_TRUE(absl::IsFailedPrecondition(Promote(options, 0).status()));

  LivePrimary promoted(&clock_, &replica_.disk);
  ASSERT_TRUE(promoted.cache->Put("ns", "after", "promotion", {}).ok());
  ASSERT_EQ(promoted.Backup({&third}, promotion->term).outcome, Outcome::kOk);
  EXPECT_EQ((*third.Read("ns", "after"))->bytes(), "promotion");
  EXPECT_EQ(third.digest(), promoted.digest());
  // The old primary was only paused.
  Put("key1", "from the past");
  const BackupReport late = primary_.Backup({&third}, 3);
  EXPECT_EQ(late.outcome, Outcome::kFailed);
  EXPECT_TRUE(absl::IsPermissionDenied(late.sinks[0].status));
  EXPECT_THAT(std::string(late.sinks[0].status.message()),
              HasSubstr("larder replica --l2"));
  EXPECT_EQ(third.digest(), promoted.digest());
  EXPECT_EQ((*third.Read("ns", "key1"))->bytes(), Bytes(3000, 1));
}

TEST_F(LiveReplicaTest, NoPromotionBehindTheLastTerm) {
  Fill(5);
  ExpectBackup(primary_.Backup({&replica_}));
  ASSERT_TRUE(replica_.terms->Admit(kTermMax).ok());
  replica_.Stop();
  const auto options = LiveCacheOptions(&clock_, &replica_.disk, 1);
  const absl::Status refused = Promote(options, 0).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("the last term"));
  ASSERT_TRUE(replica_.Start().ok());  // It is a replica still.
  EXPECT_EQ(replica_.terms->highest(), kTermMax);
}

TEST_F(LiveReplicaTest, NothingToPromote) {
  replica_.Stop();
  const auto none = Promote(LiveCacheOptions(&clock_, &replica_.disk, 1), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(none.status())) << none.status();
  SimulatedDisk empty;
  const auto absent = Promote(LiveCacheOptions(&clock_, &empty, 1), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(absent.status())) << absent.status();
}

TEST_F(LiveReplicaTest, DoesNotGoBack) {
  Fill(20);
  ExpectBackup(primary_.Backup({&replica_}));
  backup::format::DumpHeader header = (*replica_.live->Applied())->header;
  EXPECT_TRUE(replica_.live->CheckAcceptable(header).ok());
  auto* cache = header.mutable_sources(0)->mutable_cache();
  cache->set_epoch(cache->epoch() - 1);
  EXPECT_TRUE(
      absl::IsFailedPrecondition(replica_.live->CheckAcceptable(header)));
  cache->set_lineage("another");
  EXPECT_TRUE(replica_.live->CheckAcceptable(header).ok());
  cache->set_base_epoch(1);
  EXPECT_TRUE(
      absl::IsFailedPrecondition(replica_.live->CheckAcceptable(header)));
  cache->set_base_epoch(0);
  cache->set_stored_bytes(int64_t{65} << 20);
  EXPECT_TRUE(
      absl::IsResourceExhausted(replica_.live->CheckAcceptable(header)));
  cache->set_blobs_included(false);
  EXPECT_TRUE(
      absl::IsFailedPrecondition(replica_.live->CheckAcceptable(header)));
}

// The silence that a client bears is shorter than a long apply.
TEST_F(LiveReplicaTest, ALongApplyIsNotTakenForACut) {
  replica_.Stop();
  replica_.heartbeat_ms = 1;
  ASSERT_TRUE(replica_.Start().ok());
  Fill(20);
  std::atomic<int> beats{0};
  int64_t waited = 0;
  replica_.network.on_reply = [&](const TransferReply& reply) {
    if (reply.has_progress()) ++beats;
    return Fate::kArrives;
  };
  replica_.disk.SetHook([&](const SimulatedDisk::Operation& operation) {
    if (operation.kind != SimulatedDisk::OperationKind::kRename ||
        !absl::EndsWith(operation.path, ".replica/building")) {
      return absl::OkStatus();
    }
    // A client gives up after 45 s in which nobody says a word.
    for (; waited < 60'000; waited += 1000) {
      for (const int before = beats; beats < before + 2;) {
        std::this_thread::yield();
      }
      clock_.AdvanceMillis(1000);
    }
    return absl::OkStatus();
  });
  const BackupReport report = primary_.Backup({&replica_});
  replica_.disk.SetHook(nullptr);
  ExpectBackup(report);
  EXPECT_GE(waited, 60'000);
}

// Nor is one over cuts: the newer connection waits for the apply that the older
// one began, and hears of it.
TEST_F(LiveReplicaTest, CutsWhileItAppliesDoNotCostTheBackup) {
  replica_.Stop();
  replica_.heartbeat_ms = 1;
  ASSERT_TRUE(replica_.Start().ok());
  Fill(20);
  CutsAtWork network(&replica_.network);
  int64_t waited = 0;
  // Until it has come, or has not for so long that it will not.
  const auto await = [](absl::FunctionRef<bool()> ready) {
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!ready() && std::chrono::steady_clock::now() < until) {
      std::this_thread::yield();
    }
  };
  replica_.disk.SetHook([&](const SimulatedDisk::Operation& operation) {
    if (operation.kind != SimulatedDisk::OperationKind::kRename ||
        !absl::EndsWith(operation.path, ".replica/building")) {
      return absl::OkStatus();
    }
    // Longer than a call lasts; cut early, and late, when the patience for one
    // that is silent is used up.
    for (; waited < 400'000; waited += 1000) {
      if (waited == 2'000 || waited == 100'000 || waited == 300'000) {
        const int before = network.hellos();
        network.CutNext();
        await([&] { return network.hellos() > before; });
      }
      const int before = network.beats();
      await([&] { return network.beats() >= before + 2; });
      clock_.AdvanceMillis(1000);
      if (network.beats() > before) continue;
      clock_.AdvanceMillis(60'000);  // Nobody speaks: the client gives up.
      break;
    }
    return absl::OkStatus();
  });
  const BackupReport report = primary_.Backup({&replica_});
  replica_.disk.SetHook(nullptr);
  ExpectBackup(report);
  EXPECT_GE(waited, 400'000);
  EXPECT_EQ(network.hellos(), 4);
}

// Two blobs that the primary changes together are never seen apart, and never
// go back, whichever way the next snapshot is applied.
TEST_F(LiveReplicaTest, ReadersSeeOneSnapshotOrTheNext) {
  const auto put_both = [&](int round) {
    Put("left", absl::StrCat(round));
    Put("right", absl::StrCat(round, std::string(2000, ' ')));
  };
  put_both(0);
  Fill(30);
  ExpectBackup(primary_.Backup({&replica_}));
  std::atomic<bool> stop{false};
  std::atomic<int64_t> reads{0};
  std::atomic<int> torn{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      int last = 0;
      while (!stop) {
        const auto newest = replica_.live->Newest();
        const auto left = newest->view->Get("ns", "left");
        const auto right = newest->view->Get("ns", "right");
        int l = -1, r = -2;
        if (left.ok() && *left != nullptr) {
          (void)absl::SimpleAtoi((*left)->bytes(), &l);
        }
        if (right.ok() && *right != nullptr) {
          (void)absl::SimpleAtoi((*right)->bytes(), &r);
        }
        if (l != r || l < last) ++torn;
        last = l;
        ++reads;
      }
    });
  }
  for (int round = 1; round <= 12; ++round) {
    put_both(round);
    ExpectBackup(primary_.Backup({&replica_}, 1, {.full = round % 4 == 0}));
    // Each snapshot is read.
    for (const int64_t before = reads; reads < before + 2;) {
      std::this_thread::yield();
    }
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(torn, 0);
  EXPECT_EQ(Get("left"), "12");
}

// Tags come and go; an L2 that never sweeps must not keep all of them live.
TEST_F(LiveReplicaTest, TombstonesThatCoverNothingAreSpent) {
  Put("stays", "1", {.tags = {"still"}});
  ExpectBackup(primary_.Backup({&replica_}));
  const std::vector<std::string> still = {"still"};
  ASSERT_TRUE(primary_.cache->InvalidateTags("ns", still).ok());
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 700; ++i) {
      const std::vector<std::string> tags = {absl::StrCat(round, "-", i)};
      ASSERT_TRUE(primary_.cache->InvalidateTags("ns", tags).ok());
    }
    ExpectBackup(primary_.Backup({&replica_}));
    EXPECT_EQ(Get("stays"), "no such blob");
  }
  EXPECT_EQ(replica_.live->View()->info().tombstones.size(), 2101);
  replica_.Stop();
  const auto options = LiveCacheOptions(&clock_, &replica_.disk, 1);
  ASSERT_TRUE(Promote(options, 0).ok());
  const auto promoted = BlobCache::Open(options);
  ASSERT_TRUE(promoted.ok()) << promoted.status();
  // Those of the last round, and the one that covers a record.
  EXPECT_LE((*promoted)->Stats().l2.tombstones, 701);
  EXPECT_GE((*promoted)->Stats().l2.tombstones, 1);
  EXPECT_FALSE((*promoted)->Get("ns", "stays").has_value());
}

TEST_F(LiveReplicaTest, AFullDiskCostsTheDumpAndNothingElse) {
  Fill(50);
  ExpectBackup(primary_.Backup({&replica_}));
  const absl::uint128 before = replica_.digest();
  const uint64_t used = replica_.disk.allocated_bytes();
  Fill(50, 200'000);
  for (const uint64_t more :
       {uint64_t{0}, uint64_t{1} << 20, uint64_t{11} << 20}) {
    replica_.disk.SetCapacityBytes(used + more);
    const BackupReport failed = primary_.Backup({&replica_});
    EXPECT_EQ(failed.outcome, Outcome::kFailed) << more;
    EXPECT_EQ(replica_.digest(), before);
    EXPECT_EQ(Get("key7"), Bytes(3000, 7));
  }
  replica_.disk.SetCapacityBytes(UINT64_MAX);
  replica_.Stop();
  ASSERT_TRUE(replica_.Start().ok());
  EXPECT_EQ(replica_.digest(), before);
  ExpectBackup(primary_.Backup({&replica_}));
  EXPECT_EQ(Get("key7"), Bytes(200'000, 7));
}

}  // namespace
}  // namespace larder::replication
