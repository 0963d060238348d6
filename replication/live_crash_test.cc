// Kills the replica, or cuts its power, at every single I/O operation of an
// apply, opens it again, and expects the old snapshot or the new one, whole;
// and that it goes on from there.
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/orchestrator.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/verify.h"
#include "gtest/gtest.h"
#include "replication/live_replica_test_support.h"
#include "replication/promotion.h"

namespace larder::replication {
namespace {

using backup::BackupReport;
using backup::Outcome;
using cache::l2::SimulatedDisk;
using Operation = SimulatedDisk::Operation;

enum class Death { kKill, kPowerCut };

struct Case {
  Death death;
  // What is applied when it dies.
  enum class What { kFirst, kDelta, kAside, kFull, kPromotion } what;
};

class Crash {
 public:
  Crash(Case c, uint64_t seed)
      : case_(c),
        seed_(seed),
        replica_(&clock_,
                 {.changes = c.what == Case::What::kAside ? 5 : 1000}) {
    EXPECT_TRUE(replica_.Start().ok());
    for (int i = 0; i < 40; ++i) {
      Put("a", i, absl::StrCat("old", i, std::string(1500, 'o')));
    }
    if (c.what == Case::What::kFirst) return;
    EXPECT_EQ(primary_.Backup({&replica_}).outcome, Outcome::kOk);
    before_ = model_;
    for (int i = 0; i < 12; ++i) {
      Put("a", 3 * i, absl::StrCat("new", i, std::string(1800, 'n')));
    }
    Put("b", 1, "other");
    const std::vector<std::string> tags = {"even"};
    EXPECT_TRUE(primary_.cache->InvalidateTags("a", tags).ok());
    std::erase_if(model_, [](const auto& e) {
      return e.first.first == "a" && (e.first.second.back() - '0') % 2 == 0;
    });
    EXPECT_TRUE(primary_.cache->InvalidateKey("a", "7").ok());
    model_.erase({"a", "7"});
    EXPECT_TRUE(
        primary_.cache->Flush().ok());  // Its digest is that of the end.
  }

  // Dies at operation `at`, counted from here. Returns: whether it came so far.
  bool Die(uint64_t at) {
    const uint64_t first = replica_.disk.operation_count();
    bool dead = false;
    replica_.disk.SetHook([&](const Operation& now) {
      if (now.index < first + at) return absl::OkStatus();
      if (!dead && case_.death == Death::kPowerCut) {
        replica_.disk.PowerCut(seed_ * 1'000'003 + at);
      } else if (!dead) {
        replica_.disk.KillProcess();
      }
      dead = true;
      return absl::InternalError("the process is dead");
    });
    if (case_.what == Case::What::kPromotion) {
      replica_.Stop();
      promoted_ = Promote(Options(), 0).ok();
    } else {
      acknowledged_ =
          primary_
              .Backup({&replica_}, 1, {.full = case_.what == Case::What::kFull})
              .outcome == Outcome::kOk;
    }
    replica_.Stop();
    replica_.disk.SetHook(nullptr);
    return dead;
  }

  void ExpectOldOrNew() {
    if (case_.what == Case::What::kPromotion) return ExpectEither();
    const absl::Status started = replica_.Start();
    ASSERT_TRUE(started.ok()) << started;
    LiveModel all = before_;
    all.insert(model_.begin(), model_.end());
    if (replica_.live->View() == nullptr) {
      EXPECT_FALSE(acknowledged_);
      EXPECT_TRUE(before_.empty());
    } else {
      const LiveModel content = replica_.Content(all);
      const bool is_new = replica_.digest() == primary_.digest();
      EXPECT_TRUE(content == (is_new ? model_ : before_)) << is_new;
      EXPECT_TRUE(is_new || !acknowledged_);
      news_ += is_new ? 1 : 0;
    }
    // It goes on, whatever it has.
    const BackupReport again = primary_.Backup({&replica_});
    ASSERT_EQ(again.outcome, Outcome::kOk) << again.sinks[0].status;
    EXPECT_EQ(replica_.digest(), primary_.digest());
    EXPECT_TRUE(replica_.Content(all) == model_);
    replica_.Stop();
    ExpectSound();
  }

  bool is_new() const { return news_ > 0; }

 private:
  cache::BlobCacheOptions Options() {
    return LiveCacheOptions(&clock_, &replica_.disk, 1);
  }
  void Put(const std::string& ns, int i, const std::string& bytes) {
    const std::string key = absl::StrCat(i);
    cache::PutOptions options;
    if (i % 2 == 0) options.tags = {"even"};
    ASSERT_TRUE(primary_.cache->Put(ns, key, bytes, options).ok());
    model_[{ns, key}] = bytes;
  }
  // A replica still, or a primary; of the old content, which can be put to.
  void ExpectEither() {
    auto opened = cache::BlobCache::Open(Options());
    if (!opened.ok()) {
      EXPECT_FALSE(promoted_);
      EXPECT_TRUE(absl::IsFailedPrecondition(opened.status()));
      const auto again = Promote(Options(), 0);
      ASSERT_TRUE(again.ok()) << again.status();
      EXPECT_GE(again->term, 2);
      opened = cache::BlobCache::Open(Options());
      ASSERT_TRUE(opened.ok()) << opened.status();
    }
    for (const auto& [key, bytes] : before_) {
      const auto hit = (*opened)->Get(key.first, key.second);
      ASSERT_TRUE(hit.has_value()) << key.second;
      EXPECT_EQ(hit->bytes(), bytes);
    }
    EXPECT_TRUE((*opened)->Put("a", "more", "bytes", {}).ok());
    opened->reset();
    EXPECT_GE(*PrimaryTerm(&replica_.disk, kLiveL2), 2);
    ExpectSound();
    // It is the L2's, not of the path that it was promoted under.
    ASSERT_TRUE(replica_.disk.Rename(kLiveL2, "/data/moved").ok());
    EXPECT_GE(*PrimaryTerm(&replica_.disk, "/data/moved"), 2);
  }
  void ExpectSound() {
    const auto report = cache::VerifyL2(Options());
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_TRUE(report->clean());
    for (const char* aside : {"building", "next", "old"}) {
      EXPECT_FALSE(
          replica_.disk.Exists(absl::StrCat(kLiveL2, ".replica/", aside)));
    }
  }

  const Case case_;
  const uint64_t seed_;
  cache::ManualClock clock_{1'700'000'000'000};
  LivePrimary primary_{&clock_};
  LiveReplica replica_;
  LiveModel model_, before_;
  bool acknowledged_ = false;
  bool promoted_ = false;
  int news_ = 0;
};

void DieEverywhere(Case c) {
  constexpr uint64_t kSeed = 1;
  int deaths = 0, news = 0;
  for (uint64_t at = 0;; ++at) {
    SCOPED_TRACE(absl::StrCat("operation ", at, ", seed ", kSeed));
    Crash crash(c, kSeed);
    if (!crash.Die(at)) break;
    ++deaths;
    crash.ExpectOldOrNew();
    news += crash.is_new() ? 1 : 0;
    if (::testing::Test::HasFailure()) return;
  }
  std::printf("%d deaths, %d of them after the commit\n", deaths, news);
  EXPECT_GT(deaths, 10);
  if (c.what != Case::What::kPromotion) {
    EXPECT_GT(news, 0);
    EXPECT_LT(news, deaths);
  }
}

TEST(LiveCrashTest, KilledInTheFirstDump) {
  DieEverywhere({Death::kKill, Case::What::kFirst});
}
TEST(LiveCrashTest, KilledInADelta) {
  DieEverywhere({Death::kKill, Case::What::kDelta});
}
TEST(LiveCrashTest, KilledInADeltaThatIsBuiltAside) {
  DieEverywhere({Death::kKill, Case::What::kAside});
}
TEST(LiveCrashTest, KilledInAFullDump) {
  DieEverywhere({Death::kKill, Case::What::kFull});
}
TEST(LiveCrashTest, KilledInAPromotion) {
  DieEverywhere({Death::kKill, Case::What::kPromotion});
}
TEST(LiveCrashTest, PowerCutInTheFirstDump) {
  DieEverywhere({Death::kPowerCut, Case::What::kFirst});
}
TEST(LiveCrashTest, PowerCutInADelta) {
  DieEverywhere({Death::kPowerCut, Case::What::kDelta});
}
TEST(LiveCrashTest, PowerCutInADeltaThatIsBuiltAside) {
  DieEverywhere({Death::kPowerCut, Case::What::kAside});
}
TEST(LiveCrashTest, PowerCutInAFullDump) {
  DieEverywhere({Death::kPowerCut, Case::What::kFull});
}
TEST(LiveCrashTest, PowerCutInAPromotion) {
  DieEverywhere({Death::kPowerCut, Case::What::kPromotion});
}

}  // namespace
}  // namespace larder::replication
