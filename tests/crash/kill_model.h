// Says what an L2 may hold after its process was killed, from the operations
// that had returned.
#ifndef LARDER_TESTS_CRASH_KILL_MODEL_H_
#define LARDER_TESTS_CRASH_KILL_MODEL_H_

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "cache/options.h"
#include "tests/crash/kill_plan.h"

namespace larder::tests {

// The rule, for each key:
// - A put is certain once a commit of its thread has returned after it, at
//   kEveryPut once it has returned itself; until then a kill may take it, and
//   uncovers the one before.
// - A put that an invalidation covers is gone for good once that has returned,
//   committed or not.
// - Of each thread one more operation than has returned may have happened.
// Single-owner.
class KillModel {
 public:
  explicit KillModel(const KillPlan& plan) : plan_(plan) {}

  // A process is started that opens the L2 at this durability.
  void Started(cache::Durability durability) { durability_ = durability; }
  // The operation has returned. Those of a thread come in their order.
  void Returned(int thread, uint64_t number);
  // The process was killed, and all that it reported was told.
  void Killed();

  // The first number that a thread may use in its next life.
  uint64_t next(int thread) const { return next_[static_cast<size_t>(thread)]; }
  int64_t puts() const { return puts_; }
  int64_t invalidations() const { return invalidations_; }

  // By thread, whether in scratch, and number of the key.
  using Key = std::tuple<int, bool, uint64_t>;
  struct Allowed {
    bool absent = false;
    std::vector<uint64_t> puts;  // By their numbers.
  };
  Allowed Find(const Key& key) const;
  // All that ever had a put.
  std::vector<Key> Keys() const;
  // What operations named, or invalidations covered, since the last call.
  std::vector<Key> TakeTouched();

 private:
  struct Put {
    KillOperation operation;
    bool certain = false;
  };

  void Apply(const KillOperation& o, bool returned);
  void Commit(int thread);
  // Of the puts of a key, those that are covered go, or may go.
  template <typename Covered>
  void Cover(const Key& key, std::vector<Put>* puts, bool returned,
             Covered covered);

  const KillPlan plan_;
  cache::Durability durability_ = cache::Durability::kInterval;
  std::array<uint64_t, kKillThreads> next_ = {};
  // Puts that no commit of their thread has followed in this life.
  std::array<std::vector<KillOperation>, kKillThreads> uncommitted_;
  // What may be there, oldest first: nothing older than the newest certain one.
  std::map<Key, std::vector<Put>> puts_by_key_;
  std::set<Key> touched_;
  int64_t puts_ = 0;
  int64_t invalidations_ = 0;
};

}  // namespace larder::tests

#endif  // LARDER_TESTS_CRASH_KILL_MODEL_H_
