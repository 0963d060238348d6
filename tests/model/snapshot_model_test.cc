// A snapshot taken in the middle of puts, compare-and-sets, deletes,
// invalidations, flushes, sweeps, evictions and commits holds exactly what the
// mutations of its epoch and of the ones before it left, and restores to that.
//
// Replay: --test_env=LARDER_SEED=N --test_env=LARDER_ROUNDS=1. What the threads
// do follows from the seed; how they interleave does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/snapshot.h"
#include "cache/verify.h"
#include "tests/support/content.h"
#include "tests/support/history.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

using cache::BlobCache;
using cache::BlobCacheOptions;
using cache::Hlc;
using cache::StoredRecord;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Lt;
using Kind = LoggedMutation::Kind;

constexpr int64_t kStart = 1'700'000'000'000;
constexpr int kMutators = 3;
constexpr int kKeys = 48;
constexpr int kNames = 3;  // Tags, dependencies and prefixes of each kind.
const char* const kNamespaces[] = {"alpha", "beta"};

struct Variant {
  int64_t l2_bytes_max = int64_t{64} << 20;
  size_t content_bytes_max = 300'000;
  // Whether nothing is ever evicted: then the snapshot is exactly the model.
  bool exact = true;
  int operations = 60;  // Of each mutator.
};

// The newest invalidation that has returned, for readers to hold their hits
// against: no hit that began later may be older.
class Floors {
 public:
  void Raise(const LoggedMutation& m) {
    std::atomic<uint64_t>& floor = floors_[Index(m.ns, m.kind, m.name)];
    uint64_t now = floor.load();
    while (now < m.at.hlc.value &&
           !floor.compare_exchange_weak(now, m.at.hlc.value)) {
    }
  }
  uint64_t Get(const std::string& ns, Kind kind,
               const std::string& name) const {
    return floors_[Index(ns, kind, name)].load();
  }

 private:
  static size_t Index(const std::string& ns, Kind kind,
                      const std::string& name) {
    const size_t number = name.empty() ? 0 : std::stoul(name.substr(1));
    return ((ns == kNamespaces[0] ? 0 : 1) * 6 + static_cast<size_t>(kind)) *
               kKeys +
           number;
  }
  std::array<std::atomic<uint64_t>, 2 * 6 * kKeys> floors_{};
};

// Keys are "p12/key": the prefix number is the key's modulo kNames.
std::string KeyName(uint64_t i) {
  return absl::StrCat("p", i % kNames, "/", i);
}
uint64_t KeyNumber(const std::string& key) {
  return std::stoul(key.substr(key.find('/') + 1));
}

// A snapshot that was taken and restored while the storm went on.
struct Captured {
  cache::SnapshotInfo info;
  std::unique_ptr<cache::l2::SimulatedDisk> disk;  // Holds the restored L2.
  cache::SnapshotInfo restored;
  std::map<std::pair<std::string, std::string>, Hlc> records;
  absl::Status status;
};

class Storm {
 public:
  Storm(uint64_t seed, const Variant& variant)
      : seed_(seed), variant_(variant) {
    std::mt19937_64 random(seed);
    options_ = Options(&disk_, variant.l2_bytes_max);
    options_.background_commits = random() % 4 != 0;
    options_.commit_interval_ms = 1 + static_cast<int64_t>(random() % 3);
    if (random() % 4 == 0) options_.durability = cache::Durability::kEveryPut;
    auto opened = BlobCache::Open(options_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    cache_ = *std::move(opened);
  }

  // Returns: how many snapshots were compared with the model.
  int Run();

 private:
  BlobCacheOptions Options(cache::l2::FileSystem* disk, int64_t l2_bytes_max) {
    BlobCacheOptions o;
    o.l2_path = "/l2";
    o.l2_bytes_max = l2_bytes_max;
    o.l1_bytes_max = 1 << 20;
    o.l1_shards = 4;
    o.background_commits = false;
    o.clock = &clock_;
    o.file_system = disk;
    o.random_seed = seed_ + 1;
    return o;
  }

  void Mutate(int thread);
  void MutateOnce(std::mt19937_64& random, std::vector<LoggedMutation>* log);
  void Put(std::mt19937_64& random, LoggedMutation m,
           std::vector<LoggedMutation>* log);
  void Invalidate(LoggedMutation m, std::vector<LoggedMutation>* log);
  void Sweep();
  void Read();
  void CheckHit(const std::string& ns, const std::string& key,
                const cache::Hit& hit);
  Captured Capture();
  void Restore(const cache::Snapshot& snapshot, Captured* captured);
  void Check(const Captured& captured,
             const std::vector<LoggedMutation>& mutations);
  void CheckInfo(const Captured& captured,
                 const std::vector<LoggedMutation>& mutations);
  void CheckClosed(cache::l2::FileSystem* disk, int64_t l2_bytes_max);

  const uint64_t seed_;
  const Variant variant_;
  cache::ManualClock clock_{kStart};
  cache::l2::SimulatedDisk disk_;
  BlobCacheOptions options_;
  std::unique_ptr<BlobCache> cache_;
  Floors floors_;
  std::atomic<int> operations_done_{0};
  std::atomic<bool> stop_{false};
  std::vector<LoggedMutation> logs_[kMutators];
};

// --- What the threads do

void Storm::Mutate(int thread) {
  std::mt19937_64 random(seed_ * 31 + static_cast<uint64_t>(thread));
  for (int i = 0; i < variant_.operations; ++i) {
    MutateOnce(random, &logs_[thread]);
    operations_done_.fetch_add(1);
  }
}

void Storm::MutateOnce(std::mt19937_64& random,
                       std::vector<LoggedMutation>* log) {
  LoggedMutation m;
  m.ns = kNamespaces[random() % 2];
  const uint64_t name = random() % kNames;
  const uint64_t choice = random() % 100;
  if (choice < 70) {
    m.name = KeyName(random() % kKeys);
    Put(random, std::move(m), log);
  } else if (choice < 90) {
    m.kind = choice < 80   ? Kind::kDelete
             : choice < 83 ? Kind::kPrefix
             : choice < 86 ? Kind::kTag
             : choice < 89 ? Kind::kDependency
                           : Kind::kFlush;
    m.name = m.kind == Kind::kDelete       ? KeyName(random() % kKeys)
             : m.kind == Kind::kPrefix     ? absl::StrCat("p", name, "/")
             : m.kind == Kind::kTag        ? absl::StrCat("t", name)
             : m.kind == Kind::kDependency ? absl::StrCat("d", name)
                                           : "";
    Invalidate(std::move(m), log);
  } else if (choice < 95) {
    clock_.AdvanceMillis(static_cast<int64_t>(random() % 4));
  } else {
    const absl::Status flushed = cache_->Flush();
    EXPECT_TRUE(flushed.ok()) << flushed;
  }
}

void Storm::Put(std::mt19937_64& random, LoggedMutation m,
                std::vector<LoggedMutation>* log) {
  m.content = random() % 20 == 0 ? 0 : random() >> 1;
  cache::PutOptions& o = m.options;
  if (random() % 4 == 0) {
    o.expires_at_unix_ms =
        clock_.NowUnixMillis() + static_cast<int64_t>(random() % 40);
  }
  if (random() % 8 == 0) o.stale_while_revalidate_ms = 5;
  o.version = 1 + random() % 4;
  o.l1_admission = static_cast<cache::L1Admission>(random() % 3);
  if (random() % 3 == 0) o.tags = {absl::StrCat("t", random() % kNames)};
  if (random() % 3 == 0) {
    o.dependencies = {absl::StrCat("d", random() % kNames)};
  }
  if (random() % 5 == 0) o.metadata = {{"type", absl::StrCat(m.content)}};
  const std::string bytes = ContentOf(m.content, variant_.content_bytes_max);
  if (random() % 6 != 0) {
    const auto put = cache_->Put(m.ns, m.name, bytes, o);
    ASSERT_TRUE(put.ok()) << put.status();
    m.at = *put;
  } else {
    const auto set =
        cache_->CompareAndSet(m.ns, m.name, random() % 4, bytes, o);
    ASSERT_TRUE(set.ok()) << set.status();
    if (!set->committed) return;
    m.at = set->mutation;
  }
  log->push_back(std::move(m));
}

void Storm::Invalidate(LoggedMutation m, std::vector<LoggedMutation>* log) {
  absl::StatusOr<cache::Mutation> done = absl::UnknownError("not called");
  switch (m.kind) {
    case Kind::kDelete:
      done = cache_->InvalidateKey(m.ns, m.name);
      break;
    case Kind::kPrefix:
      done = cache_->InvalidatePrefix(m.ns, m.name);
      break;
    case Kind::kTag:
      done = cache_->InvalidateTags(m.ns, {m.name});
      break;
    case Kind::kDependency:
      done = cache_->InvalidateDependencies(m.ns, {m.name});
      break;
    case Kind::kFlush:
      if (const auto flushed = cache_->FlushNamespace(m.ns); flushed.ok()) {
        done = flushed->mutation;
      }
      break;
    case Kind::kPut:
      break;
  }
  ASSERT_TRUE(done.ok()) << done.status();
  m.at = *done;
  if (m.kind == Kind::kDelete) {
    LoggedMutation floor = m;
    floor.name = absl::StrCat("k", KeyNumber(m.name));
    floors_.Raise(floor);
  } else {
    floors_.Raise(m);
  }
  log->push_back(std::move(m));
}

void Storm::Sweep() {
  for (uint64_t i = 0; !stop_; ++i) {
    const cache::SliceLimit limit{.entries_max = 1 + static_cast<int>(i % 7)};
    for (const absl::Status& status :
         {cache_->SweepL1Slice(limit).status(),
          cache_->SweepDueSlice(limit).status(),
          cache_->SweepTombstonedSlice(limit).status(),
          cache_->SweepTombstonedSlice(limit).status(),
          i % 16 == 0 ? cache_->ReclaimOrphansSlice({}).status()
                      : absl::OkStatus()}) {
      // An orphan round gives way when its pin keeps too much from reuse.
      EXPECT_TRUE(status.ok() || absl::IsAborted(status)) << status;
    }
  }
}

void Storm::Read() {
  std::mt19937_64 random(seed_ * 31 + 99);
  std::map<std::pair<std::string, std::string>, Hlc> newest;
  while (!stop_) {
    const std::string ns = kNamespaces[random() % 2];
    const std::string key = KeyName(random() % kKeys);
    const std::array<uint64_t, 3> floor = {
        floors_.Get(ns, Kind::kFlush, ""),
        floors_.Get(ns, Kind::kDelete, absl::StrCat("k", KeyNumber(key))),
        floors_.Get(ns, Kind::kPrefix, key.substr(0, 2))};
    std::array<std::array<uint64_t, kNames>, 2> floors;
    for (int i = 0; i < kNames; ++i) {
      floors[0][i] = floors_.Get(ns, Kind::kTag, absl::StrCat("t", i));
      floors[1][i] = floors_.Get(ns, Kind::kDependency, absl::StrCat("d", i));
    }
    const auto hit = cache_->Get(ns, key);
    if (!hit.has_value()) continue;
    const cache::BlobAttributes& a = hit->attributes();
    EXPECT_THAT(floor, Each(Lt(a.hlc.value)))
        << ns << "/" << key << ": flush, delete, prefix; from tier "
        << static_cast<int>(hit->tier());
    for (const std::string& t : a.tags) {
      EXPECT_GT(a.hlc.value, floors[0][std::stoul(t.substr(1))]) << t;
    }
    for (const std::string& d : a.dependencies) {
      EXPECT_GT(a.hlc.value, floors[1][std::stoul(d.substr(1))]) << d;
    }
    Hlc& seen = newest[{ns, key}];
    EXPECT_GE(a.hlc, seen) << ns << "/" << key << " went back";
    seen = std::max(seen, a.hlc);
  }
}

// --- The snapshots

Captured Storm::Capture() {
  Captured captured;
  auto snapshot = cache_->TakeSnapshot({.owner = "test"});
  captured.status = snapshot.status();
  if (!snapshot.ok()) return captured;
  captured.info = (*snapshot)->info();
  captured.disk = std::make_unique<cache::l2::SimulatedDisk>();
  Restore(**snapshot, &captured);
  return captured;
}

void Storm::Restore(const cache::Snapshot& snapshot, Captured* captured) {
  absl::Status& status = captured->status;
  BlobCacheOptions target = Options(captured->disk.get(), int64_t{64} << 20);
  target.random_seed += 1;  // Lineages come from it.
  auto loader = cache::CreateL2Loader(target, captured->info);
  ASSERT_TRUE(loader.ok()) << loader.status();
  cache::Snapshot::Position position;
  std::string frame;
  while (!position.at_end) {
    std::vector<StoredRecord> records;
    std::vector<std::string> damage;
    status = snapshot.Read(7, &position, &records, &damage);
    if (!status.ok()) return;
    EXPECT_THAT(damage, ElementsAre());
    for (const StoredRecord& r : records) {
      ASSERT_TRUE(r.status.ok() || !snapshot.status().ok()) << r.status;
      status = snapshot.status();
      if (!status.ok()) return;
      EXPECT_TRUE(
          captured->records.emplace(std::pair(r.ns, r.key), r.attributes.hlc)
              .second);
      ASSERT_TRUE((*loader)->Begin(r).ok());
      for (size_t i = 0; i < r.frames.size(); ++i) {
        frame.clear();
        status = snapshot.ReadFrame(r, i, &frame);
        if (!status.ok()) return;
        const absl::Status appended = (*loader)->AppendFrame(frame);
        ASSERT_TRUE(appended.ok()) << appended;
      }
      ASSERT_TRUE((*loader)->Finish().ok());
    }
  }
  auto closed = (*loader)->Close();
  ASSERT_TRUE(closed.ok()) << closed.status();
  captured->restored = *std::move(closed);
}

void Storm::CheckInfo(const Captured& captured,
                      const std::vector<LoggedMutation>& mutations) {
  std::map<std::string, std::pair<uint64_t, Hlc>> flushes;
  for (const LoggedMutation& m : mutations) {
    if (m.kind != Kind::kFlush || m.at.epoch > captured.info.epoch) continue;
    auto& [generation, flushed_at] = flushes[m.ns];
    ++generation;
    flushed_at = std::max(flushed_at, m.at.hlc);
  }
  for (const cache::NamespaceState& n : captured.info.namespaces) {
    EXPECT_EQ(n.generation, flushes[n.name].first) << n.name;
    EXPECT_EQ(n.flushed_at, flushes[n.name].second) << n.name;
    flushes.erase(n.name);
  }
  for (const auto& [name, flushed] : flushes) {
    EXPECT_EQ(flushed.first, 0) << name << " is not in the snapshot";
  }
  EXPECT_EQ(captured.restored.content_digest, captured.info.content_digest);
  EXPECT_EQ(captured.restored.records, captured.info.records);
  EXPECT_EQ(captured.info.records,
            static_cast<int64_t>(captured.records.size()));
  EXPECT_NE(captured.restored.lineage, captured.info.lineage);
}

void Storm::Check(const Captured& captured,
                  const std::vector<LoggedMutation>& mutations) {
  SCOPED_TRACE(absl::StrCat("epoch ", captured.info.epoch));
  CheckInfo(captured, mutations);
  CheckClosed(captured.disk.get(), int64_t{64} << 20);
  auto restored =
      BlobCache::Open(Options(captured.disk.get(), int64_t{64} << 20));
  ASSERT_TRUE(restored.ok()) << restored.status();
  const Contents contents = ContentsAt(captured.info.epoch, mutations);
  const int64_t now = clock_.NowUnixMillis();
  for (const char* ns : kNamespaces) {
    for (int k = 0; k < kKeys; ++k) {
      const std::string key = KeyName(static_cast<uint64_t>(k));
      const auto expected = contents.find({ns, key});
      const bool present =
          expected != contents.end() && !IsExpired(expected->second, now);
      const auto hit = (*restored)->Get(ns, key);
      EXPECT_TRUE(present || !hit.has_value())
          << ns << "/" << key << " came back, with hlc "
          << hit->attributes().hlc.value;
      if (!present) continue;
      if (!hit.has_value()) {
        EXPECT_FALSE(variant_.exact)
            << ns << "/" << key << " is missing: put at hlc "
            << expected->second.hlc.value
            << ", in the snapshot: " << captured.records.contains({ns, key});
        continue;
      }
      EXPECT_EQ(hit->attributes().hlc, expected->second.hlc) << ns << key;
      EXPECT_TRUE(hit->bytes() == ContentOf(expected->second.content,
                                            variant_.content_bytes_max))
          << ns << "/" << key << ": wrong bytes";
      EXPECT_EQ(hit->attributes().tags, expected->second.options.tags);
      EXPECT_EQ(hit->attributes().version, expected->second.options.version);
      EXPECT_EQ(hit->attributes().metadata, expected->second.options.metadata);
    }
  }
}

// What nobody has open is sound, and without a crash there are no orphans.
void Storm::CheckClosed(cache::l2::FileSystem* disk, int64_t l2_bytes_max) {
  const auto report = cache::VerifyL2(Options(disk, l2_bytes_max));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->damaged, ElementsAre());
  EXPECT_TRUE(report->accounting_ok);
  EXPECT_TRUE(report->digest_ok);
  EXPECT_EQ(report->orphaned_bytes, 0);
}

int Storm::Run() {
  constexpr int kSnapshots = 3;
  std::vector<std::thread> threads;
  for (int t = 0; t < kMutators; ++t) {
    threads.emplace_back([this, t] { Mutate(t); });
  }
  threads.emplace_back([this] { Sweep(); });
  threads.emplace_back([this] { Read(); });
  std::vector<Captured> captured;
  for (int s = 1; s <= kSnapshots; ++s) {
    const int at = kMutators * variant_.operations * s / (kSnapshots + 1);
    while (operations_done_ < at) std::this_thread::yield();
    captured.push_back(Capture());
  }
  for (int t = 0; t < kMutators; ++t) threads[t].join();
  captured.push_back(Capture());
  stop_ = true;
  threads[kMutators].join();
  threads[kMutators + 1].join();
  std::vector<LoggedMutation> mutations;
  for (const auto& log : logs_) {
    mutations.insert(mutations.end(), log.begin(), log.end());
  }
  EXPECT_EQ(cache_->Stats().l2.damaged_reads, 0);
  EXPECT_EQ(cache_->Stats().l2.degraded, "");
  EXPECT_TRUE(!variant_.exact || cache_->Stats().l2.evictions == 0);
  cache_.reset();
  CheckClosed(&disk_, variant_.l2_bytes_max);
  int compared = 0;
  for (const Captured& c : captured) {
    // Its pin kept too much from reuse: the snapshot gives way, not the cache.
    if (absl::IsAborted(c.status) && !variant_.exact) continue;
    EXPECT_TRUE(c.status.ok()) << c.status;
    if (!c.status.ok()) continue;
    Check(c, mutations);
    ++compared;
  }
  return compared;
}

void RunRounds(const Variant& variant, int64_t rounds) {
  const uint64_t first = SeedOr(1);
  rounds = CountOr("LARDER_ROUNDS", rounds);
  int compared = 0;
  for (int64_t i = 0; i < rounds; ++i) {
    const uint64_t seed = first + static_cast<uint64_t>(i);
    SCOPED_TRACE(absl::StrCat("LARDER_SEED=", seed));
    compared += Storm(seed, variant).Run();
    if (::testing::Test::HasFailure()) return;
  }
  std::printf("%lld rounds, %d snapshots compared\n",
              static_cast<long long>(rounds), compared);
  EXPECT_GE(compared, rounds / 2);
}

TEST(SnapshotModelTest, IsExactlyTheModel) { RunRounds(Variant(), 200); }

TEST(SnapshotModelTest, IsPartOfTheModelWhileEvicting) {
  Variant v;
  v.l2_bytes_max = cache::kL2BytesMin;
  v.content_bytes_max = 700'000;
  v.exact = false;
  RunRounds(v, 100);
}

}  // namespace
}  // namespace larder::tests
