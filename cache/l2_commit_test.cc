// What a commit promises: when mutations do not leave its epoch in time, and
// when a flood of invalidations fills the journal.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/epoch_lock.h"
#include "cache/l2/simulated_disk.h"

namespace larder::cache {
namespace {

using Disk = l2::SimulatedDisk;

std::string Incompressible(size_t bytes) {
  static std::mt19937_64 random(7);
  std::string s(bytes, '\0');
  for (char& c : s) c = static_cast<char>(random());
  return s;
}

class L2CommitTest : public ::testing::Test {
 protected:
  BlobCacheOptions Options() {
    BlobCacheOptions o;
    o.l2_path = "/l2";
    o.l2_bytes_max = kL2BytesMin;
    o.l1_bytes_max = 1 << 20;
    o.l1_shards = 1;
    o.background_commits = false;
    o.epoch_timeout_ms = 1;
    o.clock = &clock_;
    o.file_system = &disk_;
    o.random_seed = 7;
    return o;
  }
  void Open(const BlobCacheOptions& options) {
    cache_.reset();
    auto opened = BlobCache::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    cache_ = *std::move(opened);
  }
  void Kill() {
    disk_.KillProcess();
    Open(Options());
  }
  void Put(absl::string_view key, const PutOptions& options = {}) {
    const auto put = cache_->Put("ns", key, "value", options);
    ASSERT_TRUE(put.ok()) << put.status();
  }
  bool Has(absl::string_view key) { return cache_->Get("ns", key).has_value(); }
  // Closes the epoch, which somebody does not leave in time.
  void TimeOut() {
    const EpochLock::Guard inside = cache_->epoch_lock()->Enter();
    const absl::Status flushed = cache_->Flush();
    ASSERT_TRUE(absl::IsDeadlineExceeded(flushed)) << flushed;
  }

  ManualClock clock_{1'700'000'000'000};
  Disk disk_;
  std::unique_ptr<BlobCache> cache_;
};

TEST_F(L2CommitTest, AfterATimeoutAFlushHoldsWhatCameBehindTheClosedEpoch) {
  Open(Options());
  Put("before");
  TimeOut();
  Put("behind");
  ASSERT_TRUE(cache_->Flush().ok());
  Kill();
  EXPECT_TRUE(Has("before"));
  EXPECT_TRUE(Has("behind"));
}

TEST_F(L2CommitTest, AfterATimeoutClosingHoldsWhatCameBehindTheClosedEpoch) {
  Open(Options());
  Put("before");
  TimeOut();
  Put("behind");
  Open(Options());
  EXPECT_TRUE(Has("before"));
  EXPECT_TRUE(Has("behind"));
}

TEST_F(L2CommitTest, AfterATimeoutAnAcknowledgedPutIsDurable) {
  BlobCacheOptions options = Options();
  options.durability = Durability::kEveryPut;
  Open(options);
  {
    const EpochLock::Guard inside = cache_->epoch_lock()->Enter();
    const auto refused = cache_->Put("ns", "before", "value", {});
    ASSERT_TRUE(absl::IsDeadlineExceeded(refused.status()));
  }
  Put("behind");
  Kill();
  EXPECT_TRUE(Has("behind"));
}

TEST_F(L2CommitTest, AfterATimeoutASweepRetiresNoTombstoneThatIsNeeded) {
  Open(Options());
  Put("before");
  TimeOut();
  Put("behind", {.tags = {"tag"}});
  ASSERT_TRUE(
      cache_->InvalidateTags("ns", std::vector<std::string>{"tag"}).ok());
  while (true) {
    const auto slice = cache_->SweepTombstonedSlice({});
    ASSERT_TRUE(slice.ok()) << slice.status();
    if (slice->done) break;
  }
  ASSERT_TRUE(cache_->Flush().ok());
  EXPECT_FALSE(Has("behind"));
  Open(Options());
  EXPECT_FALSE(Has("behind"));
}

TEST_F(L2CommitTest, WithoutL2TooASweepWaitsForWhoIsBehindTheClosedEpoch) {
  BlobCacheOptions options = Options();
  options.l2_path.clear();
  Open(options);
  Put("k", {.tags = {"tag"}});
  ASSERT_TRUE(
      cache_->InvalidateTags("ns", std::vector<std::string>{"tag"}).ok());
  EpochLock::Guard first = cache_->epoch_lock()->Enter();
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(cache_->SweepTombstonedSlice({}).status()));
  EpochLock::Guard second = cache_->epoch_lock()->Enter();
  ASSERT_GT(second.epoch(), first.epoch());
  first.Leave();
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(cache_->SweepTombstonedSlice({}).status()));
  second.Leave();
  EXPECT_TRUE(cache_->SweepTombstonedSlice({}).ok());
}

TEST_F(L2CommitTest, AFloodOfInvalidationsStaysWithinTheBudget) {
  Open(Options());
  // What blobs take of the budget is no room for a journal.
  for (int i = 0; i < 500; ++i) {
    const auto put =
        cache_->Put("ns", absl::StrCat("k", i), Incompressible(16'384), {});
    ASSERT_TRUE(put.ok()) << put.status();
  }
  ASSERT_TRUE(cache_->Flush().ok());
  int64_t most = 0;
  for (int i = 0; i < 30'000; ++i) {
    // Each one twice: what is staged does not grow, and the journal does.
    const auto gone = cache_->InvalidateKey("ns", absl::StrCat("k", i / 2));
    ASSERT_TRUE(gone.ok()) << gone.status();
    most = std::max(most, cache_->Stats().l2.file_bytes);
  }
  std::vector<std::string> tags;
  for (int i = 0; i < 5'000; ++i) tags.push_back(absl::StrCat("tag", i));
  const auto gone = cache_->InvalidateTags("ns", tags);
  ASSERT_TRUE(gone.ok()) << gone.status();
  EXPECT_LE(std::max(most, cache_->Stats().l2.file_bytes), kL2BytesMin);
  const auto put = cache_->Put("ns", "large", Incompressible(3 << 20), {});
  EXPECT_TRUE(put.ok()) << put.status();
  const int64_t commits = cache_->Stats().l2.commits;
  for (int i = 0; i < 50; ++i) Put(absl::StrCat("p", i));
  EXPECT_LE(cache_->Stats().l2.commits, commits + 1);
}

TEST_F(L2CommitTest, WhileNoCommitSucceedsInvalidationsAreRefusedInTheEnd) {
  Open(Options());
  Put("k");
  Put("last");
  ASSERT_TRUE(cache_->Flush().ok());
  disk_.SetFaultScript([](const Disk::Operation& now) {
    // Behind the superblocks.
    const bool is_page = now.kind == Disk::OperationKind::kWrite &&
                         now.path == "/l2/meta" && now.offset >= 4 * 4096;
    return is_page ? Disk::Fault::Fail(ENOSPC) : Disk::Fault();
  });
  absl::Status refused;
  int accepted = 0;
  for (; refused.ok() && accepted < 30'000; ++accepted) {
    const std::vector<std::string> tag = {absl::StrCat("tag", accepted)};
    refused = cache_->InvalidateTags("ns", tag).status();
  }
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_GT(accepted, 500);
  EXPECT_LE(cache_->Stats().l2.file_bytes, kL2BytesMin);
  EXPECT_TRUE(Has("last"));
  disk_.SetFaultScript(nullptr);
  EXPECT_TRUE(cache_->InvalidateKey("ns", "last").ok());
  Kill();
  EXPECT_FALSE(Has("last"));
}

// Where `meta` is scarce, what is staged has a commit come each hundred puts.
TEST_F(L2CommitTest, AnInvalidationPaysForNoCommitThatPutsNeed) {
  Open(Options());
  const std::string value = Incompressible(300);
  int64_t paid_by_puts = 0;
  int64_t paid = 0;
  for (int i = 0; i < 40'000; ++i) {
    const int64_t before = cache_->Stats().l2.commits;
    const auto put = cache_->Put("ns", absl::StrCat("k", i), value, {});
    ASSERT_TRUE(put.ok()) << put.status();
    const int64_t between = cache_->Stats().l2.commits;
    paid_by_puts += between - before;
    if (i < 30'000 || i % 2 == 0) continue;
    ASSERT_TRUE(cache_->FlushNamespace("other").ok());
    paid += cache_->Stats().l2.commits - between;
  }
  EXPECT_GT(paid_by_puts, 100);
  EXPECT_EQ(paid, 0);
}

// What `blobs` took before is not there for `meta`.
TEST_F(L2CommitTest, UnderALowerBudgetCommitsFindRoom) {
  BlobCacheOptions options = Options();
  options.l2_bytes_max = 66 << 20;
  Open(options);
  const std::string large = Incompressible(16'384);
  for (int i = 0; i < 5'000; ++i) {
    const auto put = cache_->Put("ns", absl::StrCat("large", i), large, {});
    ASSERT_TRUE(put.ok()) << put.status();
  }
  options.l2_bytes_max = 64 << 20;
  Open(options);
  const std::string small = Incompressible(300);
  for (int i = 0; i < 30'000; ++i) {
    const auto put = cache_->Put("ns", absl::StrCat("small", i), small, {});
    ASSERT_TRUE(put.ok()) << put.status();
  }
  const absl::Status flushed = cache_->Flush();
  EXPECT_TRUE(flushed.ok()) << flushed;
  EXPECT_EQ(cache_->Stats().l2.commit_failures, 0);
  EXPECT_LE(cache_->Stats().l2.file_bytes, options.l2_bytes_max);
}

}  // namespace
}  // namespace larder::cache
