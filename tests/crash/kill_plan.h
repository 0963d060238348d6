// What the process that gets killed does, for it and for who checks it: every
// operation follows from its number.
#ifndef LARDER_TESTS_CRASH_KILL_PLAN_H_
#define LARDER_TESTS_CRASH_KILL_PLAN_H_

#include <cstdint>
#include <string>

#include "cache/options.h"
#include "cache/policy.h"

namespace larder::tests {

inline constexpr int kKillThreads = 3;

// A plain value.
struct KillPlan {
  uint64_t seed = 1;
  int64_t bytes_max = int64_t{64} << 20;  // What the L2 may hold.
  // More is put than that: most puts must evict. Else about a third of it stays
  // in use, and nothing is ever evicted.
  bool evicting = false;
};

// Of a thread's keys in its main namespace; the one that is flushed often has
// kKillScratchKeys.
uint64_t KillKeys(const KillPlan& plan);
inline constexpr uint64_t kKillScratchKeys = 32;
// Of a thread's tags, dependencies and prefixes: each covers about ten keys.
uint64_t KillGroups(const KillPlan& plan);

// Each thread has two namespaces to itself, so that it alone says in what order
// the operations on a key came. A plain value.
struct KillOperation {
  enum class Kind {
    kPut,
    kGet,
    kDelete,
    kPrefix,
    kTag,
    kDependency,
    kFlush,
    kSweepL1,
    kSweepDue,
    kSweepTombstoned,
    kReclaim,
    kSnapshot,
    kCommit,
  };
  Kind kind = Kind::kPut;
  int thread = 0;
  uint64_t number = 0;
  bool scratch = false;  // In the namespace that is flushed often.
  uint64_t key = 0;
  // Of a put, its own; of an invalidation, which.
  uint64_t prefix = 0;  // That of the key.
  uint64_t tag = 0;
  uint64_t dependency = 0;
  // Of a put.
  uint64_t bytes = 0;
  int64_t ttl_ms = 0;  // 0: none.
};

// Operation `number` of `thread`.
KillOperation KillOperationAt(const KillPlan& plan, int thread,
                              uint64_t number);

std::string KillNamespace(int thread, bool scratch);
std::string KillKeyName(const KillPlan& plan, uint64_t key);
std::string KillPrefixName(uint64_t prefix);
std::string KillTagName(uint64_t tag);
std::string KillDependencyName(uint64_t dependency);
// What a put puts: 100 bytes to 1 MiB, a third of them compressible.
std::string KillBytes(const KillPlan& plan, const KillOperation& put);
cache::PutOptions KillPutOptions(const KillOperation& put);
// The version tells the put's number.
inline uint64_t KillNumberOf(uint64_t version) { return version - 1; }

cache::BlobCacheOptions KillCacheOptions(const KillPlan& plan,
                                         const std::string& directory,
                                         cache::Durability durability);

// What the process writes to its stdout after each operation that returned.
struct KillReport {
  uint64_t thread;
  uint64_t number;
};

}  // namespace larder::tests

#endif  // LARDER_TESTS_CRASH_KILL_PLAN_H_
