// Random mutations, and backups to some of several live replicas, so that each
// delta starts from another base. After each, every replica serves what the
// model held when it was fed last, and has the primary's digest of then.
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backup/orchestrator.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/policy.h"
#include "cache/replica_l2.h"
#include "gtest/gtest.h"
#include "replication/live_replica_test_support.h"

namespace larder::replication {
namespace {

using backup::BackupReport;
using backup::Outcome;

constexpr int kKeys = 300;
constexpr int kRounds = 25;
constexpr int kReplicas = 4;

// What is valid in the primary, by the words of its own API.
struct Entry {
  std::string bytes;
  std::string tag;
  int64_t expires_at = 0;
};
using Entries = std::map<std::pair<std::string, std::string>, Entry>;

class Fleet {
 public:
  explicit Fleet(uint64_t seed) : random_(seed) {
    for (int i = 0; i < kReplicas; ++i) {
      // Some of them have to build deltas aside.
      cache::ReplicaL2::DeltaLimits limits;
      if (i == 1) limits.changes = 30;
      replicas_.push_back(std::make_unique<LiveReplica>(&clock_, limits));
      EXPECT_TRUE(replicas_.back()->Start().ok());
    }
    last_.resize(kReplicas);
    digests_.resize(kReplicas);
  }

  void Round() {
    const int mutations = static_cast<int>(random_() % 120);
    for (int i = 0; i < mutations; ++i) Mutate();
    if (random_() % 4 == 0) Sweep();
    std::vector<int> fed;
    std::vector<LiveReplica*> sinks;
    for (int i = 0; i < kReplicas; ++i) {
      if (random_() % 2 == 0) continue;
      fed.push_back(i);
      sinks.push_back(replicas_[i].get());
    }
    if (!fed.empty()) {
      const BackupReport report =
          primary_.Backup(sinks, 1, {.full = random_() % 10 == 0});
      ASSERT_EQ(report.outcome, Outcome::kOk)
          << report.status << " " << report.sinks[0].status;
      for (const auto& sink : report.sinks) {
        deltas_ += sink.base_snapshot_id.empty() ? 0 : 1;
      }
    }
    for (const int i : fed) {
      last_[i] = entries_;
      digests_[i] = primary_.digest();
    }
    if (random_() % 3 == 0) Restart();
    for (int i = 0; i < kReplicas; ++i) {
      Check(i);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }

  int deltas() const { return deltas_; }

 private:
  std::string Namespace() { return random_() % 4 == 0 ? "b" : "a"; }
  std::string Key() {
    return absl::StrCat(random_() % 2 == 0 ? "x" : "y", random_() % kKeys);
  }

  void Mutate() {
    const std::string ns = Namespace();
    switch (random_() % 40) {
      case 0: {
        const std::vector<std::string> tags = {Tag()};
        ASSERT_TRUE(primary_.cache->InvalidateTags(ns, tags).ok());
        Erase(ns,
              [&](const auto&, const Entry& e) { return e.tag == tags[0]; });
        return;
      }
      case 1: {
        const std::string prefix = Key().substr(0, 2);
        ASSERT_TRUE(primary_.cache->InvalidatePrefix(ns, prefix).ok());
        Erase(ns, [&](const std::string& key, const Entry&) {
          return key.compare(0, prefix.size(), prefix) == 0;
        });
        return;
      }
      case 2:
        if (random_() % 4 != 0) return;
        ASSERT_TRUE(primary_.cache->FlushNamespace(ns).ok());
        Erase(ns, [](const auto&, const auto&) { return true; });
        return;
      case 3:
      case 4:
      case 5:
      case 6: {
        const std::string key = Key();
        ASSERT_TRUE(primary_.cache->InvalidateKey(ns, key).ok());
        entries_.erase({ns, key});
        return;
      }
      case 7:
        clock_.AdvanceMillis(static_cast<int64_t>(random_() % 2000));
        return;
      default:
        Put(ns, Key());
    }
  }
  void Put(const std::string& ns, const std::string& key) {
    Entry e;
    // Inline, in one frame, in several.
    const size_t sizes[] = {0, 20, 700, 5000, 300'000};
    e.bytes.resize(sizes[random_() % (random_() % 20 == 0 ? 5 : 4)]);
    for (char& byte : e.bytes) byte = static_cast<char>(random_());
    cache::PutOptions options;
    if (random_() % 3 == 0) {
      e.tag = Tag();
      options.tags = {e.tag};
    }
    if (random_() % 8 == 0) {
      options.ttl_ms = 1 + static_cast<int64_t>(random_() % 20'000);
      e.expires_at = clock_.NowUnixMillis() + options.ttl_ms;
    }
    ASSERT_TRUE(primary_.cache->Put(ns, key, e.bytes, options).ok());
    entries_[{ns, key}] = std::move(e);
  }
  std::string Tag() { return absl::StrCat("tag", random_() % 10); }
  template <typename Covers>
  void Erase(const std::string& ns, Covers covers) {
    std::erase_if(entries_, [&](const auto& entry) {
      return entry.first.first == ns &&
             covers(entry.first.second, entry.second);
    });
  }

  // Of the primary: what no reader sees goes, tombstones retire.
  void Sweep() {
    for (const bool due : {true, false}) {
      for (bool done = false; !done;) {
        const auto slice = due ? primary_.cache->SweepDueSlice({})
                               : primary_.cache->SweepTombstonedSlice({});
        ASSERT_TRUE(slice.ok()) << slice.status();
        done = slice->done;
      }
    }
  }

  void Restart() {
    LiveReplica& replica = *replicas_[random_() % kReplicas];
    replica.Stop();
    ASSERT_TRUE(replica.Start().ok());
  }

  void Check(int i) {
    const LiveReplica& replica = *replicas_[i];
    if (replica.live->View() == nullptr) {
      ASSERT_TRUE(last_[i].empty());
      return;
    }
    ASSERT_EQ(replica.digest(), digests_[i]) << i;
    const int64_t now = clock_.NowUnixMillis();
    for (const char* ns : {"a", "b"}) {
      for (int k = 0; k < 2 * kKeys; ++k) {
        const std::string key = absl::StrCat(k % 2 == 0 ? "x" : "y", k / 2);
        const auto found = last_[i].find({ns, key});
        const bool there =
            found != last_[i].end() &&
            (found->second.expires_at == 0 || now < found->second.expires_at);
        const auto read = replica.Read(ns, key);
        ASSERT_EQ(read.ok(), there)
            << i << " " << ns << "/" << key << " " << read.status();
        if (there) {
          ASSERT_EQ((*read)->bytes(), found->second.bytes);
        }
      }
    }
  }

  std::mt19937_64 random_;
  cache::ManualClock clock_{1'700'000'000'000};
  LivePrimary primary_{&clock_};
  std::vector<std::unique_ptr<LiveReplica>> replicas_;
  Entries entries_;
  std::vector<Entries> last_;  // Of each replica.
  std::vector<absl::uint128> digests_;
  int deltas_ = 0;
};

TEST(LivePropertyTest, EveryReplicaIsWhatThePrimaryWas) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Fleet fleet(seed);
    for (int round = 0; round < kRounds; ++round) {
      fleet.Round();
      ASSERT_FALSE(::testing::Test::HasFailure()) << "round " << round;
    }
    EXPECT_GT(fleet.deltas(), kRounds / 2);
  }
}

}  // namespace
}  // namespace larder::replication
