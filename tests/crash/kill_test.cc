// kill -9 at random moments of everything that changes an L2, by real processes
// on a real directory: it opens, verifies clean but for orphans, serves nothing
// torn and nothing that was invalidated, holds all that was committed, and
// sheds its orphans.
//
// LARDER_KILLS: how often. LARDER_KILL_BYTES: what the cache may hold; about a
// third of it is in use, or all of it while evicting. LARDER_KILL_VERIFY: after
// how many kills everything is read, and not only what was touched.
// LARDER_SEED: what is done, and when it ends, counted in operations that
// returned and in polls of the pipe.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/options.h"
#include "cache/verify.h"
#include "tests/crash/child_process.h"
#include "tests/crash/kill_model.h"
#include "tests/crash/kill_plan.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

using cache::BlobCache;

std::vector<std::string> Arguments(const std::string& directory,
                                   const KillPlan& plan,
                                   cache::Durability durability,
                                   const KillModel& model) {
  std::vector<std::string> arguments = {
      "tests/crash/kill_child",     directory,
      absl::StrCat(plan.bytes_max), plan.evicting ? "true" : "false",
      absl::StrCat(plan.seed),      absl::StrCat(static_cast<int>(durability))};
  for (int t = 0; t < kKillThreads; ++t) {
    arguments.push_back(absl::StrCat(model.next(t)));
  }
  return arguments;
}

// One process, from start to kill, and what the model learns of it.
class Child {
 public:
  Child(const std::string& directory, const KillPlan& plan,
        cache::Durability durability, KillModel* model)
      : model_(model),
        process_(Arguments(directory, plan, durability, *model)) {
    model->Started(durability);
  }

  // Waits until it has reported something, or for so long.
  // Returns: false when it has ended by itself.
  bool Wait(int milliseconds) {
    char buffer[16 << 10];
    reported_.append(buffer,
                     process_.Read(milliseconds, buffer, sizeof(buffer)));
    size_t at = 0;
    for (KillReport r; reported_.size() - at >= sizeof(r); at += sizeof(r)) {
      std::memcpy(&r, reported_.data() + at, sizeof(r));
      model_->Returned(static_cast<int>(r.thread), r.number);
      ++returned_;
    }
    reported_.erase(0, at);
    return !process_.ended();
  }

  void Kill() {
    process_.Kill();
    while (Wait(-1)) {
    }
    EXPECT_EQ(reported_, "");
    model_->Killed();
  }

  // Operations that returned.
  int64_t returned() const { return returned_; }

 private:
  KillModel* const model_;
  ChildProcess process_;
  std::string reported_;  // The beginning of a report.
  int64_t returned_ = 0;
};

class KillTest : public ::testing::Test {
 protected:
  KillTest() : directory_(absl::StrCat(::testing::TempDir(), "/kill_test")) {
    std::filesystem::remove_all(directory_);
  }
  ~KillTest() override { std::filesystem::remove_all(directory_); }

  cache::BlobCacheOptions CacheOptions() const {
    return KillCacheOptions(plan_, directory_, cache::Durability::kInterval);
  }
  void Run(bool evicting, int64_t kills);
  // Runs a process until so many operations have returned, and for up to so
  // long after that.
  void RunAndKill(int64_t operations, int milliseconds,
                  cache::Durability durability);
  void Check(bool all);
  void CheckKey(BlobCache* cache, const KillModel::Key& key);
  void CheckOrphans(BlobCache* cache);
  // Returns: orphaned bytes.
  int64_t Verify();
  void PrintWhatWasDone(int64_t kills);

  const std::string directory_;
  KillPlan plan_;
  std::unique_ptr<KillModel> model_;
  std::mt19937_64 random_;
  int64_t checks_ = 0, orphans_met_ = 0, orphan_bytes_ = 0, reclaims_ = 0;
  int64_t verifies_ = 0, gets_ = 0, hits_ = 0, required_ = 0, gone_ = 0;
};

void KillTest::RunAndKill(int64_t operations, int milliseconds,
                          cache::Durability durability) {
  Child child(directory_, plan_, durability, model_.get());
  while (child.returned() < operations) {
    ASSERT_TRUE(child.Wait(-1)) << "it ended by itself";
  }
  ASSERT_TRUE(child.Wait(milliseconds)) << "it ended by itself";
  child.Kill();
}

void KillTest::CheckKey(BlobCache* cache, const KillModel::Key& key) {
  const auto& [thread, scratch, number] = key;
  const std::string ns = KillNamespace(thread, scratch);
  const std::string name = KillKeyName(plan_, number);
  const KillModel::Allowed allowed = model_->Find(key);
  const auto hit = cache->Get(ns, name);
  ++gets_;
  required_ += allowed.absent ? 0 : 1;
  gone_ += allowed.puts.empty() ? 1 : 0;
  if (!hit.has_value()) {
    EXPECT_TRUE(allowed.absent)
        << ns << "/" << name << " is lost: put " << allowed.puts[0];
    return;
  }
  ++hits_;
  const uint64_t found = KillNumberOf(hit->attributes().version);
  EXPECT_THAT(allowed.puts, ::testing::Contains(found))
      << ns << "/" << name << " came back";
  const KillOperation put = KillOperationAt(plan_, thread, found);
  EXPECT_EQ(put.key, number);
  EXPECT_EQ(put.scratch, scratch);
  EXPECT_TRUE(hit->bytes() == KillBytes(plan_, put))
      << ns << "/" << name << " of put " << found << " is torn";
}

void KillTest::CheckOrphans(BlobCache* cache) {
  const auto count = [&] {
    int64_t bytes = 0;
    const absl::Status walked =
        cache->L2OrphanChains([&](const cache::OrphanChain& orphan) {
          bytes += static_cast<int64_t>(orphan.bytes);
          return true;
        });
    EXPECT_TRUE(walked.ok()) << walked;
    return bytes;
  };
  const int64_t bytes = count();
  orphans_met_ += bytes > 0 ? 1 : 0;
  orphan_bytes_ += bytes;
  // They may pile up, but not until something must be evicted for them.
  if (random_() % 2 == 0 && bytes < plan_.bytes_max / 16) return;
  for (bool done = false; !done;) {
    const auto slice = cache->ReclaimOrphansSlice({});
    ASSERT_TRUE(slice.ok()) << slice.status();
    done = slice->done;
  }
  ++reclaims_;
  EXPECT_EQ(count(), 0);
}

int64_t KillTest::Verify() {
  const auto report = cache::VerifyL2(CacheOptions());
  EXPECT_TRUE(report.ok()) << report.status();
  if (!report.ok()) return 0;
  EXPECT_THAT(report->damaged, ::testing::ElementsAre());
  EXPECT_TRUE(report->clean());
  EXPECT_LE(report->file_bytes, plan_.bytes_max);
  ++verifies_;
  return report->orphaned_bytes;
}

void KillTest::Check(bool all) {
  constexpr int kSample = 50;
  if (all) Verify();
  const int64_t reclaims_before = reclaims_;
  {
    cache::BlobCacheOptions options = CacheOptions();
    options.l2_must_exist = true;
    options.background_commits = false;
    auto opened = BlobCache::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    const std::vector<KillModel::Key> keys = model_->Keys();
    std::vector<KillModel::Key> chosen = model_->TakeTouched();
    for (int i = 0; i < kSample; ++i) {
      chosen.push_back(keys[random_() % keys.size()]);
    }
    for (const KillModel::Key& key : all ? keys : chosen) {
      CheckKey(opened->get(), key);
    }
    EXPECT_EQ((*opened)->Stats().l2.damaged_reads, 0);
    EXPECT_EQ((*opened)->Stats().l2.degraded, "");
    CheckOrphans(opened->get());
  }
  ++checks_;
  if (!all || reclaims_ == reclaims_before) return;
  EXPECT_EQ(Verify(), 0);
}

void KillTest::PrintWhatWasDone(int64_t kills) {
  int64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(directory_)) {
    bytes += static_cast<int64_t>(file.file_size());
  }
  const auto number = [](int64_t n) { return static_cast<long long>(n); };
  std::printf(
      "%lld kills, %lld puts and %lld invalidations that returned, a directory "
      "of %lld bytes\n%lld checks: %lld gets of %lld hits, %lld required, %lld "
      "of what is gone; %lld met orphans (%lld bytes), %lld reclaimed them; "
      "%lld full verifications\n",
      number(kills), number(model_->puts()), number(model_->invalidations()),
      number(bytes), number(checks_), number(gets_), number(hits_),
      number(required_), number(gone_), number(orphans_met_),
      number(orphan_bytes_), number(reclaims_), number(verifies_));
  std::fflush(stdout);  // Long runs are watched.
}

void KillTest::Run(bool evicting, int64_t kills) {
  plan_.seed = SeedOr(1);
  kills = CountOr("LARDER_KILLS", kills);
  plan_.bytes_max = CountOr("LARDER_KILL_BYTES", int64_t{64} << 20);
  plan_.evicting = evicting;
  const int64_t verify_every = CountOr("LARDER_KILL_VERIFY", 50);
  model_ = std::make_unique<KillModel>(plan_);
  random_.seed(plan_.seed);
  // Fills it first: a kill should find much to lose.
  const int64_t to_fill =
      4 * kKillThreads * static_cast<int64_t>(KillKeys(plan_));
  for (int64_t i = 0; i < kills; ++i) {
    SCOPED_TRACE(absl::StrCat("kill ", i));
    // Now and then while it opens; else anywhere.
    const uint64_t operations = random_() % 8 * (random_() % 50);
    RunAndKill(i == 0 ? to_fill : static_cast<int64_t>(operations),
               static_cast<int>(random_() % 25),
               i == 0 ? cache::Durability::kInterval
                      : static_cast<cache::Durability>(random_() % 3));
    const bool all = i % verify_every == 0 || i + 1 == kills;
    // Sometimes the next process comes upon it first.
    if (all || random_() % 4 != 0) Check(all);
    if (HasFailure()) return;
    if (!all) continue;
    PrintWhatWasDone(i + 1);
  }
  EXPECT_GT(hits_, 0);
  EXPECT_GT(gone_, 0);
  EXPECT_EQ(required_ > 0, !evicting);
  EXPECT_TRUE(orphans_met_ > 0 || kills < 20);
}

TEST_F(KillTest, WithRoom) { Run(/*evicting=*/false, /*kills=*/120); }

TEST_F(KillTest, WhileEvicting) { Run(/*evicting=*/true, /*kills=*/80); }

}  // namespace
}  // namespace larder::tests
