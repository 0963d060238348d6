// kill -9 at random moments of a primary and of the two replicas that it backs
// up to, an archive's and a live one: real processes, directories and sockets.
// Every snapshot that was acknowledged can be restored and has what the primary
// had; the live replica serves one snapshot, no older than what it
// acknowledged; terms never go down; nothing that is left behind piles up.
//
// LARDER_KILLS: how often. LARDER_SEED: what is done and who is killed; when,
// is counted in reports of the primary and in milliseconds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/format/checksum.h"
#include "backup/prune.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "cache/blob_cache.h"
#include "cache/verify.h"
#include "replication/endpoint.h"
#include "replication/grpc_connector.h"
#include "replication/replication.pb.h"
#include "tests/cli/program.h"
#include "tests/cli/replica_program.h"
#include "tests/crash/child_process.h"
#include "tests/crash/replication_plan.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using backup::Archive;
using cache::BlobCache;

constexpr char kChild[] = "tests/crash/replication_kill_child";
enum Who : size_t { kArchive = 0, kLive = 1, kPrimary = 2 };
// Longer than any wait that the protocol knows, on a slow machine.
constexpr int kPatienceMillis = 120'000;

// Order does not matter: what is in a cache stands for itself.
uint64_t FingerprintOf(const std::string& ns, const std::string& key,
                       absl::string_view bytes) {
  return backup::format::Checksum64(absl::StrCat(
      ns, "\n", key, "\n", backup::format::Checksum64(bytes), "\n"));
}

// What a snapshot of a step has.
struct Content {
  uint64_t all = 0;
  uint64_t not_flushed = 0;  // The same without kFlushedNamespace.
  bool flushes = false;      // The step did.
};

// All steps of the plan, as they come.
class Steps {
 public:
  explicit Steps(uint64_t seed) : seed_(seed), contents_(1) {}

  const Content& At(uint64_t step) {
    while (contents_.size() <= step) {
      const uint64_t next = contents_.size();
      ApplyStep(seed_, next, &model_);
      Content content;
      for (const auto& [name, bytes] : model_) {
        const uint64_t one = FingerprintOf(name.first, name.second, bytes);
        content.all += one;
        if (name.first != kFlushedNamespace) content.not_flushed += one;
      }
      content.flushes = StepFlushes(seed_, next);
      contents_.push_back(content);
    }
    return contents_[step];
  }
  // What a restore of `step` has, once the archive knows of `newest`: what was
  // flushed since does not come back.
  uint64_t Restored(uint64_t step, uint64_t newest) {
    At(newest);
    for (uint64_t later = step + 1; later <= newest; ++later) {
      if (contents_[later].flushes) return contents_[step].not_flushed;
    }
    return contents_[step].all;
  }

 private:
  const uint64_t seed_;
  ReplicationModel model_;
  std::vector<Content> contents_;  // [0]: before the first.
};

// The next report; nothing after `milliseconds`, or when it has ended.
std::optional<ReplicationReport> NextReport(int milliseconds,
                                            ChildProcess* primary) {
  char bytes[sizeof(ReplicationReport)];
  const size_t n = primary->Read(milliseconds, bytes, sizeof(bytes));
  // Each is written at once, and so read at once.
  EXPECT_TRUE(n == 0 || n == sizeof(bytes));
  if (n != sizeof(bytes)) return std::nullopt;
  ReplicationReport report;
  std::memcpy(&report, bytes, sizeof(report));
  return report;
}

class ReplicationKillTest : public ::testing::Test {
 protected:
  ReplicationKillTest()
      : directory_(FreshDirectory()),
        seed_(SeedOr(1)),
        random_(seed_),
        steps_(seed_) {
    addresses_[kArchive] = addresses_[kLive] = "127.0.0.1:0";
  }
  ~ReplicationKillTest() override { fs::remove_all(directory_); }

  std::string At(const std::string& name) const {
    return directory_ + "/" + name;
  }
  // Starts whoever is dead.
  void StartAll();
  void StartReplica(Who who);
  void Kill(Who who);
  void Note(const ReplicationReport& report);
  // Takes reports until there were so many, and then for so long.
  void Watch(int64_t reports, int milliseconds);
  // Kills both and looks at all that the archive has.
  void CheckArchive(bool all);
  uint64_t RestoreAndCheck(const Archive& archive, const std::string& id,
                           std::optional<uint64_t> newest);
  void CheckLive();
  bool TryCheckLive(bool* changed);
  void CheckTerm(Who who);
  void CheckLeftovers();
  void Prune();
  void FinishInPeace();
  void Print();

  const std::string directory_;
  const uint64_t seed_;
  std::mt19937_64 random_;
  Steps steps_;
  std::string addresses_[2];
  std::unique_ptr<ReplicaProgram> replicas_[2];
  std::unique_ptr<ChildProcess> primary_;

  uint64_t changed_ = 0;  // The last step that is known to be done.
  uint64_t term_ = 2;     // The highest that any primary had.
  uint64_t primary_term_ = 2;
  uint64_t known_terms_[2] = {0, 0};  // Seen by a replica.
  struct Acknowledged {
    std::string id;
    uint64_t step;
  };
  std::vector<Acknowledged> kept_;  // By the archive; not pruned.
  uint64_t newest_[2] = {0, 0};     // Step of the newest that was acknowledged.
  int64_t kills_ = 0, kills_of_[3] = {0, 0, 0};
  int64_t acknowledged_[2] = {0, 0}, fenced_ = 0, restored_ = 0, lives_ = 0;
};

void ReplicationKillTest::StartReplica(Who who) {
  const bool is_live = who == kLive;
  replicas_[who] = std::make_unique<ReplicaProgram>(
      At(is_live ? "live" : "archive"), addresses_[who],
      std::vector<std::string>(), is_live ? "--l2" : "--archive");
  addresses_[who] = replicas_[who]->address();
}

void ReplicationKillTest::StartAll() {
  for (const Who who : {kArchive, kLive}) {
    if (replicas_[who] == nullptr) StartReplica(who);
  }
  if (HasFailure() || primary_ != nullptr) return;
  // Now and then one is promoted, and now and then an old one comes back.
  const uint64_t kind = random_() % 5;
  if (kind == 0) ++term_;
  primary_term_ = kind == 1 ? term_ - 1 : term_;
  primary_ = std::make_unique<ChildProcess>(std::vector<std::string>{
      kChild, At("l2"), absl::StrCat(seed_), absl::StrCat(changed_ + 1),
      absl::StrCat(primary_term_), addresses_[kArchive], addresses_[kLive]});
}

void ReplicationKillTest::Note(const ReplicationReport& report) {
  changed_ = std::max(changed_, report.step);
  if (report.kind != ReplicationReport::Kind::kBackedUp) return;
  for (const Who who : {kArchive, kLive}) {
    fenced_ += static_cast<int64_t>(report.fenced >> who & 1);
    if ((report.acknowledged >> who & 1) == 0) continue;
    EXPECT_GE(primary_term_, known_terms_[who]) << "an old primary wrote";
    known_terms_[who] = primary_term_;
    newest_[who] = report.step;
    ++acknowledged_[who];
    if (who == kArchive) kept_.push_back({report.snapshot_id, report.step});
  }
}

void ReplicationKillTest::Watch(int64_t reports, int milliseconds) {
  for (int64_t i = 0; i < reports; ++i) {
    const auto report = NextReport(kPatienceMillis, primary_.get());
    ASSERT_TRUE(report.has_value()) << "the primary hangs, or ended";
    Note(*report);
  }
  while (const auto report = NextReport(milliseconds, primary_.get())) {
    Note(*report);
    milliseconds /= 2;
  }
  ASSERT_FALSE(primary_->ended()) << "it ended by itself";
}

void ReplicationKillTest::Kill(Who who) {
  ++kills_;
  ++kills_of_[who];
  if (who != kPrimary) {
    EXPECT_EQ(replicas_[who]->End(SIGKILL).signal, SIGKILL);
    replicas_[who].reset();
    return;
  }
  primary_->Kill();
  while (const auto report = NextReport(-1, primary_.get())) Note(*report);
  primary_.reset();
}

// Returns: its step.
uint64_t ReplicationKillTest::RestoreAndCheck(const Archive& archive,
                                              const std::string& id,
                                              std::optional<uint64_t> newest) {
  fs::remove_all(At("restored"));
  backup::RestoreOptions options;
  options.snapshot_id = id;
  options.cache = ReplicationCacheOptions(At("restored"));
  const backup::RestoreReport report = Restore(archive, options);
  EXPECT_EQ(report.outcome, backup::Outcome::kOk) << id << report.status;
  if (report.outcome != backup::Outcome::kOk) return 0;
  EXPECT_TRUE(report.digest_equal || report.records_skipped > 0);
  options.cache.background_commits = false;
  const auto cache = BlobCache::Open(options.cache);
  EXPECT_TRUE(cache.ok()) << cache.status();
  if (!cache.ok()) return 0;
  uint64_t found = 0;
  const auto walked =
      (*cache)->ForEachL2Record("", "", [&](const cache::L2RecordView& record) {
        if (!record.valid) return true;
        const std::string ns(record.ns), key(record.key);
        const auto hit = (*cache)->Get(ns, key);
        EXPECT_TRUE(hit.has_value()) << ns << "/" << key;
        if (hit.has_value()) found += FingerprintOf(ns, key, hit->bytes());
        return true;
      });
  EXPECT_TRUE(walked.ok()) << walked;
  uint64_t step = 0;
  const auto told = (*cache)->Get(kStepNamespace, kStepKey);
  EXPECT_TRUE(told.has_value() && absl::SimpleAtoi(told->bytes(), &step)) << id;
  EXPECT_EQ(found, steps_.Restored(step, newest.value_or(step)))
      << id << " of step " << step;
  ++restored_;
  return step;
}

void ReplicationKillTest::CheckArchive(bool all) {
  if (primary_ != nullptr) Kill(kPrimary);
  if (replicas_[kArchive] != nullptr) Kill(kArchive);
  if (kept_.empty()) return;
  const auto archive = Archive::Open(At("archive"), nullptr);
  ASSERT_TRUE(archive.ok()) << archive.status();
  const auto newest = archive->Find("");
  ASSERT_TRUE(newest.ok()) << newest.status();
  const uint64_t step =
      RestoreAndCheck(*archive, newest->id, /*newest=*/std::nullopt);
  EXPECT_GE(step, newest_[kArchive]);
  EXPECT_LE(step, changed_ + 1);
  const size_t chosen = random_() % kept_.size();
  for (size_t i = 0; i < kept_.size(); ++i) {
    if (!all && i != chosen) continue;
    const Acknowledged& a = kept_[i];
    EXPECT_EQ(RestoreAndCheck(*archive, a.id, step), a.step) << a.id;
    if (HasFailure()) return;
  }
}

// Returns: false when another snapshot came in between.
bool ReplicationKillTest::TryCheckLive(bool* is_empty) {
  const auto endpoint = replication::ParseEndpoint(addresses_[kLive]);
  EXPECT_TRUE(endpoint.ok());
  uint64_t found = 0, step = 0, epoch = 0;
  for (const auto& [ns, key] : ReplicationNames()) {
    std::string bytes;
    uint64_t epoch_of_this = 0;
    const absl::Status got = replication::GrpcConnector::Get(
        {.replica = *endpoint}, ns, key,
        [&](const replication::GetReply& piece) {
          if (bytes.empty()) epoch_of_this = piece.epoch();
          bytes += piece.data();
          return absl::OkStatus();
        });
    *is_empty = absl::IsUnavailable(got);
    if (*is_empty) return true;
    if (absl::IsNotFound(got)) continue;
    EXPECT_TRUE(got.ok()) << got;
    if (epoch != 0 && epoch_of_this != epoch) return false;
    epoch = epoch_of_this;
    found += FingerprintOf(ns, key, bytes);
    if (ns == kStepNamespace) {
      EXPECT_TRUE(absl::SimpleAtoi(bytes, &step));
    }
  }
  if (found != steps_.At(step).all) return false;
  EXPECT_GE(step, newest_[kLive]);
  EXPECT_LE(step, changed_ + 1);
  return true;
}

void ReplicationKillTest::CheckLive() {
  if (primary_ != nullptr) Kill(kPrimary);
  if (replicas_[kLive] == nullptr) StartReplica(kLive);
  // Without a primary one dump may still be applied, and no more.
  bool is_empty = false;
  bool stood_still = false;
  for (int i = 0; i < 3 && !stood_still; ++i) {
    stood_still = TryCheckLive(&is_empty);
  }
  EXPECT_TRUE(stood_still) << "it serves what no step has";
  EXPECT_TRUE(!is_empty || acknowledged_[kLive] == 0);
  ++lives_;
}

void ReplicationKillTest::CheckTerm(Who who) {
  if (replicas_[who] == nullptr) StartReplica(who);
  const auto endpoint = replication::ParseEndpoint(addresses_[who]);
  ASSERT_TRUE(endpoint.ok());
  const auto connector =
      replication::GrpcConnector::Create({.replica = *endpoint});
  ASSERT_TRUE(connector.ok());
  const auto status = (*connector)->GetStatus();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_GE(status->term(), known_terms_[who]);
  EXPECT_LE(status->term(), term_);
  known_terms_[who] = status->term();
}

void ReplicationKillTest::CheckLeftovers() {
  for (const char* place : {"archive", "live.replica"}) {
    // Eight dumps in part, and the replica's own files.
    EXPECT_LE(std::distance(fs::directory_iterator(At(place) + "/incoming"),
                            fs::directory_iterator()),
              9)
        << place;
  }
  if (primary_ != nullptr) return;
  // The live replica runs, and nobody sends it anything.
  for (const char* aside : {"live.replica/building", "live.replica/old"}) {
    EXPECT_FALSE(fs::exists(At(aside))) << aside;
  }
}

// As a job would, while the replica may be writing.
void ReplicationKillTest::Prune() {
  const auto archive = Archive::Open(At("archive"), nullptr);
  ASSERT_TRUE(archive.ok()) << archive.status();
  backup::PruneOptions options;
  options.policy.last = 5;
  options.confirm = true;
  const auto report = backup::Prune(*archive, options);
  if (absl::IsUnavailable(report.status())) return;  // It is.
  ASSERT_TRUE(report.ok()) << report.status();
  for (const backup::RetentionDecision& decision : report->decisions) {
    if (decision.keep()) continue;
    std::erase_if(kept_,
                  [&](const Acknowledged& a) { return a.id == decision.id; });
  }
}

void ReplicationKillTest::FinishInPeace() {
  ++term_;
  for (int i = 0; i < 2 || primary_term_ != term_; ++i) {
    if (primary_ != nullptr) Kill(kPrimary);
    StartAll();
  }
  const uint64_t from = changed_;
  while (std::min(newest_[kArchive], newest_[kLive]) <= from) Watch(1, 0);
  Kill(kPrimary);
  CheckLive();
  CheckLeftovers();
  for (auto& replica : replicas_) {
    if (replica == nullptr) continue;
    const ProgramEnd end = replica->End(SIGTERM);
    EXPECT_EQ(end.exit_code, 0) << end.err;
    replica.reset();
  }
  const auto report =
      backup::VerifyArchive(*Archive::Open(At("archive"), nullptr), {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->status.ok()) << report->status;
  EXPECT_EQ(report->leftover_files, 0);
  for (const char* l2 : {"l2", "live"}) {
    const auto verified = cache::VerifyL2(ReplicationCacheOptions(At(l2)));
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_TRUE(verified->clean()) << l2;
  }
  CheckArchive(/*all=*/true);
}

void ReplicationKillTest::Print() {
  const auto number = [](int64_t n) { return static_cast<long long>(n); };
  std::printf(
      "%lld kills (%lld of the archive's replica, %lld of the live one, %lld "
      "of the primary), %lld steps, %lld terms, %lld refusals of an old "
      "one\n%lld and %lld snapshots acknowledged; %lld restored, %lld looks at "
      "the live replica\n",
      number(kills_), number(kills_of_[kArchive]), number(kills_of_[kLive]),
      number(kills_of_[kPrimary]), number(static_cast<int64_t>(changed_)),
      number(static_cast<int64_t>(term_)), number(fenced_),
      number(acknowledged_[kArchive]), number(acknowledged_[kLive]),
      number(restored_), number(lives_));
  std::fflush(stdout);  // Long runs are watched.
}

TEST_F(ReplicationKillTest, AcknowledgedSnapshotsSurvive) {
  const int64_t kills = CountOr("LARDER_KILLS", 60);
  int64_t next_all = 40;
  while (kills_ < kills) {
    SCOPED_TRACE(absl::StrCat("kill ", kills_));
    StartAll();
    if (HasFailure()) return;
    Watch(static_cast<int64_t>(random_() % 6),
          static_cast<int>(random_() % 40));
    if (kept_.size() > 20) {
      CheckArchive(/*all=*/true);
      StartAll();
      if (HasFailure()) return;
      Prune();
    }
    if (HasFailure()) return;
    const uint64_t victims = 1 + random_() % 7;
    for (const Who who : {kPrimary, kArchive, kLive}) {
      if ((victims >> who & 1) != 0) Kill(who);
    }
    const uint64_t look = random_() % 8;
    if (look == 0) CheckLive();
    if (look == 1) CheckArchive(/*all=*/false);
    if (look == 2) CheckTerm(random_() % 2 == 0 ? kArchive : kLive);
    if (HasFailure()) return;
    if (kills_ < next_all) continue;
    next_all += 40;
    CheckArchive(/*all=*/true);
    CheckLive();
    CheckLeftovers();
    Print();
  }
  FinishInPeace();
  Print();
  EXPECT_GT(acknowledged_[kArchive], 0);
  EXPECT_GT(acknowledged_[kLive], 0);
  EXPECT_GT(restored_, 0);
  EXPECT_TRUE(fenced_ > 0 || kills < 200);
}

}  // namespace
}  // namespace larder::tests
