// What the primary that gets killed does, for it and for who checks it: every
// step follows from its number.
#ifndef LARDER_TESTS_CRASH_REPLICATION_PLAN_H_
#define LARDER_TESTS_CRASH_REPLICATION_PLAN_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cache/options.h"

namespace larder::tests {

// One change. A plain value.
struct ReplicationChange {
  enum class Kind { kPut, kDelete, kFlush };
  Kind kind = Kind::kPut;
  std::string ns = {};
  std::string key = {};
  std::string bytes = {};  // Of a put.
};

// What step `step` (from 1) changes, in order, before the primary backs up.
// Done in part, or twice, and then as a whole, it comes to the same. The last
// one tells the step, under kStepNamespace and kStepKey.
std::vector<ReplicationChange> ReplicationStep(uint64_t seed, uint64_t step);
inline constexpr char kStepNamespace[] = "steps";
inline constexpr char kStepKey[] = "last";
// The namespace that is flushed now and then.
inline constexpr char kFlushedNamespace[] = "flushed";

// Bytes by (namespace, key) after a step.
using ReplicationModel =
    std::map<std::pair<std::string, std::string>, std::string>;
void ApplyStep(uint64_t seed, uint64_t step, ReplicationModel* model);
// All names that any step puts.
std::vector<std::pair<std::string, std::string>> ReplicationNames();
// Whether it flushes kFlushedNamespace.
bool StepFlushes(uint64_t seed, uint64_t step);

cache::BlobCacheOptions ReplicationCacheOptions(const std::string& directory);

// What the primary writes to its stdout.
struct ReplicationReport {
  enum class Kind : uint64_t { kChanged = 1, kBackedUp = 2 };
  Kind kind = Kind::kChanged;
  uint64_t step = 0;
  // Of a backup: who acknowledged it, bit 0 the archive's replica, bit 1 the
  // live one; and who said that the term is too low.
  uint64_t acknowledged = 0;
  uint64_t fenced = 0;
  char snapshot_id[64] = {};
};

}  // namespace larder::tests

#endif  // LARDER_TESTS_CRASH_REPLICATION_PLAN_H_
