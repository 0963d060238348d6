// Random operations on one cache, held against a plain map: reopened, killed
// and cut off the power at random I/O operations, at every durability, with
// room to spare and with hardly any.
//
// Replay: --test_env=LARDER_SEED=N --test_env=LARDER_RUNS=1; a run is
// deterministic. LARDER_OPERATIONS: how many operations a run has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/snapshot.h"
#include "cache/verify.h"
#include "tests/support/content.h"
#include "tests/support/history.h"
#include "tests/support/oracle.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

using cache::BlobCache;
using cache::BlobCacheOptions;
using cache::Durability;
using ::testing::ElementsAre;
using Kind = LoggedMutation::Kind;
using Loss = Oracle::Loss;

constexpr int64_t kStart = 1'700'000'000'000;
constexpr uint64_t kKeys = 40;
constexpr uint64_t kNames = 3;

std::string KeyName(uint64_t i) {
  return absl::StrCat("p", i % kNames, "/", i);
}

std::vector<std::string> AllKeys() {
  std::vector<std::string> keys;
  for (uint64_t i = 0; i < kKeys; ++i) keys.push_back(KeyName(i));
  return keys;
}

class CacheModel {
 public:
  CacheModel(uint64_t seed, bool evicting)
      : random_(seed),
        evicting_(evicting),
        content_bytes_max_(evicting ? 600'000 : 40'000),
        oracle_({{"alpha", "beta"}, AllKeys(), content_bytes_max_, evicting}) {}

  void Run(int64_t operations);

  int crashes() const { return crashes_; }

 private:
  struct HeldSnapshot {
    std::unique_ptr<cache::Snapshot> snapshot;
    Contents contents;
    int64_t taken_at;
  };

  uint64_t Below(uint64_t n) { return random_() % n; }
  int64_t Now() const { return clock_.NowUnixMillis(); }
  std::string RandomNamespace() { return Below(2) == 0 ? "alpha" : "beta"; }
  std::string RandomKey() { return KeyName(Below(kKeys)); }
  BlobCacheOptions Options();

  void Step();
  void Put();
  void CompareAndSet(LoggedMutation m, const std::string& bytes);
  void Read();
  void Load();
  void Invalidate(LoggedMutation m);
  void InvalidateSomething();
  void Sweep();
  void ReclaimOrphans();
  void TakeSnapshot();
  void CheckSnapshot(const HeldSnapshot& held);
  void Hold();
  void Flush();
  void Finish(LoggedMutation m, const absl::StatusOr<cache::Mutation>& done);
  void CheckStats();
  void CheckHit(const std::string& ns, const std::string& key,
                const std::optional<cache::Hit>& hit) {
    // A dead process reads nothing and answers nobody.
    if (!crashed_) oracle_.CheckHit(ns, key, hit, Now());
  }

  void Open();
  void LetGo();
  void Reopen();
  void ArmCrash(uint64_t operations_from_now);
  void Recover();
  uint64_t VerifyAfterCrash(Loss loss);
  void StartAnew();

  std::mt19937_64 random_;
  const bool evicting_;
  const size_t content_bytes_max_;
  Oracle oracle_;
  cache::ManualClock clock_{kStart};
  cache::l2::SimulatedDisk disk_;
  int directory_ = 0;
  Durability durability_ = Durability::kInterval;
  std::unique_ptr<BlobCache> cache_;
  std::vector<HeldSnapshot> snapshots_;
  std::vector<std::pair<cache::Hit, std::string>> hits_;
  bool created_ = false;  // The directory was opened once.
  // Its newest life was one at kNone: a power cut may take everything.
  bool unsettled_ = false;
  bool orphans_possible_ = false;
  bool crashed_ = false;
  bool power_cut_ = false;
  // Since the last power cut at kNone: damage is possible, nothing wrong is.
  int loose_steps_left_ = 0;
  uint64_t committed_epoch_ = 0, durable_epoch_ = 0;
  int crashes_ = 0;
};

BlobCacheOptions CacheModel::Options() {
  BlobCacheOptions o;
  o.l2_path = absl::StrCat("/l2-", directory_);
  o.l2_bytes_max = evicting_ ? cache::kL2BytesMin : int64_t{64} << 20;
  o.l1_bytes_max = 300'000;
  o.l1_shards = 2;
  o.background_commits = false;
  o.durability = durability_;
  o.clock = &clock_;
  o.file_system = &disk_;
  o.random_seed = 7;
  return o;
}

// --- Operations

void CacheModel::Finish(LoggedMutation m,
                        const absl::StatusOr<cache::Mutation>& done) {
  if (done.ok()) {
    m.at = *done;
    oracle_.Acknowledge(std::move(m), Now());
    return;
  }
  EXPECT_TRUE(crashed_ || loose_steps_left_ > 0)
      << "kind " << static_cast<int>(m.kind) << ": " << done.status();
  oracle_.Doubt(std::move(m));
}

void CacheModel::Put() {
  LoggedMutation m;
  m.ns = RandomNamespace();
  m.name = RandomKey();
  m.content = Below(20) == 0 ? 0 : random_() >> 1;
  cache::PutOptions& o = m.options;
  if (Below(4) == 0) {
    o.expires_at_unix_ms = Now() + static_cast<int64_t>(Below(3000));
  }
  if (Below(8) == 0) o.idle_ttl_ms = 1 + static_cast<int64_t>(Below(2000));
  if (Below(8) == 0) o.stale_while_revalidate_ms = 300;
  o.version = 1 + Below(4);
  o.l1_admission = static_cast<cache::L1Admission>(Below(3));
  if (Below(3) == 0) o.tags = {absl::StrCat("t", Below(kNames))};
  if (Below(3) == 0) o.dependencies = {absl::StrCat("d", Below(kNames))};
  if (Below(5) == 0) o.metadata = {{"type", std::string(Below(200), 'm')}};
  const std::string bytes = ContentOf(m.content, content_bytes_max_);
  if (Below(6) == 0) return CompareAndSet(std::move(m), bytes);
  const auto put = cache_->Put(m.ns, m.name, bytes, o);
  Finish(std::move(m), put);
}

void CacheModel::CompareAndSet(LoggedMutation m, const std::string& bytes) {
  // What is there, as a reader sees it.
  const auto hit = cache_->Get(m.ns, m.name);
  CheckHit(m.ns, m.name, hit);
  const uint64_t version = hit.has_value() ? hit->attributes().version : 0;
  const uint64_t expected = Below(3) == 0 ? Below(5) : version;
  const auto set =
      cache_->CompareAndSet(m.ns, m.name, expected, bytes, m.options);
  if (!set.ok()) return Finish(std::move(m), set.status());
  if (set->committed) {
    EXPECT_EQ(set->current_version, m.options.version);
    // Room for it may have been made by evicting what it compared with.
    EXPECT_TRUE(expected == version || (evicting_ && expected == 0));
    return Finish(std::move(m), set->mutation);
  }
  EXPECT_TRUE(set->current_version == version || evicting_ || crashed_ ||
              loose_steps_left_ > 0);
  EXPECT_TRUE(expected != version || evicting_ || crashed_ ||
              loose_steps_left_ > 0);
}

void CacheModel::Read() {
  const std::string ns = RandomNamespace(), key = RandomKey();
  if (Below(4) == 0) {
    const cache::Presence presence = cache_->Exists(ns, key);
    if (!crashed_) oracle_.CheckPresence(ns, key, presence, Now());
    return;
  }
  const auto hit = cache_->Get(ns, key);
  CheckHit(ns, key, hit);
  if (!hit.has_value() || Below(2) == 0) return;
  const uint64_t size = hit->bytes().size();
  const uint64_t offset = Below(size + 10), length = Below(size + 10);
  const auto part = cache_->GetRange(ns, key, offset, length);
  ASSERT_TRUE(part.has_value() || crashed_);
  if (!part.has_value()) return;
  EXPECT_TRUE(part->bytes() ==
              hit->bytes().substr(std::min(offset, size), length))
      << ns << "/" << key << " [" << offset << ", +" << length << ") of "
      << size;
}

void CacheModel::Load() {
  LoggedMutation m;
  m.ns = RandomNamespace();
  m.name = RandomKey();
  m.content = random_() >> 1;
  m.options.version = 9;
  if (Below(2) == 0) m.options.tags = {"t0"};
  const bool mutate = Below(4) == 0;
  bool loaded = false;
  const auto load = [&]() -> absl::StatusOr<BlobCache::Loaded> {
    loaded = true;
    if (mutate) {
      LoggedMutation inner;
      inner.ns = m.ns;
      inner.kind = Below(2) == 0 ? Kind::kDelete : Kind::kPrefix;
      inner.name = inner.kind == Kind::kDelete ? m.name : m.name.substr(0, 3);
      Invalidate(std::move(inner));
      if (Below(2) == 0) Sweep();
    }
    return BlobCache::Loaded{ContentOf(m.content, content_bytes_max_),
                             m.options};
  };
  const auto hit = cache_->GetOrLoad(m.ns, m.name, load);
  if (!hit.ok()) {
    EXPECT_TRUE(crashed_) << hit.status();
    return oracle_.Doubt(std::move(m));
  }
  if (!loaded) return CheckHit(m.ns, m.name, *hit);
  EXPECT_TRUE(hit->bytes() == ContentOf(m.content, content_bytes_max_));
  if (hit->attributes().hlc == cache::Hlc()) {
    EXPECT_TRUE(mutate || crashed_ || loose_steps_left_ > 0)
        << "what was loaded was not put";
    return;
  }
  Finish(std::move(m), cache::Mutation{hit->attributes().hlc,
                                       cache_->epoch_lock()->current_epoch()});
}

void CacheModel::Invalidate(LoggedMutation m) {
  absl::StatusOr<cache::Mutation> done = absl::UnknownError("not called");
  if (m.kind == Kind::kDelete) {
    done = cache_->InvalidateKey(m.ns, m.name);
  } else if (m.kind == Kind::kPrefix) {
    done = cache_->InvalidatePrefix(m.ns, m.name);
  } else if (m.kind == Kind::kTag) {
    done = cache_->InvalidateTags(m.ns, {m.name});
  } else if (m.kind == Kind::kDependency) {
    done = cache_->InvalidateDependencies(m.ns, {m.name});
  } else {
    const auto flushed = cache_->FlushNamespace(m.ns);
    done = flushed.ok() ? absl::StatusOr<cache::Mutation>(flushed->mutation)
                        : flushed.status();
  }
  Finish(std::move(m), done);
}

void CacheModel::InvalidateSomething() {
  LoggedMutation m;
  m.ns = RandomNamespace();
  const uint64_t choice = Below(10), name = Below(kNames);
  if (choice < 5) {
    m.kind = Kind::kDelete;
    m.name = RandomKey();
  } else if (choice < 7) {
    m.kind = Kind::kPrefix;
    m.name = absl::StrCat("p", name, "/");
  } else if (choice < 8) {
    m.kind = Kind::kTag;
    m.name = absl::StrCat("t", name);
  } else if (choice < 9) {
    m.kind = Kind::kDependency;
    m.name = absl::StrCat("d", name);
  } else {
    m.kind = Kind::kFlush;
  }
  Invalidate(std::move(m));
}

void CacheModel::Sweep() {
  const cache::SliceLimit limit{.entries_max =
                                    1 + static_cast<int64_t>(Below(30))};
  const uint64_t choice = Below(3);
  const auto slice = choice == 0   ? cache_->SweepL1Slice(limit)
                     : choice == 1 ? cache_->SweepDueSlice(limit)
                                   : cache_->SweepTombstonedSlice(limit);
  EXPECT_TRUE(slice.ok() || crashed_ || loose_steps_left_ > 0)
      << slice.status();
  if (!slice.ok()) return;
  EXPECT_LE(slice->scanned, limit.entries_max);
  EXPECT_GE(slice->scanned, slice->removed);
}

void CacheModel::ReclaimOrphans() {
  const bool all = Below(3) == 0;
  for (bool done = false; !done;) {
    const auto slice = cache_->ReclaimOrphansSlice({});
    EXPECT_TRUE(slice.ok() || crashed_ || loose_steps_left_ > 0)
        << slice.status();
    if (!slice.ok()) return;
    done = slice->done;
    if (done) orphans_possible_ = false;
    if (!all) return;
  }
}

void CacheModel::TakeSnapshot() {
  if (!snapshots_.empty() && Below(2) == 0) {
    const size_t i = Below(snapshots_.size());
    CheckSnapshot(snapshots_[i]);
    snapshots_.erase(snapshots_.begin() + static_cast<ptrdiff_t>(i));
    return;
  }
  auto snapshot = cache_->TakeSnapshot({.owner = "model"});
  EXPECT_TRUE(snapshot.ok() || crashed_ || loose_steps_left_ > 0)
      << snapshot.status();
  if (!snapshot.ok() || loose_steps_left_ > 0) return;
  snapshots_.push_back({*std::move(snapshot), oracle_.contents(), Now()});
  CheckSnapshot(snapshots_.back());
}

void CacheModel::CheckSnapshot(const HeldSnapshot& held) {
  cache::Snapshot::Position position;
  std::vector<cache::StoredRecord> records;
  std::vector<std::string> damage;
  std::string frame;
  while (!position.at_end) {
    const absl::Status read =
        held.snapshot->Read(9, &position, &records, &damage);
    if (crashed_ || (absl::IsAborted(read) && evicting_))
      return;  // It gave way.
    ASSERT_TRUE(read.ok()) << read;
  }
  if (crashed_) return;
  EXPECT_THAT(damage, ElementsAre());
  EXPECT_EQ(held.snapshot->info().records,
            static_cast<int64_t>(records.size()));
  Contents missing = held.contents;
  for (const cache::StoredRecord& r : records) {
    const auto it = missing.find({r.ns, r.key});
    std::string bytes;
    for (size_t i = 0; i < r.frames.size(); ++i) {
      const absl::Status read = held.snapshot->ReadFrame(r, i, &frame);
      if (crashed_ || (absl::IsAborted(read) && evicting_)) return;
      EXPECT_TRUE(read.ok()) << read;
      bytes += frame;
    }
    if (it == missing.end() || it->second.hlc != r.attributes.hlc) continue;
    const std::string content =
        ContentOf(it->second.content, content_bytes_max_);
    EXPECT_EQ(r.raw_bytes, content.size());
    EXPECT_TRUE(r.frames.empty() || r.frames[0].zstd || bytes == content);
    missing.erase(it);
  }
  std::erase_if(missing, [&](const auto& entry) {
    return evicting_ || IsExpired(entry.second, held.taken_at) ||
           entry.second.options.idle_ttl_ms > 0;
  });
  for (const auto& [name, blob] : missing) {
    ADD_FAILURE() << name.first << "/" << name.second << " of hlc "
                  << blob.hlc.value << " is not in the snapshot";
  }
}

// A hit keeps its bytes, whatever becomes of its blob.
void CacheModel::Hold() {
  if (!hits_.empty() && Below(2) == 0) {
    const size_t i = Below(hits_.size());
    EXPECT_TRUE(hits_[i].first.bytes() == hits_[i].second);
    hits_.erase(hits_.begin() + static_cast<ptrdiff_t>(i));
    return;
  }
  const std::string ns = RandomNamespace(), key = RandomKey();
  const auto hit = cache_->Get(ns, key);
  CheckHit(ns, key, hit);
  if (hit.has_value()) hits_.emplace_back(*hit, std::string(hit->bytes()));
}

void CacheModel::Flush() {
  const absl::Status flushed = cache_->Flush();
  EXPECT_TRUE(flushed.ok() || crashed_ || loose_steps_left_ > 0) << flushed;
}

void CacheModel::CheckStats() {
  const cache::L2Stats s = cache_->Stats().l2;
  committed_epoch_ = s.epoch;
  durable_epoch_ = s.durable_epoch;
  EXPECT_LE(s.file_bytes, s.bytes_max);
  EXPECT_LE(s.bytes_in_use, s.file_bytes);
  if (loose_steps_left_ > 0) return;
  EXPECT_EQ(s.degraded, "");
  EXPECT_EQ(s.damaged_reads, 0);
  EXPECT_TRUE(evicting_ || s.evictions == 0);
}

// --- Lives and deaths

void CacheModel::Open() {
  unsettled_ |= durability_ == Durability::kNone;
  auto opened = BlobCache::Open(Options());
  if (opened.ok()) {
    cache_ = *std::move(opened);
    created_ = true;
    unsettled_ = durability_ == Durability::kNone;
  } else {
    EXPECT_TRUE(crashed_ || loose_steps_left_ > 0) << opened.status();
  }
}

void CacheModel::LetGo() {
  for (const HeldSnapshot& s : snapshots_) {
    if (!crashed_) CheckSnapshot(s);
  }
  for (const auto& [hit, bytes] : hits_) EXPECT_TRUE(hit.bytes() == bytes);
  snapshots_.clear();
  hits_.clear();
  cache_.reset();
}

void CacheModel::Reopen() {
  LetGo();
  if (crashed_) return;
  disk_.SetHook(nullptr);
  const auto report = cache::VerifyL2(Options());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->damaged, ElementsAre());
  EXPECT_TRUE(report->clean());
  EXPECT_TRUE(orphans_possible_ || report->orphaned_bytes == 0);
  durability_ = static_cast<Durability>(Below(3));
  if (Below(4) == 0) ArmCrash(Below(12));
  Open();
  if (cache_ != nullptr) {
    oracle_.CheckReopened(cache_.get(), Loss::kNone, report->epoch, Now());
  }
}

void CacheModel::ArmCrash(uint64_t operations_from_now) {
  const uint64_t at = disk_.operation_count() + operations_from_now;
  const bool power_cut = Below(2) == 0;
  const uint64_t seed = random_();
  disk_.SetHook([this, at, power_cut,
                 seed](const cache::l2::SimulatedDisk::Operation& operation) {
    if (operation.index < at) return absl::OkStatus();
    if (!crashed_) {
      crashed_ = true;
      power_cut_ |= power_cut;
      power_cut ? disk_.PowerCut(seed) : disk_.KillProcess();
    }
    // What the dead process would open from here on, the disk cannot refuse.
    return absl::UnavailableError("the process is dead");
  });
}

uint64_t CacheModel::VerifyAfterCrash(Loss loss) {
  const auto report = cache::VerifyL2(Options());
  if (!report.ok()) {
    EXPECT_TRUE(!created_ || loss == Loss::kAnything) << report.status();
    return 0;
  }
  if (loss == Loss::kAnything) return report->epoch;
  // Opening gives a torn superblock its twin back.
  std::vector<std::string> damaged = report->damaged;
  EXPECT_LE(std::erase_if(damaged,
                          [](const std::string& line) {
                            return absl::StrContains(line, "superblock: ");
                          }),
            1);
  EXPECT_THAT(damaged, ElementsAre());
  EXPECT_TRUE(report->accounting_ok);
  EXPECT_TRUE(report->digest_ok);
  EXPECT_GE(report->epoch,
            loss == Loss::kUncommitted ? committed_epoch_ : durable_epoch_);
  return report->epoch;
}

void CacheModel::StartAnew() {
  ++directory_;
  created_ = false;
  orphans_possible_ = false;
  loose_steps_left_ = 0;
  power_cut_ = false;
  committed_epoch_ = durable_epoch_ = 0;
  oracle_.Forget();
  Open();
}

void CacheModel::Recover() {
  while (crashed_) {
    ++crashes_;
    LetGo();
    orphans_possible_ = true;
    disk_.SetHook(nullptr);
    crashed_ = false;
    const Loss loss = loose_steps_left_ > 0 || (power_cut_ && unsettled_)
                          ? Loss::kAnything
                      : power_cut_ ? Loss::kUnsynced
                                   : Loss::kUncommitted;
    const uint64_t epoch = VerifyAfterCrash(loss);
    oracle_.NoteCrash(loss, epoch);
    if (loss == Loss::kAnything) loose_steps_left_ = 60;
    if (Below(4) == 0) ArmCrash(Below(12));
    Open();
    if (crashed_) continue;
    disk_.SetHook(nullptr);
    if (cache_ == nullptr) return StartAnew();
    oracle_.CheckReopened(cache_.get(), loss, epoch, Now());
  }
  power_cut_ = false;
}

void CacheModel::Step() {
  const uint64_t choice = Below(1000);
  if (choice < 380) return Put();
  if (choice < 640) return Read();
  if (choice < 680) return Load();
  if (choice < 760) return InvalidateSomething();
  if (choice < 850) return Sweep();
  if (choice < 870) return ReclaimOrphans();
  if (choice < 900) return TakeSnapshot();
  if (choice < 930) return Flush();
  if (choice < 955) {
    return clock_.AdvanceMillis(static_cast<int64_t>(Below(400)));
  }
  if (choice < 961) return ArmCrash(Below(60));
  if (loose_steps_left_ > 0) return;
  choice < 970 ? Reopen() : Hold();
}

void CacheModel::Run(int64_t operations) {
  Open();
  for (int64_t i = 0; i < operations; ++i) {
    SCOPED_TRACE(absl::StrCat("operation ", i));
    Step();
    if (crashed_) Recover();
    if (::testing::Test::HasFailure()) return;
    CheckStats();
    if (loose_steps_left_ > 0 && --loose_steps_left_ == 0) {
      LetGo();
      disk_.SetHook(nullptr);
      crashed_ = false;
      StartAnew();
    }
  }
  disk_.SetHook(nullptr);
  oracle_.CheckAll(cache_.get(), Now());
}

void RunModel(bool evicting) {
  const uint64_t first = SeedOr(1);
  const int64_t runs = CountOr("LARDER_RUNS", 1);
  const int64_t operations = CountOr("LARDER_OPERATIONS", 20'000);
  for (int64_t i = 0; i < runs; ++i) {
    const uint64_t seed = first + static_cast<uint64_t>(i);
    SCOPED_TRACE(absl::StrCat("LARDER_SEED=", seed));
    CacheModel model(seed, evicting);
    model.Run(operations);
    if (::testing::Test::HasFailure()) return;
    EXPECT_TRUE(model.crashes() > 0 || operations < 1000);
    std::printf("seed %llu: %lld operations, %d crashes\n",
                static_cast<unsigned long long>(seed),
                static_cast<long long>(operations), model.crashes());
  }
}

TEST(CacheModelTest, WithRoom) { RunModel(/*evicting=*/false); }

TEST(CacheModelTest, WithHardlyAnyRoom) { RunModel(/*evicting=*/true); }

}  // namespace
}  // namespace larder::tests
