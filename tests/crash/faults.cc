#include "tests/crash/faults.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cache/stats.h"

namespace larder::tests {

using Disk = cache::l2::SimulatedDisk;
using Loss = Oracle::Loss;

bool IsClear(const absl::Status& status) {
  return (absl::IsDataLoss(status) || absl::IsResourceExhausted(status) ||
          absl::IsUnavailable(status) || absl::IsAborted(status)) &&
         !status.message().empty();
}

void CheckAlive(Script* script, int64_t damaged_reads_max) {
  script->oracle()->CheckAll(script->cache(), script->now());
  const cache::L2Stats stats = script->cache()->Stats().l2;
  EXPECT_LE(stats.damaged_reads, damaged_reads_max);
  EXPECT_LE(stats.durable_epoch, stats.epoch);
  const absl::Status put = script->Put("alive", 998);
  if (stats.degraded.empty()) {
    EXPECT_TRUE(put.ok()) << put;
    const absl::Status flushed = script->cache()->Flush();
    EXPECT_TRUE(flushed.ok()) << flushed;
    EXPECT_GT(script->cache()->Stats().l2.epoch, script->committed_epoch());
  } else {
    EXPECT_TRUE(absl::IsUnavailable(put)) << put;
  }
}

namespace {

constexpr uint64_t kSectorBytes = 512;
constexpr uint64_t kPageBytes = 4096;

void FailAt(Script::Options options, uint64_t operation, Disk::Fault fault,
            uint64_t seed) {
  Script script(options);
  bool hit_a_read = false;
  script.disk()->SetFaultScript([&](const Disk::Operation& now) {
    if (now.index != operation) return Disk::Fault();
    hit_a_read = now.kind == Disk::OperationKind::kRead;
    return fault;
  });
  const bool never = false;
  script.Run(&never, IsClear);
  script.disk()->SetFaultScript(nullptr);
  if (script.cache() == nullptr) {
    // It failed to be created; nothing stands in the way of the next attempt.
    ASSERT_TRUE(script.Open().ok());
  }
  CheckAlive(&script, hit_a_read ? 1 : 0);
  const bool degraded = !script.cache()->Stats().l2.degraded.empty();
  const bool power_cut = degraded && (operation + seed) % 2 == 0;
  const uint64_t committed = script.cache()->Stats().l2.epoch;
  const uint64_t durable = script.cache()->Stats().l2.durable_epoch;
  script.Close();
  if (power_cut) script.disk()->PowerCut(seed * 1'000'003 + operation);
  const uint64_t epoch = script.VerifyBeforeOpen();
  EXPECT_GE(epoch, power_cut ? durable : committed);
  EXPECT_GE(epoch, script.acknowledged_epoch());
  const absl::Status opened = script.Open();
  ASSERT_TRUE(opened.ok()) << opened;
  script.oracle()->CheckReopened(script.cache(),
                                 script.LossOf(power_cut  ? Loss::kUnsynced
                                               : degraded ? Loss::kUncommitted
                                                          : Loss::kNone),
                                 epoch, script.now());
  script.ExpectWorks();
}

// What a deceived process may be told.
bool IsOfDamage(const absl::Status& status) {
  return IsClear(status) || absl::IsFailedPrecondition(status);
}

// Of `meta` or `blobs`, near the start of them.
void ForgetAPage(Disk* disk, std::mt19937_64& random) {
  constexpr uint64_t kPages = 64;
  const std::string path = random() % 2 == 0 ? "/var/l2/meta" : "/var/l2/blobs";
  // Nothing is lost of a file that is not there, or does not reach so far.
  disk->LosePage(path, random() % kPages * kPageBytes).IgnoreError();
}

void DeceiveAt(Script::Options options, Deceit deceit, uint64_t operation,
               uint64_t seed) {
  options.damaged = true;
  Script script(options);
  script.disk()->SetFaultScript([&](const Disk::Operation& now) {
    if (now.index != operation) return Disk::Fault();
    if (deceit == Deceit::kLie) return Disk::Fault::Lie();
    std::mt19937_64 random(seed * 1'000'003 + operation);
    if (deceit == Deceit::kForget) {
      ForgetAPage(script.disk(), random);
      return Disk::Fault();
    }
    // Within the file, by sectors: in `meta` also by parts of a page.
    const uint64_t near = now.offset / kSectorBytes + 512;
    return Disk::Fault::Misdirect(random() % near * kSectorBytes +
                                  now.offset % kSectorBytes);
  });
  const bool never = false;
  script.Run(&never, IsOfDamage);
  script.disk()->SetFaultScript(nullptr);
  if (script.cache() != nullptr) {
    script.oracle()->CheckAll(script.cache(), script.now());
  }
  script.Close();
  // What was only said to be synced shows.
  if (deceit == Deceit::kLie) {
    script.disk()->PowerCut(seed * 1'000'003 + operation);
  }
  const absl::Status opened = script.Open();
  if (!opened.ok()) {
    EXPECT_TRUE(IsOfDamage(opened)) << opened;
    return;
  }
  script.oracle()->CheckReopened(script.cache(), Loss::kAnything, 0,
                                 script.now());
  // What is new is right, if it is taken.
  if (script.Put("after", 999).ok()) {
    script.oracle()->CheckHit("ns", "after", script.cache()->Get("ns", "after"),
                              script.now());
  }
  script.oracle()->CheckAll(script.cache(), script.now());
  script.Close();
}

}  // namespace

int64_t FailAtEach(Script::Options options, Disk::Fault fault,
                   OperationPoints which, uint64_t seed) {
  return ForEachOperation(options, which, "LARDER_FAULTS",
                          [&](uint64_t n) { FailAt(options, n, fault, seed); });
}

int64_t DeceiveAtEach(Script::Options options, Deceit deceit,
                      OperationPoints which, uint64_t seed) {
  std::vector<uint64_t> writes;
  {
    Script script(options);
    script.disk()->SetFaultScript([&](const Disk::Operation& now) {
      if (now.kind == Disk::OperationKind::kWrite ||
          (now.kind == Disk::OperationKind::kSync && deceit == Deceit::kLie)) {
        writes.push_back(now.index);
      }
      return Disk::Fault();
    });
    const bool never = false;
    script.Run(&never);
    script.Close();
  }
  int64_t done = 0;
  for (size_t i = which.first; i < writes.size(); i += which.stride) {
    SCOPED_TRACE(absl::StrCat("operation ", writes[i]));
    DeceiveAt(options, deceit, writes[i], seed);
    if (::testing::Test::HasFailure()) break;
    ++done;
  }
  std::printf("%lld of %zu writes\n", static_cast<long long>(done),
              writes.size());
  return done;
}

}  // namespace larder::tests
