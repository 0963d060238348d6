// The process that kill_test kills: works on a real directory until then, and
// says on stdout, by a KillReport each, which operations have returned.
//
//   kill_child DIRECTORY BYTES_MAX EVICTING SEED DURABILITY FIRST...
//
// DURABILITY: as a number. FIRST: the first operation of each thread.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "cache/blob_cache.h"
#include "cache/options.h"
#include "cache/snapshot.h"
#include "tests/crash/kill_plan.h"

namespace larder::tests {
namespace {

using cache::BlobCache;
using Kind = KillOperation::Kind;

void Check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "kill_child: %s\n", what);
  _exit(1);
}

void Check(const absl::Status& status) {
  if (!status.ok()) Check(false, status.ToString().c_str());
}

// What one thread does.
class Worker {
 public:
  Worker(const KillPlan& plan, int thread, uint64_t first, BlobCache* cache)
      : plan_(plan), thread_(thread), next_(first), cache_(cache) {}

  [[noreturn]] void Run() {
    for (;; ++next_) {
      Do(KillOperationAt(plan_, thread_, next_));
      const KillReport report{static_cast<uint64_t>(thread_), next_};
      Check(write(STDOUT_FILENO, &report, sizeof(report)) == sizeof(report),
            "nobody listens");
    }
  }

 private:
  void Do(const KillOperation& o);
  void Get(const KillOperation& o);
  void Snapshot();

  const KillPlan plan_;
  const int thread_;
  uint64_t next_;
  BlobCache* const cache_;
  std::unique_ptr<cache::Snapshot> snapshot_;
};

void Worker::Do(const KillOperation& o) {
  const std::string ns = KillNamespace(o.thread, o.scratch);
  const std::string key = KillKeyName(plan_, o.key);
  switch (o.kind) {
    case Kind::kPut:
      return Check(cache_->Put(ns, key, KillBytes(plan_, o), KillPutOptions(o))
                       .status());
    case Kind::kGet:
      return Get(o);
    case Kind::kDelete:
      return Check(cache_->InvalidateKey(ns, key).status());
    case Kind::kPrefix:
      return Check(
          cache_->InvalidatePrefix(ns, KillPrefixName(o.prefix)).status());
    case Kind::kTag:
      return Check(cache_->InvalidateTags(ns, {KillTagName(o.tag)}).status());
    case Kind::kDependency:
      return Check(
          cache_->InvalidateDependencies(ns, {KillDependencyName(o.dependency)})
              .status());
    case Kind::kFlush:
      return Check(cache_->FlushNamespace(ns).status());
    case Kind::kSweepL1:
      return Check(cache_->SweepL1Slice({}).status());
    case Kind::kSweepDue:
      return Check(cache_->SweepDueSlice({}).status());
    case Kind::kSweepTombstoned:
      return Check(cache_->SweepTombstonedSlice({}).status());
    case Kind::kReclaim: {
      const absl::Status status = cache_->ReclaimOrphansSlice({}).status();
      // A round gives way when its pin keeps too much from reuse.
      return Check(absl::IsAborted(status) ? absl::OkStatus() : status);
    }
    case Kind::kSnapshot:
      return Snapshot();
    case Kind::kCommit:
      Check(cache_->Flush());
      const cache::L2Stats stats = cache_->Stats().l2;
      Check(stats.degraded.empty(), stats.degraded.c_str());
      Check(stats.damaged_reads == 0, "read something damaged");
      return Check(plan_.evicting || stats.evictions == 0,
                   "evicted something, with room to spare");
  }
}

// Nobody else writes to these namespaces: also in the middle of everything a
// hit is whole, and one of this key's blobs.
void Worker::Get(const KillOperation& o) {
  const auto hit = cache_->Get(KillNamespace(o.thread, o.scratch),
                               KillKeyName(plan_, o.key));
  if (!hit.has_value()) return;
  const uint64_t number = KillNumberOf(hit->attributes().version);
  Check(number < next_, "got a blob from the future");
  const KillOperation put = KillOperationAt(plan_, thread_, number);
  Check(put.kind == Kind::kPut && put.key == o.key && put.scratch == o.scratch,
        "got another key's blob");
  Check(hit->bytes() == KillBytes(plan_, put), "got wrong bytes");
}

// Held until the next one: what is replaced meanwhile cannot be reused.
void Worker::Snapshot() {
  snapshot_.reset();
  auto taken = cache_->TakeSnapshot({.owner = "kill_child"});
  Check(taken.status());
  snapshot_ = *std::move(taken);
}

void Work(const std::string& directory, const KillPlan& plan,
          cache::Durability durability, const std::vector<uint64_t>& first) {
  auto opened = BlobCache::Open(KillCacheOptions(plan, directory, durability));
  Check(opened.status());
  std::vector<std::thread> threads;
  for (int t = 0; t < kKillThreads; ++t) {
    threads.emplace_back([&, t] {
      Worker(plan, t, first[static_cast<size_t>(t)], opened->get()).Run();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace larder::tests

int main(int argc, char** argv) {
  using larder::tests::kKillThreads;
  larder::tests::KillPlan plan;
  std::vector<uint64_t> first(kKillThreads);
  int durability = 0;
  bool ok = argc == 6 + kKillThreads &&
            absl::SimpleAtoi(argv[2], &plan.bytes_max) &&
            absl::SimpleAtob(argv[3], &plan.evicting) &&
            absl::SimpleAtoi(argv[4], &plan.seed) &&
            absl::SimpleAtoi(argv[5], &durability);
  for (int t = 0; ok && t < kKillThreads; ++t) {
    ok = absl::SimpleAtoi(argv[6 + t], &first[static_cast<size_t>(t)]);
  }
  if (!ok) {
    std::fprintf(stderr,
                 "usage: kill_child DIRECTORY BYTES_MAX EVICTING SEED "
                 "DURABILITY FIRST...\n");
    return 2;
  }
  larder::tests::Work(
      argv[1], plan, static_cast<larder::cache::Durability>(durability), first);
  return 1;
}
