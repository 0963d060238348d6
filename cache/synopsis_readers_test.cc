// Readers while commits move, and rebuild, the synopses that tell them where
// not to look: a key that was put is never missed, from before its commit on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/page.h"
#include "cache/l2/simulated_disk.h"
#include "cache/options.h"
#include "cache/policy.h"
#include "cache/verify.h"

namespace larder::cache {
namespace {

using l2::SimulatedDisk;

constexpr int kReaders = 3;
constexpr int kCommits = 250;
constexpr int kKeysPerCommit = 20;  // Of each namespace: 5,000 at last.
constexpr std::array<const char*, 2> kSpaces = {"a", "b"};

std::string KeyName(int i) { return absl::StrCat("key", i); }

class SynopsisReadersTest : public ::testing::Test {
 protected:
  SynopsisReadersTest() {
    // Only commits write pages, and they do so in the test's own thread.
    disk_.SetHook([this](const SimulatedDisk::Operation& now) {
      if (now.kind == SimulatedDisk::OperationKind::kWrite &&
          absl::EndsWith(now.path, "/meta") &&
          !pages_.insert(now.offset / l2::kPageBytes).second) {
        ++reused_pages_;
      }
      return absl::OkStatus();
    });
    options_.l2_path = "/l2";
    options_.l2_bytes_max = int64_t{64} << 20;
    options_.l1_bytes_max = 1 << 20;
    options_.l1_shards = 1;
    options_.background_commits = false;
    options_.clock = &clock_;
    options_.file_system = &disk_;
    options_.random_seed = 7;
  }

  void Put(const std::string& ns, const std::string& key) {
    // So that every read asks L2.
    ASSERT_TRUE(
        cache_->Put(ns, key, key, {.l1_admission = L1Admission::kNever}).ok());
  }

  // A little of everything that moves chunks: keys that stay, keys whose leaves
  // are written anew, and keys that go, which fill a synopsis for nothing.
  void ChangeAndCommit(int commit) {
    for (int i = 0; i < kKeysPerCommit; ++i) {
      for (const std::string ns : kSpaces) Put(ns, KeyName(keys_));
      ++keys_;
    }
    for (const std::string ns : kSpaces) {
      Put(ns, KeyName(static_cast<int>(random_() % keys_)));
      for (int i = 0; i < 20; ++i) {
        Put(ns, absl::StrCat("passing", commit, "/", i));
      }
      ASSERT_TRUE(
          cache_->InvalidatePrefix(ns, absl::StrCat("passing", commit - 1, "/"))
              .ok());
    }
    ASSERT_TRUE(cache_->SweepTombstonedSlice({}).ok());
    ASSERT_TRUE(cache_->Flush().ok());
    const int64_t bytes = cache_->Stats().l2.synopsis_bytes;
    if (bytes > synopsis_bytes_) ++growths_;
    synopsis_bytes_ = bytes;
  }

  // Until the last commit: some of the newest keys, and some of all.
  void ReadUntilStopped(int seed) {
    std::mt19937 random(static_cast<uint32_t>(seed));
    while (!stop_) {
      const int keys = keys_;
      const int newest = std::min(keys, 2 * kKeysPerCommit);
      for (int i = 0; i < newest && !HasFailure(); ++i) {
        const std::string ns = kSpaces[random() % kSpaces.size()];
        for (const uint32_t behind : {random() % newest, random() % keys}) {
          const std::string key = KeyName(keys - 1 - static_cast<int>(behind));
          const auto hit = cache_->Get(ns, key);
          ASSERT_TRUE(hit.has_value()) << ns << "/" << key << " of " << keys;
          ASSERT_EQ(hit->bytes(), key);
        }
        ASSERT_FALSE(
            cache_->Get(ns, absl::StrCat("absent", random())).has_value());
        ++reads_;
      }
    }
  }

  ManualClock clock_{1'700'000'000'000};
  SimulatedDisk disk_;
  BlobCacheOptions options_;
  std::unique_ptr<BlobCache> cache_;
  std::mt19937 random_{1};

  std::set<uint64_t> pages_;  // Written at least once.
  int64_t reused_pages_ = 0;
  int64_t synopsis_bytes_ = 0;
  int growths_ = 0;
  std::atomic<int> keys_{0};  // How many each namespace has.
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> reads_{0};
};

TEST_F(SynopsisReadersTest, NoCommittedKeyIsEverMissed) {
  auto opened = BlobCache::Open(options_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  cache_ = *std::move(opened);
  std::vector<std::thread> readers;
  for (int r = 0; r < kReaders; ++r) {
    readers.emplace_back([this, r] { ReadUntilStopped(r); });
  }
  for (int commit = 0; commit < kCommits && !HasFailure(); ++commit) {
    ChangeAndCommit(commit);
  }
  stop_ = true;
  for (std::thread& reader : readers) reader.join();
  ASSERT_FALSE(HasFailure());
  // It was about what it says.
  EXPECT_GT(reads_, 1'000);
  EXPECT_GE(growths_, 3);
  EXPECT_GT(reused_pages_, kCommits);
  EXPECT_GT(cache_->Stats().l2.negative_skips, 0);
  for (const std::string ns : kSpaces) {
    for (int i = 0; i < kCommits * kKeysPerCommit; ++i) {
      ASSERT_TRUE(cache_->Get(ns, KeyName(i)).has_value()) << KeyName(i);
    }
  }
  cache_.reset();
  const auto verified = VerifyL2(options_);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_THAT(verified->damaged, ::testing::ElementsAre());
  EXPECT_TRUE(verified->clean());
}

}  // namespace
}  // namespace larder::cache
