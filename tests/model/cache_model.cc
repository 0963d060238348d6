#include "tests/model/cache_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/verify.h"
#include "tests/support/content.h"

namespace larder::tests {
namespace {

using cache::BlobCache;
using cache::BlobCacheOptions;
using cache::Durability;
using cache::l2::SimulatedDisk;
using ::testing::ElementsAre;
using Kind = LoggedMutation::Kind;

constexpr int64_t kStart = 1'700'000'000'000;
constexpr uint64_t kKeys = 40;
constexpr uint64_t kNames = 3;
constexpr int64_t kLooseSteps = 60;

std::string NamespaceName(uint64_t i) { return i % 2 == 0 ? "alpha" : "beta"; }

std::string KeyName(uint64_t i) {
  return absl::StrCat("p", i % kNames, "/", i % kKeys);
}

std::string PrefixName(uint64_t i) {
  return absl::StrCat("p", i % kNames, "/");
}
std::string TagName(uint64_t i) { return absl::StrCat("t", i % kNames); }
std::string DependencyName(uint64_t i) { return absl::StrCat("d", i % kNames); }

std::vector<std::string> AllKeys() {
  std::vector<std::string> keys;
  for (uint64_t i = 0; i < kKeys; ++i) keys.push_back(KeyName(i));
  return keys;
}

LoggedMutation MutationOf(const Operation& o, Kind kind, std::string name) {
  LoggedMutation m;
  m.kind = kind;
  m.ns = NamespaceName(o.ns);
  m.name = std::move(name);
  return m;
}

LoggedMutation PutOf(const Operation& o, int64_t now_unix_ms) {
  LoggedMutation m = MutationOf(o, Kind::kPut, KeyName(o.name));
  m.content = o.content;
  cache::PutOptions& p = m.options;
  if (o.expires_in > 0) {
    p.expires_at_unix_ms = now_unix_ms + static_cast<int64_t>(o.expires_in);
  }
  p.idle_ttl_ms = static_cast<int64_t>(o.idle_ms);
  p.stale_while_revalidate_ms = static_cast<int64_t>(o.stale_ms);
  p.version = o.version;
  p.l1_admission = static_cast<cache::L1Admission>(o.l1_admission % 3);
  if (o.tag > 0) p.tags = {TagName(o.tag - 1)};
  if (o.dependency > 0) p.dependencies = {DependencyName(o.dependency - 1)};
  if (o.metadata > 0) p.metadata = {{"type", std::string(o.metadata, 'm')}};
  return m;
}

}  // namespace

CacheModel::CacheModel(Options options)
    : options_(std::move(options)),
      content_bytes_max_(options_.evicting ? 600'000 : 40'000),
      oracle_options_({{"alpha", "beta"},
                       AllKeys(),
                       content_bytes_max_,
                       options_.evicting}),
      oracle_(oracle_options_),
      clock_(kStart),
      archive_(&clock_, options_.evicting, &crashed_) {
  disk_.SetFaultScript(options_.faults);
}

CacheModel::~CacheModel() {
  Disarm();
  snapshots_.clear();
  cache_.reset();
}

CacheModel::Counts CacheModel::counts() const {
  Counts counts = counts_;
  counts.backups = archive_.backups();
  counts.backup_deaths = archive_.deaths_survived();
  counts.restores_skipping = archive_.skipping();
  return counts;
}

std::string CacheModel::NewDirectory() {
  return absl::StrCat("/l2-", ++directories_);
}

BlobCacheOptions CacheModel::CacheOptions(const std::string& path) {
  BlobCacheOptions o;
  o.l2_path = path;
  o.l2_bytes_max = options_.evicting ? cache::kL2BytesMin : int64_t{64} << 20;
  o.l1_bytes_max = 300'000;
  // Of several, which key is in which depends on the hash of the process.
  o.l1_shards = 1;
  o.background_commits = false;
  o.durability = durability_;
  o.clock = &clock_;
  o.file_system = &disk_;
  // Lineages come from it.
  o.random_seed = 7 + static_cast<uint64_t>(directories_);
  return o;
}

// --- Operations

void CacheModel::CheckHit(const std::string& ns, const std::string& key,
                          const std::optional<cache::Hit>& hit) {
  // A dead process reads nothing and answers nobody.
  if (!crashed_) oracle_.CheckHit(ns, key, hit, Now());
}

void CacheModel::Finish(LoggedMutation m,
                        const absl::StatusOr<cache::Mutation>& done) {
  if (done.ok()) {
    m.at = *done;
    NoteDurable(m);
    oracle_.Acknowledge(std::move(m), Now());
    return;
  }
  EXPECT_TRUE(Excused()) << "kind " << static_cast<int>(m.kind) << ": "
                         << done.status();
  oracle_.Doubt(std::move(m));
}

void CacheModel::NoteDurable(const LoggedMutation& m) {
  if (durability_ != Durability::kEveryPut || loose_steps_left_ > 0) return;
  const uint64_t durable = cache_->Stats().l2.durable_epoch;
  if (m.kind == Kind::kDelete && durable < m.at.epoch) {
    // There is nothing to commit of a deletion where nothing ever was.
    for (const cache::NamespaceStats& ns : cache_->NamespacesStats()) {
      EXPECT_NE(ns.name, m.ns) << "a deletion is not durable";
    }
    return;
  }
  EXPECT_LE(m.at.epoch, durable);
  acknowledged_epoch_ = std::max(acknowledged_epoch_, m.at.epoch);
}

void CacheModel::Put(const Operation& o) {
  LoggedMutation m = PutOf(o, Now());
  const std::string bytes = ContentOf(m.content, content_bytes_max_);
  if (o.kind == Operation::Kind::kCompareAndSet) {
    return CompareAndSet(std::move(m), bytes, o);
  }
  const auto put = cache_->Put(m.ns, m.name, bytes, m.options);
  Finish(std::move(m), put);
}

void CacheModel::CompareAndSet(LoggedMutation m, const std::string& bytes,
                               const Operation& o) {
  // What is there, as a reader sees it.
  const auto hit = cache_->Get(m.ns, m.name);
  CheckHit(m.ns, m.name, hit);
  const uint64_t version = hit.has_value() ? hit->attributes().version : 0;
  const uint64_t expected = o.expected > 0 ? o.expected - 1 : version;
  const auto set =
      cache_->CompareAndSet(m.ns, m.name, expected, bytes, m.options);
  if (!set.ok()) return Finish(std::move(m), set.status());
  if (set->committed) {
    EXPECT_EQ(set->current_version, m.options.version);
    // Room for it may have been made by evicting what it compared with.
    EXPECT_TRUE(expected == version || (options_.evicting && expected == 0));
    return Finish(std::move(m), set->mutation);
  }
  if (options_.evicting || Excused()) return;
  EXPECT_EQ(set->current_version, version);
  EXPECT_NE(expected, version);
}

void CacheModel::Get(const Operation& o) {
  const std::string ns = NamespaceName(o.ns), key = KeyName(o.name);
  const auto hit = cache_->Get(ns, key);
  CheckHit(ns, key, hit);
  if (!hit.has_value() || o.length == 0) return;
  const uint64_t size = hit->bytes().size();
  // Also ranges that begin or end beyond the blob.
  const uint64_t offset = o.offset % (size + 10),
                 length = o.length % (size + 10);
  const auto part = cache_->GetRange(ns, key, offset, length);
  ASSERT_TRUE(part.has_value() || crashed_);
  if (!part.has_value()) return;
  EXPECT_TRUE(part->bytes() ==
              hit->bytes().substr(std::min(offset, size), length))
      << ns << "/" << key << " [" << offset << ", +" << length << ") of "
      << size;
}

void CacheModel::Exists(const Operation& o) {
  const std::string ns = NamespaceName(o.ns), key = KeyName(o.name);
  const cache::Presence presence = cache_->Exists(ns, key);
  if (!crashed_) oracle_.CheckPresence(ns, key, presence, Now());
}

void CacheModel::Load(const Operation& o) {
  LoggedMutation m = PutOf(o, Now());
  bool loaded = false;
  const auto load = [&]() -> absl::StatusOr<BlobCache::Loaded> {
    loaded = true;
    if (o.inside == Operation::kDeletesIt) {
      Invalidate(MutationOf(o, Kind::kDelete, m.name));
    } else if (o.inside == Operation::kInvalidatesItsPrefix) {
      Invalidate(MutationOf(o, Kind::kPrefix, m.name.substr(0, 3)));
    }
    if (o.inside_sweep > 0) {
      Sweep(Operation::Kind::kSweepTombstoned, o.inside_sweep);
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
    EXPECT_TRUE(o.inside != Operation::kNothing || Excused())
        << "what was loaded was not put";
    return;
  }
  // It can be loaded again: who loads does not wait for a commit.
  m.at = {hit->attributes().hlc, cache_->epoch_lock()->current_epoch()};
  oracle_.Acknowledge(std::move(m), Now());
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

void CacheModel::Sweep(Operation::Kind kind, uint64_t limit) {
  const cache::SliceLimit slice_limit{.entries_max =
                                          1 + static_cast<int64_t>(limit)};
  const auto slice = kind == Operation::Kind::kSweepL1
                         ? cache_->SweepL1Slice(slice_limit)
                     : kind == Operation::Kind::kSweepDue
                         ? cache_->SweepDueSlice(slice_limit)
                         : cache_->SweepTombstonedSlice(slice_limit);
  EXPECT_TRUE(slice.ok() || Excused()) << slice.status();
  if (!slice.ok()) return;
  EXPECT_LE(slice->scanned, slice_limit.entries_max);
  EXPECT_GE(slice->scanned, slice->removed);
}

void CacheModel::ReclaimOrphans(uint64_t slices) {
  for (uint64_t i = 0; i <= slices; ++i) {
    const auto slice = cache_->ReclaimOrphansSlice({});
    EXPECT_TRUE(slice.ok() || Excused()) << slice.status();
    if (!slice.ok()) return;
    if (!slice->done) continue;
    orphans_possible_ = false;
    return;
  }
}

void CacheModel::Commit() {
  const absl::Status flushed = cache_->Flush();
  EXPECT_TRUE(flushed.ok() || Excused()) << flushed;
}

void CacheModel::TakeSnapshot() {
  auto snapshot = cache_->TakeSnapshot({.owner = "model"});
  EXPECT_TRUE(snapshot.ok() || Excused()) << snapshot.status();
  if (!snapshot.ok() || loose_steps_left_ > 0) return;
  snapshots_.push_back({*std::move(snapshot), oracle_.contents(), Now()});
  CheckSnapshot(snapshots_.back());
}

void CacheModel::EndSnapshot(uint64_t which) {
  if (snapshots_.empty()) return;
  const size_t i = which % snapshots_.size();
  CheckSnapshot(snapshots_[i]);
  snapshots_.erase(snapshots_.begin() + static_cast<ptrdiff_t>(i));
}

void CacheModel::CheckSnapshot(const HeldSnapshot& held) {
  cache::Snapshot::Position position;
  std::vector<cache::StoredRecord> records;
  std::vector<std::string> damage;
  std::string frame;
  // It gave way.
  const auto ends = [&](const absl::Status& read) {
    return crashed_ || (absl::IsAborted(read) && options_.evicting);
  };
  while (!position.at_end) {
    const absl::Status read =
        held.snapshot->Read(9, &position, &records, &damage);
    if (ends(read)) return;
    ASSERT_TRUE(read.ok()) << read;
  }
  EXPECT_THAT(damage, ElementsAre());
  EXPECT_EQ(held.snapshot->info().records,
            static_cast<int64_t>(records.size()));
  Contents missing = held.contents;
  for (const cache::StoredRecord& r : records) {
    const auto it = missing.find({r.ns, r.key});
    std::string bytes;
    for (size_t i = 0; i < r.frames.size(); ++i) {
      const absl::Status read = held.snapshot->ReadFrame(r, i, &bytes);
      if (ends(read)) return;
      EXPECT_TRUE(read.ok()) << read;
    }
    if (it == missing.end() || it->second.hlc != r.attributes.hlc) continue;
    const std::string content =
        ContentOf(it->second.content, content_bytes_max_);
    EXPECT_EQ(r.raw_bytes, content.size());
    EXPECT_TRUE(r.frames.empty() || r.frames[0].zstd || bytes == content);
    missing.erase(it);
  }
  std::erase_if(missing, [&](const auto& entry) {
    return options_.evicting || IsExpired(entry.second, held.taken_at) ||
           entry.second.options.idle_ttl_ms > 0;
  });
  for (const auto& [name, blob] : missing) {
    ADD_FAILURE() << name.first << "/" << name.second << " of hlc "
                  << blob.hlc.value << " is not in the snapshot";
  }
}

// A hit keeps its bytes, whatever becomes of its blob.
void CacheModel::Hold(const Operation& o) {
  const std::string ns = NamespaceName(o.ns), key = KeyName(o.name);
  const auto hit = cache_->Get(ns, key);
  CheckHit(ns, key, hit);
  if (hit.has_value()) hits_.emplace_back(*hit, std::string(hit->bytes()));
}

void CacheModel::LetGo(uint64_t which) {
  if (hits_.empty()) return;
  const size_t i = which % hits_.size();
  EXPECT_TRUE(hits_[i].first.bytes() == hits_[i].second);
  hits_.erase(hits_.begin() + static_cast<ptrdiff_t>(i));
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
  EXPECT_TRUE(options_.evicting || s.evictions == 0);
}

// --- Lives and deaths

void CacheModel::Open() {
  unsettled_ |= durability_ == Durability::kNone;
  auto opened = BlobCache::Open(CacheOptions(path_));
  if (opened.ok()) {
    cache_ = *std::move(opened);
    created_ = true;
    unsettled_ = durability_ == Durability::kNone;
  } else {
    EXPECT_TRUE(Excused()) << opened.status();
  }
}

void CacheModel::Close() {
  for (const HeldSnapshot& s : snapshots_) {
    if (!crashed_) CheckSnapshot(s);
  }
  for (const auto& [hit, bytes] : hits_) EXPECT_TRUE(hit.bytes() == bytes);
  snapshots_.clear();
  hits_.clear();
  cache_.reset();
}

uint64_t CacheModel::VerifyClosed(const std::string& path,
                                  bool orphans_allowed) {
  const auto report = cache::VerifyL2(CacheOptions(path));
  EXPECT_TRUE(report.ok()) << report.status();
  if (!report.ok()) return 0;
  EXPECT_THAT(report->damaged, ElementsAre());
  EXPECT_TRUE(report->clean());
  EXPECT_TRUE(orphans_allowed || report->orphaned_bytes == 0);
  return report->epoch;
}

void CacheModel::Reopen(const Operation& o) {
  if (loose_steps_left_ > 0) return;
  Close();
  if (crashed_) return;
  Disarm();
  const uint64_t epoch = VerifyClosed(path_, orphans_possible_);
  durability_ = static_cast<Durability>(o.durability % 3);
  if (o.dies > 0) Arm(o);
  Open();
  if (cache_ != nullptr) {
    oracle_.CheckReopened(cache_.get(), Loss::kNone, epoch, Now());
  }
}

void CacheModel::Arm(const Operation& o, uint64_t dies) {
  Disarm();
  death_ = o;
  SimulatedDisk* const armed = o.at_archive > 0 ? archive_.disk() : &disk_;
  const uint64_t at = armed->operation_count() + dies - 1;
  for (SimulatedDisk* disk : {&disk_, archive_.disk()}) {
    disk->SetHook([this, disk, armed, at](const SimulatedDisk::Operation& now) {
      return Die(now, disk == armed ? at : UINT64_MAX);
    });
  }
}

absl::Status CacheModel::Die(const SimulatedDisk::Operation& now, uint64_t at) {
  if (now.index < at && !crashed_) return absl::OkStatus();
  if (!crashed_.exchange(true)) {
    power_cut_ |= death_.power > 0;
    for (SimulatedDisk* disk : {&disk_, archive_.disk()}) {
      death_.power > 0 ? disk->PowerCut(death_.seed) : disk->KillProcess();
    }
  }
  // What the dead process would open from here on, the disk cannot refuse.
  return absl::UnavailableError("the process is dead");
}

void CacheModel::Disarm() {
  disk_.SetHook(nullptr);
  archive_.disk()->SetHook(nullptr);
}

uint64_t CacheModel::VerifyAfterCrash(Loss loss) {
  const auto report = cache::VerifyL2(CacheOptions(path_));
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
  EXPECT_GE(report->epoch, acknowledged_epoch_);
  return report->epoch;
}

void CacheModel::RemoveDirectory(const std::string& path) {
  if (!disk_.Exists(path)) return;
  const absl::Status removed = disk_.RemoveTree(path);
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_TRUE(disk_.SyncDirectory("/").ok());
}

void CacheModel::StartAnew() {
  if (!path_.empty()) RemoveDirectory(path_);
  path_ = NewDirectory();
  created_ = false;
  orphans_possible_ = false;
  loose_steps_left_ = 0;
  power_cut_ = false;
  committed_epoch_ = durable_epoch_ = acknowledged_epoch_ = 0;
  oracle_.Forget();
  Open();
}

void CacheModel::Recover() {
  std::mt19937_64 random(death_.seed);
  for (uint64_t deaths_left = death_.deaths; crashed_;) {
    ++counts_.crashes;
    Close();
    orphans_possible_ = true;
    Disarm();
    crashed_ = false;
    const Loss loss = loose_steps_left_ > 0 || (power_cut_ && unsettled_)
                          ? Loss::kAnything
                      : power_cut_ ? Loss::kUnsynced
                                   : Loss::kUncommitted;
    const uint64_t epoch = VerifyAfterCrash(loss);
    oracle_.NoteCrash(loss, epoch);
    if (loss == Loss::kAnything) loose_steps_left_ = kLooseSteps;
    if (deaths_left > 0) {
      --deaths_left;
      death_.at_archive = 0;
      death_.seed = random();
      Arm(death_, 1 + random() % 12);
    }
    Open();
    if (crashed_) continue;
    Disarm();
    if (cache_ == nullptr) {
      StartAnew();
      break;
    }
    oracle_.CheckReopened(cache_.get(), loss, epoch, Now());
  }
  power_cut_ = false;
  archive_.CheckAfterDeath();
}

// --- Backups

void CacheModel::Backup(const Operation& o) {
  if (loose_steps_left_ > 0) return;
  archive_.MakeRoom();
  if (o.dies > 0) Arm(o);
  archive_.Backup(cache_.get(), oracle_.Save(), o.shape, o.seed);
  if (crashed_) return;
  if (o.dies > 0) Disarm();
  archive_.CheckAfterBackup();
}

void CacheModel::Restore(const Operation& o) {
  if (archive_.empty()) return;
  const std::string target = NewDirectory();
  BlobCacheOptions options = CacheOptions(target);
  options.durability = static_cast<Durability>(o.durability % 3);
  if (o.dies > 0) Arm(o);
  std::optional<Oracle::State> state = archive_.Restore(o.which, options);
  bool returned = true;
  if (crashed_) {
    ++counts_.restore_deaths;
    Recover();
    if (::testing::Test::HasFailure()) return;
    // A power cut at kNone may leave anything of it.
    if (death_.power > 0 && options.durability == Durability::kNone) {
      RemoveDirectory(target);
    }
    // It is there as a whole, or can be made as if nothing had been.
    returned = !disk_.Exists(target);
    state = returned ? archive_.Restore(o.which, options)
                     : archive_.Expected(o.which);
  }
  Disarm();
  if (!state.has_value()) return;
  ++counts_.restores;
  if (returned) ExpectNoLeftovers(target);
  VerifyClosed(target, /*orphans_allowed=*/false);
  o.aside > 0 ? LookAt(target, *state)
              : SwitchTo(target, *state, options.durability);
}

void CacheModel::ExpectNoLeftovers(const std::string& target) {
  const auto names = disk_.List("/");
  ASSERT_TRUE(names.ok()) << names.status();
  for (const std::string& name : *names) {
    EXPECT_FALSE(absl::StartsWith(name, target.substr(1) + ".")) << name;
  }
}

void CacheModel::LookAt(const std::string& path, const Oracle::State& state) {
  {
    auto opened = BlobCache::Open(CacheOptions(path));
    ASSERT_TRUE(opened.ok()) << opened.status();
    Oracle(oracle_options_).CheckRestored(opened->get(), state, Now());
  }
  RemoveDirectory(path);
}

void CacheModel::SwitchTo(const std::string& path, const Oracle::State& state,
                          Durability durability) {
  Close();
  RemoveDirectory(path_);
  path_ = path;
  durability_ = durability;
  unsettled_ = false;
  acknowledged_epoch_ = 0;
  orphans_possible_ = false;
  loose_steps_left_ = 0;
  Open();
  if (cache_ == nullptr) return;
  oracle_.CheckRestored(cache_.get(), state, Now());
  ++counts_.switches;
}

// ---

void CacheModel::Step(const Operation& o) {
  switch (o.kind) {
    case Operation::Kind::kPut:
    case Operation::Kind::kCompareAndSet:
      return Put(o);
    case Operation::Kind::kGet:
      return Get(o);
    case Operation::Kind::kExists:
      return Exists(o);
    case Operation::Kind::kLoad:
      return Load(o);
    case Operation::Kind::kDelete:
      return Invalidate(MutationOf(o, Kind::kDelete, KeyName(o.name)));
    case Operation::Kind::kPrefix:
      return Invalidate(MutationOf(o, Kind::kPrefix, PrefixName(o.name)));
    case Operation::Kind::kTag:
      return Invalidate(MutationOf(o, Kind::kTag, TagName(o.name)));
    case Operation::Kind::kDependency:
      return Invalidate(
          MutationOf(o, Kind::kDependency, DependencyName(o.name)));
    case Operation::Kind::kFlush:
      return Invalidate(MutationOf(o, Kind::kFlush, ""));
    case Operation::Kind::kSweepL1:
    case Operation::Kind::kSweepDue:
    case Operation::Kind::kSweepTombstoned:
      return Sweep(o.kind, o.limit);
    case Operation::Kind::kReclaim:
      return ReclaimOrphans(o.limit);
    case Operation::Kind::kCommit:
      return Commit();
    case Operation::Kind::kAdvance:
      return clock_.AdvanceMillis(static_cast<int64_t>(o.ms));
    case Operation::Kind::kSnapshot:
      return TakeSnapshot();
    case Operation::Kind::kEndSnapshot:
      return EndSnapshot(o.which);
    case Operation::Kind::kHold:
      return Hold(o);
    case Operation::Kind::kLetGo:
      return LetGo(o.which);
    case Operation::Kind::kCrash:
      return Arm(o, std::max<uint64_t>(o.dies, 1));
    case Operation::Kind::kReopen:
      return Reopen(o);
    case Operation::Kind::kBackup:
      return Backup(o);
    case Operation::Kind::kRestore:
      return Restore(o);
  }
}

void CacheModel::Run(const Operations& operations, std::atomic<int64_t>* at) {
  StartAnew();
  for (size_t i = 0; i < operations.size(); ++i) {
    *at = static_cast<int64_t>(i);
    Step(operations[i]);
    if (crashed_) Recover();
    if (::testing::Test::HasFailure()) return;
    CheckStats();
    if (loose_steps_left_ > 0 && --loose_steps_left_ == 0) {
      Close();
      Disarm();
      crashed_ = false;
      StartAnew();
    }
  }
  Disarm();
  oracle_.CheckAll(cache_.get(), Now());
}

}  // namespace larder::tests
