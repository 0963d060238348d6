#include "sweeper/blob_cache_sweeper.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cache/blob.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/options.h"
#include "cache/policy.h"
#include "cache/stats.h"
#include "cache/verify.h"
#include "cache/walks.h"
#include "gtest/gtest.h"
#include "sweeper/reports.h"
#include "sweeper/sweep_limit.h"

namespace larder::sweeper {
namespace {

using cache::BlobCache;
using cache::BlobCacheOptions;
using cache::L1Admission;
using cache::PutOptions;
using cache::l2::SimulatedDisk;

constexpr int64_t kNow = 1'700'000'000'000;

// Incompressible, and the same for the same seed.
std::string RandomBytes(size_t bytes, uint32_t seed) {
  std::mt19937 random(seed);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

class BlobCacheSweeperTest : public testing::Test {
 protected:
  void SetUp() override { Open(); }
  void TearDown() override { Close(); }

  // Opens the same directory, with what is in it.
  void Open(cache::Clock* clock = nullptr) {
    BlobCacheOptions options;
    options.l2_path = "/l2";
    options.l1_bytes_max = 16 << 20;
    options.l2_bytes_max = 64 << 20;
    options.background_commits = false;
    options.clock = clock != nullptr ? clock : &clock_;
    options.file_system = &disk_;
    options.random_seed = 1;
    absl::StatusOr<std::unique_ptr<BlobCache>> opened =
        BlobCache::Open(std::move(options));
    ASSERT_TRUE(opened.ok()) << opened.status();
    cache_ = *std::move(opened);
    sweeper_ = std::make_unique<BlobCacheSweeper>(
        cache_.get(), clock != nullptr ? clock : &clock_);
  }

  void Close() {
    sweeper_.reset();
    cache_.reset();
  }

  // The process dies: what was not written is lost.
  void Crash() {
    disk_.KillProcess();
    Close();
  }

  void Put(absl::string_view ns, absl::string_view key, absl::string_view bytes,
           const PutOptions& options = {}) {
    const absl::Status status = cache_->Put(ns, key, bytes, options).status();
    ASSERT_TRUE(status.ok()) << status;
  }

  // `count` entries key0, key1, ... under `ns`.
  void PutMany(absl::string_view ns, int count, const PutOptions& options) {
    for (int i = 0; i < count; ++i) {
      Put(ns, absl::StrCat("key", i), absl::StrCat(ns, i), options);
    }
  }

  void Commit() {
    const absl::Status status = cache_->Flush();
    ASSERT_TRUE(status.ok()) << status;
  }

  SweepReport Sweep(const SweepLimit& limit = {}) {
    absl::StatusOr<SweepReport> report = sweeper_->SweepExpired(limit);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *std::move(report) : SweepReport();
  }

  // Of what is on the disk, once the cache let go of it.
  absl::StatusOr<cache::VerifyReport> Verify() {
    Close();
    BlobCacheOptions options;
    options.l2_path = "/l2";
    options.l2_bytes_max = 64 << 20;
    options.file_system = &disk_;
    return cache::VerifyL2(options);
  }

  int64_t L1Entries() const { return cache_->Stats().l1.entries; }
  int64_t L2Records() const { return cache_->Stats().l2.records; }
  bool Holds(absl::string_view ns, absl::string_view key) {
    return cache_->Get(ns, key).has_value();
  }

  cache::ManualClock clock_{kNow};
  SimulatedDisk disk_;
  std::unique_ptr<BlobCache> cache_;
  std::unique_ptr<BlobCacheSweeper> sweeper_;
};

// --- Expired

TEST_F(BlobCacheSweeperTest, SweepsNothingWhenNothingIsDue) {
  PutMany("kept", 100, {.ttl_ms = 1000});
  Commit();
  const SweepReport report = Sweep();
  EXPECT_EQ(report.entries_evicted, 0);
  EXPECT_EQ(report.bytes_reclaimed, 0);
  EXPECT_FALSE(report.truncated_due_to_limit);
  EXPECT_EQ(L1Entries(), 100);
  EXPECT_EQ(L2Records(), 100);
}

TEST_F(BlobCacheSweeperTest, SweepsBothTiers) {
  PutMany("both", 150, {.ttl_ms = 1000});
  PutMany("l2 only", 50, {.ttl_ms = 1000, .l1_admission = L1Admission::kNever});
  PutMany("idle", 30, {.idle_ttl_ms = 500});
  PutMany("kept", 40, {.ttl_ms = 1001});
  Commit();
  ASSERT_EQ(L1Entries(), 220);
  ASSERT_EQ(L2Records(), 270);
  const int64_t disk_before = cache_->Stats().l2.bytes_in_use;

  clock_.AdvanceMillis(1000);
  EXPECT_EQ(cache_->SweepDebt().value_or(-1), 230);
  const SweepReport report = Sweep();
  EXPECT_FALSE(report.truncated_due_to_limit);
  // Each L2 record, and each L1 entry that did not go with its record.
  EXPECT_GE(report.entries_evicted, 230);
  EXPECT_LE(report.entries_evicted, 230 + 180);
  EXPECT_GE(report.entries_scanned, report.entries_evicted);
  EXPECT_GT(report.bytes_reclaimed, 0);
  EXPECT_EQ(report.remaining_debt, 0);
  EXPECT_EQ(L1Entries(), 40);

  Commit();
  EXPECT_EQ(L2Records(), 40);
  EXPECT_LT(cache_->Stats().l2.bytes_in_use, disk_before);
  for (int i = 0; i < 40; ++i) {
    EXPECT_TRUE(Holds("kept", absl::StrCat("key", i)));
  }
}

TEST_F(BlobCacheSweeperTest, ReportsByNamespaceWhatItReportsInAll) {
  PutMany("a", 70, {.ttl_ms = 10});
  PutMany("b", 30, {.ttl_ms = 10, .l1_admission = L1Admission::kNever});
  PutMany("flushed", 20, {});
  Commit();
  ASSERT_TRUE(sweeper_->FlushNamespace("flushed").ok());
  clock_.AdvanceMillis(10);
  const SweepReport report = Sweep();
  SweepReport::PerNamespace sum;
  for (const auto& [ns, one] : report.by_namespace) {
    sum.entries_evicted += one.entries_evicted;
    sum.bytes_reclaimed += one.bytes_reclaimed;
  }
  EXPECT_EQ(sum.entries_evicted, report.entries_evicted);
  EXPECT_EQ(sum.bytes_reclaimed, report.bytes_reclaimed);
  EXPECT_EQ(report.by_namespace.size(), 3u);
  EXPECT_EQ(report.by_namespace.at("b").entries_evicted, 30);
}

TEST_F(BlobCacheSweeperTest, AReadKeepsAnIdleEntryInBothTiers) {
  PutMany("idle", 10, {.idle_ttl_ms = 100});
  Commit();
  clock_.AdvanceMillis(60);
  EXPECT_TRUE(Holds("idle", "key3"));
  clock_.AdvanceMillis(60);
  Sweep();
  Commit();
  EXPECT_EQ(L1Entries(), 1);
  EXPECT_EQ(L2Records(), 1);
  EXPECT_TRUE(Holds("idle", "key3"));
}

TEST_F(BlobCacheSweeperTest, SweepsTheOnlyTierOfACacheWithoutADisk) {
  Close();
  BlobCacheOptions options;
  options.clock = &clock_;
  cache_ = *BlobCache::Open(std::move(options));
  sweeper_ = std::make_unique<BlobCacheSweeper>(cache_.get(), &clock_);
  PutMany("due", 100, {.ttl_ms = 10});
  PutMany("flushed", 100, {});
  PutMany("kept", 10, {});
  ASSERT_TRUE(sweeper_->FlushNamespace("flushed").ok());
  clock_.AdvanceMillis(10);
  EXPECT_EQ(Sweep().entries_evicted, 200);
  EXPECT_EQ(L1Entries(), 10);
  const absl::StatusOr<OrphanReport> orphans = sweeper_->ReclaimOrphans({});
  ASSERT_TRUE(orphans.ok());
  EXPECT_EQ(orphans->blob_chains_scanned, 0);
}

// --- Limits

TEST_F(BlobCacheSweeperTest, ATruncatedSweepResumes) {
  PutMany("due", 500, {.ttl_ms = 10});
  PutMany("flushed", 300, {});
  PutMany("kept", 200, {});
  Commit();
  ASSERT_TRUE(sweeper_->FlushNamespace("flushed").ok());
  clock_.AdvanceMillis(10);

  const SweepReport first = Sweep({.entries = 100});
  EXPECT_TRUE(first.truncated_due_to_limit);
  EXPECT_LE(first.entries_scanned, 100);
  EXPECT_GT(first.entries_evicted, 0);
  EXPECT_GT(first.remaining_debt, 0);

  int sweeps = 1;
  int64_t scanned = first.entries_scanned;
  SweepReport last = first;
  while (last.truncated_due_to_limit) {
    last = Sweep({.entries = 100});
    ASSERT_LE(last.entries_scanned, 100);
    scanned += last.entries_scanned;
    ASSERT_LT(++sweeps, 100);
  }
  // Due: both tiers. Flushed: its records, and all of L1. Nothing twice, but
  // for L1 entries that a removal moved.
  EXPECT_LE(scanned, 2 * 500 + 300 + 2 * 1000);
  EXPECT_EQ(L1Entries(), 200);
  Commit();
  EXPECT_EQ(L2Records(), 200);
  EXPECT_EQ(last.remaining_debt, 0);
}

TEST_F(BlobCacheSweeperTest, SweepsOfOneEntryFinishARoundOfEveryPhase) {
  PutMany("due", 20, {.ttl_ms = 10});
  PutMany("l2 only", 20, {.ttl_ms = 10, .l1_admission = L1Admission::kNever});
  PutMany("flushed", 20, {});
  Commit();
  ASSERT_TRUE(sweeper_->FlushNamespace("flushed").ok());
  clock_.AdvanceMillis(10);
  int sweeps = 0;
  while (Sweep({.entries = 1}).truncated_due_to_limit) {
    ASSERT_LT(++sweeps, 1000);
  }
  EXPECT_GE(sweeps, 60);
  EXPECT_EQ(L1Entries(), 0);
  Commit();
  EXPECT_EQ(L2Records(), 0);
}

TEST_F(BlobCacheSweeperTest, ABusyPhaseDoesNotStarveTheOthers) {
  PutMany("flushed", 100, {});
  Commit();
  ASSERT_TRUE(sweeper_->FlushNamespace("flushed").ok());
  const auto flushed_left = [&] {
    int64_t left = 0;
    EXPECT_TRUE(cache_
                    ->ForEachL2Record("flushed", "",
                                      [&](const BlobCache::L2RecordView&) {
                                        ++left;
                                        return true;
                                      })
                    .ok());
    return left;
  };
  // More becomes due, each time, than a sweep may look at.
  for (int sweeps = 0; flushed_left() > 0; ++sweeps) {
    ASSERT_LT(sweeps, 50);
    PutMany(absl::StrCat("due", sweeps), 60, {.ttl_ms = 1});
    clock_.AdvanceMillis(1);
    EXPECT_TRUE(Sweep({.entries = 50}).truncated_due_to_limit);
    Commit();
  }
}

TEST_F(BlobCacheSweeperTest, ASweepOfNoEntriesDoesNothing) {
  PutMany("due", 10, {.ttl_ms = 10});
  clock_.AdvanceMillis(10);
  for (const SweepLimit& limit :
       {SweepLimit{.entries = 0}, SweepLimit{.millis = 0},
        SweepLimit{.entries = -1}}) {
    const SweepReport report = Sweep(limit);
    EXPECT_TRUE(report.truncated_due_to_limit);
    EXPECT_EQ(report.entries_scanned, 0);
  }
  EXPECT_EQ(L1Entries(), 10);
}

TEST_F(BlobCacheSweeperTest, AStopEndsASweep) {
  PutMany("due", 10, {.ttl_ms = 10});
  clock_.AdvanceMillis(10);
  const std::atomic<bool> stop{true};
  EXPECT_TRUE(Sweep({.stop = &stop}).truncated_due_to_limit);
  EXPECT_EQ(L1Entries(), 10);
}

TEST_F(BlobCacheSweeperTest, ASweepWithoutALimitFinishesWhatCameMeanwhile) {
  PutMany("first", 100, {});
  PutMany("second", 100, {});
  Commit();
  ASSERT_TRUE(sweeper_->FlushNamespace("second").ok());
  ASSERT_TRUE(Sweep({.entries = 50}).truncated_due_to_limit);
  // Flushed in the middle of a round of invalidated entries.
  ASSERT_TRUE(sweeper_->FlushNamespace("first").ok());
  EXPECT_FALSE(Sweep().truncated_due_to_limit);
  Commit();
  EXPECT_EQ(L1Entries(), 0);
  EXPECT_EQ(L2Records(), 0);
}

// Each look at it takes a tenth of a millisecond.
class TickingClock : public cache::Clock {
 public:
  int64_t NowUnixMillis() const override { return kNow + offset_millis; }
  int64_t NowSteadyNanos() const override { return nanos_.fetch_add(100'000); }
  std::atomic<int64_t> offset_millis{0};

 private:
  mutable std::atomic<int64_t> nanos_{0};
};

TEST_F(BlobCacheSweeperTest, ALimitOfTimeTruncatesAndResumes) {
  Close();
  TickingClock clock;
  Open(&clock);
  PutMany("due", 300, {.ttl_ms = 10, .l1_admission = L1Admission::kNever});
  Commit();
  clock.offset_millis = 10;
  const SweepReport first = Sweep({.entries = 1'000'000, .millis = 5});
  EXPECT_TRUE(first.truncated_due_to_limit);
  EXPECT_GT(first.entries_evicted, 0);
  // Ten looks a millisecond, at most one entry a look.
  EXPECT_LE(first.entries_evicted, 50);
  EXPECT_GE(first.elapsed_ms, 5);
  int sweeps = 0;
  while (Sweep({.millis = 5}).truncated_due_to_limit) {
    ASSERT_LT(++sweeps, 1000);
  }
  Commit();
  EXPECT_EQ(L2Records(), 0);
  Close();
}

// --- Between a sweep and the commit of what it removes

TEST_F(BlobCacheSweeperTest, WhatWasSweptIsNotSweptAgain) {
  PutMany("due", 200, {.ttl_ms = 10, .l1_admission = L1Admission::kNever});
  PutMany("idle", 50, {.idle_ttl_ms = 10});
  Commit();
  clock_.AdvanceMillis(10);
  const SweepReport first = Sweep();
  EXPECT_EQ(first.entries_evicted, 250 + 50);  // The idle ones in L1, too.
  EXPECT_GT(first.bytes_reclaimed, 0);
  EXPECT_EQ(first.remaining_debt, 0);
  const SweepReport second = Sweep();
  EXPECT_EQ(second.entries_evicted, 0);
  EXPECT_EQ(second.remaining_debt, 0);
  EXPECT_EQ(L2Records(), 250);
  Commit();
  EXPECT_EQ(L2Records(), 0);
  EXPECT_EQ(Sweep().entries_scanned, 0);
  EXPECT_EQ(cache_->Stats().l2.expirations, 250);
}

TEST_F(BlobCacheSweeperTest, APutWinsOverTheSweepOfWhatItReplaces) {
  PutMany("n", 30, {.ttl_ms = 10});
  Commit();
  clock_.AdvanceMillis(10);
  // Replaced before the sweep, after it, and not at all; and that is again due
  // at the same time as before.
  Put("n", "key0", "new");
  EXPECT_EQ(Sweep().entries_evicted, 29 + 29);
  Put("n", "key1", "new");
  Put("n", "key2", "due at once", {.expires_at_unix_ms = kNow + 10});
  Commit();
  EXPECT_TRUE(Holds("n", "key0"));
  EXPECT_TRUE(Holds("n", "key1"));
  EXPECT_FALSE(Holds("n", "key2"));
  EXPECT_EQ(L2Records(), 3);
  Sweep();
  Commit();
  EXPECT_EQ(L2Records(), 2);
  const absl::StatusOr<cache::VerifyReport> report = Verify();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->clean());
}

TEST_F(BlobCacheSweeperTest, ASweepThatWasNotCommittedIsMadeAgain) {
  PutMany("n", 100, {.ttl_ms = 10, .l1_admission = L1Admission::kNever});
  PutMany("kept", 10, {});
  Commit();
  clock_.AdvanceMillis(10);
  EXPECT_EQ(Sweep().entries_evicted, 100);
  Crash();
  Open();
  EXPECT_EQ(L2Records(), 110);
  EXPECT_FALSE(Holds("n", "key7"));
  EXPECT_EQ(Sweep().entries_evicted, 100);
  Commit();
  EXPECT_EQ(L2Records(), 10);
}

// Each look at it takes longer than a slice may. Stops a sweep that would
// never end.
class SlowClock : public cache::Clock {
 public:
  static constexpr int64_t kLooksMax = 100'000;
  int64_t NowUnixMillis() const override { return kNow + offset_millis; }
  int64_t NowSteadyNanos() const override {
    if (looks_.fetch_add(1) >= kLooksMax) stop = true;
    return looks_ * 5'000'000;
  }
  std::atomic<int64_t> offset_millis{0};
  mutable std::atomic<bool> stop{false};

 private:
  mutable std::atomic<int64_t> looks_{0};
};

TEST_F(BlobCacheSweeperTest, SweepsGetOnWhereASliceIsTooShortForAnything) {
  Close();
  SlowClock clock;
  Open(&clock);
  PutMany("due", 300, {.ttl_ms = 10, .l1_admission = L1Admission::kNever});
  PutMany("tagged", 300, {.tags = {"t"}});
  PutMany("kept", 10, {});
  Commit();
  for (uint32_t i = 0; i < 20; ++i) {
    Put("orphaned", absl::StrCat("key", i), RandomBytes(50'000, i));
  }
  Crash();
  Open(&clock);
  clock.offset_millis = 10;
  ASSERT_TRUE(cache_->InvalidateTags("tagged", {"t"}).ok());
  EXPECT_FALSE(Sweep({.stop = &clock.stop}).truncated_due_to_limit);
  const absl::StatusOr<OrphanReport> orphans =
      sweeper_->ReclaimOrphans({.stop = &clock.stop});
  ASSERT_TRUE(orphans.ok()) << orphans.status();
  EXPECT_FALSE(orphans->truncated_due_to_limit);
  EXPECT_GT(orphans->blob_chains_reclaimed, 0);
  EXPECT_GE(orphans->bytes_reclaimed, 20 * 50'000);
  Commit();
  EXPECT_EQ(L2Records(), 10);
  Close();
}

TEST_F(BlobCacheSweeperTest, EvictionGetsOnWhereASliceIsTooShortForAnything) {
  Close();
  SlowClock clock;
  Open(&clock);
  for (uint32_t i = 0; i < 100; ++i) {  // Of the 64 MiB there are.
    Put("n", absl::StrCat("key", i), RandomBytes(1 << 20, i),
        {.l1_admission = L1Admission::kNever});
    Commit();
  }
  EXPECT_GT(cache_->Stats().l2.evictions, 0);
  Close();
}

// --- Errors

TEST_F(BlobCacheSweeperTest, AFailingTierDoesNotKeepTheOtherFromItsSweep) {
  PutMany("due", 100, {.ttl_ms = 10});
  disk_.SetFaultScript([](const SimulatedDisk::Operation& operation) {
    return operation.kind == SimulatedDisk::OperationKind::kSync
               ? SimulatedDisk::Fault::Fail(EIO)
               : SimulatedDisk::Fault();
  });
  ASSERT_FALSE(cache_->Flush().ok());
  clock_.AdvanceMillis(10);
  const absl::StatusOr<SweepReport> report = sweeper_->SweepExpired({});
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.status().message().substr(0, 9), "sweep of ");
  EXPECT_EQ(L1Entries(), 0);
}

// --- Beside readers

// Steady time for the sweeper; whoever runs a slice must wait, at each look,
// until every reader has come further.
class GatedClock : public cache::Clock {
 public:
  static constexpr int kReaders = 8;
  static constexpr int64_t kReadsPerGate = 20;

  int64_t NowUnixMillis() const override { return kNow + offset_millis; }
  int64_t NowSteadyNanos() const override {
    if (std::this_thread::get_id() == gated_thread && gates_left > 0) {
      --gates_left;
      std::array<int64_t, kReaders> goal;
      for (int i = 0; i < kReaders; ++i) goal[i] = reads[i] + kReadsPerGate;
      for (int i = 0; i < kReaders; ++i) {
        while (reads[i] < goal[i]) std::this_thread::yield();
      }
      ++gates_passed;
    }
    return 0;
  }

  std::atomic<int64_t> offset_millis{0};
  std::thread::id gated_thread;  // Set before the sweep.
  mutable int gates_left = 0;    // Of the gated thread alone.
  mutable int gates_passed = 0;
  mutable std::array<std::atomic<int64_t>, kReaders> reads{};
};

// Were a reader to wait for a slice, the slice would wait for the reader, and
// the test would not end.
TEST_F(BlobCacheSweeperTest, ConcurrentReadsAreNotBlockedBySweeps) {
  constexpr int kKeys = 50;
  constexpr int kGates = 40;
  Close();
  GatedClock clock;
  Open(&clock);
  PutMany("hot", kKeys, {});
  PutMany("cold", kKeys, {.l1_admission = L1Admission::kNever});
  PutMany("due", 300, {.ttl_ms = 10});
  PutMany("flushed", 300, {});
  Commit();
  ASSERT_TRUE(sweeper_->FlushNamespace("flushed").ok());
  clock.offset_millis = 10;

  std::atomic<bool> stop{false};
  std::atomic<int64_t> wrong{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < GatedClock::kReaders; ++r) {
    readers.emplace_back([&, r] {
      for (int i = r; !stop; ++i) {
        const std::string key = absl::StrCat("key", i % kKeys);
        const absl::string_view ns = i % 2 == 0 ? "hot" : "cold";
        const auto hit = cache_->Get(ns, key);
        if (!hit || hit->bytes() != absl::StrCat(ns, i % kKeys)) ++wrong;
        if (cache_->Get("due", key).has_value()) ++wrong;
        if (cache_->Get("flushed", key).has_value()) ++wrong;
        ++clock.reads[r];
      }
    });
  }
  clock.gated_thread = std::this_thread::get_id();
  clock.gates_left = kGates;
  const SweepReport report = Sweep();
  clock.gates_left = 0;
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(clock.gates_passed, kGates);
  EXPECT_EQ(wrong, 0);
  EXPECT_GE(report.entries_evicted, 600);
  for (const auto& reads : clock.reads) {
    EXPECT_GE(reads, kGates * GatedClock::kReadsPerGate);
  }
  Close();
}

TEST_F(BlobCacheSweeperTest, ConcurrentSweepsShareTheWork) {
  PutMany("due", 400, {.ttl_ms = 10, .l1_admission = L1Admission::kNever});
  PutMany("flushed", 200, {.l1_admission = L1Admission::kNever});
  Commit();
  ASSERT_TRUE(sweeper_->FlushNamespace("flushed").ok());
  clock_.AdvanceMillis(10);
  std::atomic<int64_t> evicted{0};
  std::vector<std::thread> sweeps;
  for (int i = 0; i < 4; ++i) {
    sweeps.emplace_back([&, i] {
      SweepReport report;
      do {
        report = Sweep(i % 2 == 0 ? SweepLimit{} : SweepLimit{.entries = 70});
        evicted += report.entries_evicted;
      } while (report.truncated_due_to_limit);
    });
  }
  for (std::thread& sweep : sweeps) sweep.join();
  EXPECT_EQ(evicted, 600);
  Commit();
  EXPECT_EQ(L2Records(), 0);
}

// --- Orphans

// Returns: their number and bytes.
std::pair<int64_t, int64_t> OrphansOf(BlobCache* cache) {
  std::pair<int64_t, int64_t> sum;
  const absl::Status status =
      cache->L2OrphanChains([&](const BlobCache::OrphanChain& chain) {
        ++sum.first;
        sum.second += static_cast<int64_t>(chain.bytes);
        return true;
      });
  EXPECT_TRUE(status.ok()) << status;
  return sum;
}

TEST_F(BlobCacheSweeperTest, AnOrphanLeftBetweenChainAndCommitIsReclaimed) {
  for (uint32_t i = 0; i < 20; ++i) {
    Put("kept", absl::StrCat(i), RandomBytes(20'000, i));
  }
  Commit();
  const int64_t before = cache_->Stats().l2.bytes_in_use;
  int64_t payload = 0;
  for (uint32_t i = 0; i < 7; ++i) {
    const size_t bytes = 10'000 * (i + 1);
    Put("lost", absl::StrCat(i), RandomBytes(bytes, 100 + i));
    payload += static_cast<int64_t>(bytes);
  }
  Crash();
  Open();
  EXPECT_FALSE(Holds("lost", "0"));
  const auto [orphans, orphan_bytes] = OrphansOf(cache_.get());
  EXPECT_EQ(orphans, 1);  // Side by side.
  // Each rounded up, and what was marked ahead of them.
  EXPECT_GE(orphan_bytes, payload);
  EXPECT_LT(orphan_bytes, payload + 7 * 128 + 256 * 1024);

  const absl::StatusOr<OrphanReport> report = sweeper_->ReclaimOrphans({});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->truncated_due_to_limit);
  EXPECT_EQ(report->blob_chains_reclaimed, 1);
  EXPECT_EQ(report->bytes_reclaimed, orphan_bytes);
  EXPECT_EQ(report->blob_chains_scanned, 20 + 1);
  EXPECT_EQ(OrphansOf(cache_.get()), std::make_pair(int64_t{0}, int64_t{0}));
  Commit();
  EXPECT_LE(cache_->Stats().l2.bytes_in_use, before);
  for (uint32_t i = 0; i < 20; ++i) {
    const auto hit = cache_->Get("kept", absl::StrCat(i));
    ASSERT_TRUE(hit.has_value());
    EXPECT_EQ(hit->bytes(), RandomBytes(20'000, i));
  }
}

TEST_F(BlobCacheSweeperTest, ATruncatedReclaimResumes) {
  for (uint32_t i = 0; i < 100; ++i) {
    Put("kept", absl::StrCat(i), RandomBytes(5000, i));
  }
  Commit();
  for (uint32_t i = 0; i < 80; i += 2) {
    ASSERT_TRUE(cache_->InvalidateKey("kept", absl::StrCat(i)).ok());
  }
  Commit();
  // The lost ones fall into the holes, apart from each other.
  Close();
  Open();
  for (uint32_t i = 0; i < 40; ++i) {
    Put("lost", absl::StrCat(i), RandomBytes(5000, 100 + i));
  }
  Crash();
  Open();
  const auto [orphans, orphan_bytes] = OrphansOf(cache_.get());
  ASSERT_EQ(orphans, 40);
  OrphanReport sum;
  int sweeps = 0;
  bool truncated = true;
  while (truncated) {
    const absl::StatusOr<OrphanReport> report =
        sweeper_->ReclaimOrphans({.entries = 9});
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_LE(report->blob_chains_scanned, 9);
    sum.blob_chains_reclaimed += report->blob_chains_reclaimed;
    sum.bytes_reclaimed += report->bytes_reclaimed;
    truncated = report->truncated_due_to_limit;
    // A put in the middle of it: its chain is no orphan.
    Put("new", absl::StrCat(sweeps), RandomBytes(5000, 1000));
    ASSERT_LT(++sweeps, 100);
  }
  EXPECT_GE(sweeps, 100 / 9);
  EXPECT_EQ(sum.blob_chains_reclaimed, 40);
  EXPECT_EQ(sum.bytes_reclaimed, orphan_bytes);
  Commit();
  Close();
  Open();
  EXPECT_EQ(OrphansOf(cache_.get()), std::make_pair(int64_t{0}, int64_t{0}));
  for (int i = 0; i < sweeps; ++i) {
    const auto hit = cache_->Get("new", absl::StrCat(i));
    ASSERT_TRUE(hit.has_value());
    EXPECT_EQ(hit->bytes(), RandomBytes(5000, 1000));
  }
}

// --- Flushes and invalidations

TEST_F(BlobCacheSweeperTest, AFlushSurvivesRestart) {
  PutMany("flushed", 100, {});
  PutMany("kept", 10, {});
  Commit();
  const absl::StatusOr<NamespaceFlushReport> report =
      sweeper_->FlushNamespace("flushed");
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->ns, "flushed");
  EXPECT_EQ(report->generation_before, 0u);
  EXPECT_EQ(report->generation_after, 1u);
  EXPECT_GE(report->elapsed_micros, 0);
  EXPECT_FALSE(Holds("flushed", "key0"));

  // Killed without a commit, twice: the second time in the middle of a sweep.
  Crash();
  Open();
  EXPECT_FALSE(Holds("flushed", "key0"));
  EXPECT_TRUE(Holds("kept", "key0"));
  EXPECT_EQ(cache_->CurrentGeneration("flushed"), 1u);
  Put("flushed", "key1", "after");
  Sweep({.entries = 30});
  Commit();
  Crash();
  Open();
  EXPECT_FALSE(Holds("flushed", "key0"));
  EXPECT_FALSE(Holds("flushed", "key99"));
  EXPECT_TRUE(Holds("flushed", "key1"));
  Sweep();
  Commit();
  EXPECT_EQ(L2Records(), 10 + 1);
  EXPECT_EQ(sweeper_->FlushNamespace("flushed")->generation_before, 1u);
}

TEST_F(BlobCacheSweeperTest, AFlushOfABadNameIsRefused) {
  EXPECT_EQ(sweeper_->FlushNamespace("").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(BlobCacheSweeperTest, AnL2OnlyEntryIsInvalidatedByTagAfterReopen) {
  Put("ns", "tagged", "x",
      {.l1_admission = L1Admission::kNever, .tags = {"red", "round"}});
  Put("ns", "other", "x",
      {.l1_admission = L1Admission::kNever, .tags = {"green"}});
  Commit();
  Close();
  Open();
  ASSERT_EQ(L1Entries(), 0);
  ASSERT_TRUE(cache_->InvalidateTags("ns", {"red"}).ok());
  EXPECT_FALSE(Holds("ns", "tagged"));
  EXPECT_TRUE(Holds("ns", "other"));
  Crash();
  Open();
  EXPECT_FALSE(Holds("ns", "tagged"));
  EXPECT_EQ(L2Records(), 2);
  EXPECT_EQ(Sweep().entries_evicted, 1);
  Commit();
  EXPECT_EQ(L2Records(), 1);
  EXPECT_TRUE(Holds("ns", "other"));
}

TEST_F(BlobCacheSweeperTest, TombstonesRetireOnceTheirEntriesArePurged) {
  PutMany("ns", 10, {.tags = {"red"}, .dependencies = {"base"}});
  Commit();
  ASSERT_TRUE(cache_->InvalidateTags("ns", {"red"}).ok());
  ASSERT_TRUE(cache_->InvalidateDependencies("ns", {"base"}).ok());
  ASSERT_TRUE(cache_->InvalidatePrefix("ns", "key").ok());
  EXPECT_EQ(cache_->Stats().l2.tombstones, 3);
  Sweep();
  Commit();
  EXPECT_EQ(cache_->Stats().l2.tombstones, 0);
  EXPECT_EQ(L2Records(), 0);
  PutMany("ns", 10, {.tags = {"red"}, .dependencies = {"base"}});
  EXPECT_TRUE(Holds("ns", "key0"));
}

}  // namespace
}  // namespace larder::sweeper
