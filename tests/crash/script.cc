#include "tests/crash/script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/verify.h"
#include "tests/support/content.h"

namespace larder::tests {
namespace {

using cache::BlobCache;
using Kind = LoggedMutation::Kind;

constexpr int64_t kStart = 1'700'000'000'000;
constexpr int kKeys = 18;
constexpr int kSteps = 66;
constexpr size_t kContentBytesMax = 30'000;
constexpr size_t kHeldMax = 8;

std::string KeyName(int i) { return absl::StrCat("p", i % 3, "/", i % kKeys); }

std::vector<std::string> AllKeys() {
  std::vector<std::string> keys = {"after", "alive"};
  for (int i = 0; i < kKeys; ++i) keys.push_back(KeyName(i));
  return keys;
}

}  // namespace

Script::Script(Options options)
    : options_(options),
      oracle_({{"ns"},
               AllKeys(),
               kContentBytesMax,
               options.evicting || options.damaged}),
      clock_(kStart) {}

cache::BlobCacheOptions Script::CacheOptions() {
  cache::BlobCacheOptions o;
  o.l2_path = "/var/l2";
  o.l2_bytes_max = options_.evicting ? cache::kL2BytesMin : int64_t{16} << 20;
  o.l1_bytes_max = 100'000;
  o.l1_shards = 1;
  o.background_commits = false;
  o.durability = options_.durability;
  o.clock = &clock_;
  o.file_system = &disk_;
  o.random_seed = 7;
  return o;
}

void Script::Note(const absl::Status& status) {
  if (status.ok()) return;
  failed_ = true;
  EXPECT_TRUE(on_status_ && on_status_(status)) << status;
}

absl::Status Script::Open() {
  auto opened = BlobCache::Open(CacheOptions());
  if (!opened.ok()) return opened.status();
  cache_ = *std::move(opened);
  created_ = true;
  return absl::OkStatus();
}

void Script::Close() {
  CheckHeld();
  held_.clear();
  snapshot_.reset();
  cache_.reset();
}

void Script::Run(const bool* stop,
                 std::function<bool(const absl::Status&)> on_status) {
  on_status_ = std::move(on_status);
  Note(Open());
  if (cache_ == nullptr) return;
  for (int i = 0; i < kSteps && !*stop; ++i) {
    SCOPED_TRACE(absl::StrCat("step ", i));
    Step(i);
    if (*stop) continue;
    EndOfStep();
    if (i % (options_.evicting ? 11 : 4) == 1) CheckPinned();
  }
}

void Script::EndOfStep() {
  const cache::L2Stats s = cache_->Stats().l2;
  committed_epoch_ = s.epoch;
  durable_epoch_ = s.durable_epoch;
  EXPECT_LE(s.file_bytes, s.bytes_max);
  CheckDisk();
  CheckHeld();
}

// The bound is on what the disk gave, whatever the cache counts.
void Script::CheckDisk() {
  EXPECT_LE(disk_.allocated_bytes(),
            static_cast<uint64_t>(CacheOptions().l2_bytes_max));
}

// A hit keeps its bytes, whatever becomes of its blob.
void Script::Hold(const std::string& key) {
  const auto hit = cache_->Get("ns", key);
  if (!hit.has_value()) return;
  oracle_.CheckHit("ns", key, hit, now());
  held_.emplace_back(*hit, std::string(hit->bytes()));
  if (held_.size() > kHeldMax) held_.erase(held_.begin());
}

void Script::CheckHeld() {
  if (options_.damaged) return;
  for (const auto& [hit, bytes] : held_) {
    EXPECT_TRUE(hit.bytes() == bytes) << "the bytes of a hit changed";
  }
}

void Script::Step(int i) {
  switch (i % 22) {
    case 5:
    case 17:
      return Note(cache_->Flush());
    case 8:
      return Invalidate(Kind::kDelete, KeyName(i));
    case 10:
      return Sweep();
    case 11:
      return Snapshot();
    case 13:
      return i < 22   ? Invalidate(Kind::kTag, "t")
             : i < 44 ? Invalidate(Kind::kPrefix, "p1/")
                      : Invalidate(Kind::kDependency, "d");
    case 15:
      return clock_.AdvanceMillis(400);
    case 19:
      if (i > 22) return Invalidate(Kind::kFlush, "");
      return Sweep();
    default:
      break;
  }
  cache::PutOptions o;
  o.version = static_cast<uint64_t>(i);
  if (i % 3 == 0) o.tags = {"t"};
  if (i % 4 == 0) o.dependencies = {"d"};
  if (i % 7 == 0) o.expires_at_unix_ms = now() + 500;
  // So that a hit shows the bytes of the chain.
  if (i % 2 == 0) o.l1_admission = cache::L1Admission::kNever;
  if (options_.evicting) {
    Note(Put(KeyName(i), next_content_++, o));
    // What is read survives longer: evictions give it a second chance.
    oracle_.CheckHit("ns", KeyName(1), cache_->Get("ns", KeyName(1)), now());
  }
  Note(Put(KeyName(i * 5), next_content_++, o));
  Hold(KeyName(i * 5));
}

absl::Status Script::Put(const std::string& key, uint32_t content,
                         const cache::PutOptions& options) {
  LoggedMutation m;
  m.ns = "ns";
  m.name = key;
  // Also with room, so much that what is freed beside a pin is used again.
  m.content = options_.evicting
                  ? IncompressibleContent(content * 40'000 % 700'000, content)
              : content % 2 == 0
                  ? IncompressibleContent(20'000 + content * 400, content)
                  : content * 1000003;
  m.options = options;
  const auto put =
      cache_->Put("ns", key, ContentOf(m.content, kContentBytesMax), options);
  if (put.ok()) {
    m.at = *put;
    Acknowledge(std::move(m));
  } else if (options_.durability == cache::Durability::kEveryPut) {
    oracle_.Doubt(std::move(m));
  }
  return put.status();
}

void Script::Invalidate(Kind kind, const std::string& name) {
  LoggedMutation m;
  m.ns = "ns";
  m.kind = kind;
  m.name = name;
  absl::StatusOr<cache::Mutation> done = absl::UnknownError("not called");
  if (kind == Kind::kDelete) {
    done = cache_->InvalidateKey("ns", name);
  } else if (kind == Kind::kPrefix) {
    done = cache_->InvalidatePrefix("ns", name);
  } else if (kind == Kind::kTag) {
    done = cache_->InvalidateTags("ns", {name});
  } else if (kind == Kind::kDependency) {
    done = cache_->InvalidateDependencies("ns", {name});
  } else {
    const auto flushed = cache_->FlushNamespace("ns");
    done = flushed.ok() ? absl::StatusOr<cache::Mutation>(flushed->mutation)
                        : flushed.status();
  }
  Note(done.status());
  if (done.ok()) {
    m.at = *done;
    Acknowledge(std::move(m));
  } else {
    oracle_.Doubt(std::move(m));
  }
}

void Script::Acknowledge(LoggedMutation mutation) {
  if (options_.durability == cache::Durability::kEveryPut) {
    EXPECT_LE(mutation.at.epoch, cache_->Stats().l2.durable_epoch);
    acknowledged_epoch_ = std::max(acknowledged_epoch_, mutation.at.epoch);
  }
  oracle_.Acknowledge(std::move(mutation), now());
}

void Script::Sweep() {
  Note(cache_->SweepL1Slice({}).status());
  Note(cache_->SweepDueSlice({}).status());
  Note(cache_->SweepTombstonedSlice({.entries_max = 3}).status());
  Note(cache_->SweepTombstonedSlice({}).status());
  for (int i = 0; i < 3; ++i) {
    Note(cache_->ReclaimOrphansSlice({}).status());
  }
}

// Keeps a pin for a third of the script.
void Script::Snapshot() {
  snapshot_.reset();
  auto taken = cache_->TakeSnapshot({.owner = "script"});
  Note(taken.status());
  if (!taken.ok()) return;
  snapshot_ = *std::move(taken);
  ReadPinned();
}

void Script::ReadPinned() {
  auto stored = ReadStored(*snapshot_);
  Note(stored.status());
  if (!stored.ok()) return snapshot_.reset();
  pinned_ = *std::move(stored);
  bases_.push_back({snapshot_->info(), pinned_});
  // What failed may have done its work; what is evicted is gone.
  if (failed_ || options_.evicting || options_.damaged) return;
  for (const auto& [name, blob] : oracle_.contents()) {
    const auto it = pinned_.find(name);
    EXPECT_TRUE(IsExpired(blob, now()) ||
                (it != pinned_.end() && it->second.hlc == blob.hlc))
        << name.second << " is not in the snapshot";
  }
}

void Script::CheckPinned() {
  if (snapshot_ == nullptr) return;
  const auto stored = ReadStored(*snapshot_);
  // It gives way where there is hardly any room.
  const bool aborted = absl::IsAborted(stored.status());
  if (!aborted || !options_.evicting) Note(stored.status());
  if (aborted) return snapshot_.reset();
  if (!stored.ok()) return;
  if (!options_.damaged) {
    EXPECT_TRUE(*stored == pinned_) << "a pinned epoch changed";
    return;
  }
  // A write that went astray onto a page which was verified before may hide
  // records; those that show must be what they were.
  for (const auto& [name, blob] : *stored) {
    const auto it = pinned_.find(name);
    EXPECT_TRUE(it != pinned_.end() && it->second == blob)
        << name.second << " of a pinned epoch changed";
  }
}

void Script::CheckDeltas() {
  const auto now_held = cache_->TakeSnapshot({.owner = "deltas"});
  ASSERT_TRUE(now_held.ok()) << now_held.status();
  const auto expected = ReadStored(**now_held);
  ASSERT_TRUE(expected.ok()) << expected.status();
  for (const Base& base : bases_) {
    const auto applied = ApplyDelta(**now_held, base.info, base.contents);
    ASSERT_TRUE(applied.ok()) << applied.status();
    EXPECT_TRUE(*applied == *expected) << "delta since " << base.info.epoch;
  }
}

void Script::CheckDigest() {
  for (bool due = false, tombstoned = false; !due || !tombstoned;) {
    const auto due_slice = cache_->SweepDueSlice({});
    const auto tombstoned_slice = cache_->SweepTombstonedSlice({});
    ASSERT_TRUE(due_slice.ok() && tombstoned_slice.ok());
    due |= due_slice->done;
    tombstoned |= tombstoned_slice->done;
  }
  const auto snapshot = cache_->TakeSnapshot({.owner = "digest"});
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  const auto stored = ReadStored(**snapshot);
  ASSERT_TRUE(stored.ok()) << stored.status();
  Contents contents = oracle_.contents();
  std::erase_if(contents, [&](const auto& entry) {
    return IsExpired(entry.second, now()) ||
           (options_.evicting && !stored->contains(entry.first));
  });
  const auto digest = DigestOf(contents, kContentBytesMax, *stored);
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_EQ((*snapshot)->info().content_digest, *digest);
}

uint64_t Script::VerifyBeforeOpen() {
  const auto report = cache::VerifyL2(CacheOptions());
  std::erase_if(bases_, [&](const Base& base) {
    return !report.ok() || base.info.epoch > report->epoch;
  });
  if (!report.ok()) {
    EXPECT_FALSE(created_) << report.status();
    return 0;
  }
  std::vector<std::string> damaged = report->damaged;
  EXPECT_LE(std::erase_if(damaged,
                          [](const std::string& line) {
                            return absl::StrContains(line, "superblock: ");
                          }),
            1);
  EXPECT_THAT(damaged, ::testing::ElementsAre());
  EXPECT_TRUE(report->accounting_ok);
  EXPECT_TRUE(report->digest_ok);
  return report->epoch;
}

void Script::ExpectWorks() {
  on_status_ = nullptr;
  Snapshot();
  CheckDisk();
  Note(Put("after", 999));
  Invalidate(Kind::kDelete, KeyName(4));
  Note(cache_->Flush());
  oracle_.CheckHit("ns", "after", cache_->Get("ns", "after"), now());
  CheckPinned();
  snapshot_.reset();
  oracle_.CheckAll(cache_.get(), now());
  CheckDeltas();
  CheckDigest();
  for (bool done = false; !done;) {
    const auto slice = cache_->ReclaimOrphansSlice({});
    ASSERT_TRUE(slice.ok()) << slice.status();
    done = slice->done;
  }
  CheckDisk();
  Close();
  const auto report = cache::VerifyL2(CacheOptions());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->damaged, ::testing::ElementsAre());
  EXPECT_TRUE(report->clean());
  EXPECT_EQ(report->orphaned_bytes, 0);
}

}  // namespace larder::tests
