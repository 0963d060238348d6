#include "tests/model/plan.h"

#include <iterator>
#include <random>

namespace larder::tests {
namespace {

using Kind = Operation::Kind;

// How many of 1,000 operations are of each kind.
constexpr struct {
  Kind kind;
  uint64_t share;
} kShares[] = {
    {Kind::kPut, 300},
    {Kind::kCompareAndSet, 60},
    {Kind::kGet, 200},
    {Kind::kExists, 60},
    {Kind::kLoad, 40},
    {Kind::kDelete, 40},
    {Kind::kPrefix, 16},
    {Kind::kTag, 8},
    {Kind::kDependency, 8},
    {Kind::kFlush, 8},
    {Kind::kSweepL1, 30},
    {Kind::kSweepDue, 30},
    {Kind::kSweepTombstoned, 30},
    {Kind::kReclaim, 20},
    {Kind::kCommit, 30},
    {Kind::kAdvance, 25},
    {Kind::kSnapshot, 15},
    {Kind::kEndSnapshot, 15},
    {Kind::kHold, 20},
    {Kind::kLetGo, 20},
    {Kind::kCrash, 6},
    {Kind::kReopen, 9},
    {Kind::kBackup, 6},
    {Kind::kRestore, 4},
};

class Planner {
 public:
  explicit Planner(uint64_t seed) : random_(seed) {}

  Operation Next();

 private:
  uint64_t Below(uint64_t n) { return random_() % n; }
  // Something from 1 up to `most` in one of `odds` cases, else 0.
  uint64_t Sometimes(uint64_t odds, uint64_t most) {
    return Below(odds) == 0 ? 1 + Below(most) : 0;
  }
  Kind NextKind();
  void PlanBlob(Operation* o);
  void PlanDeath(uint64_t odds, uint64_t within, bool archive_too,
                 Operation* o);

  std::mt19937_64 random_;
};

Kind Planner::NextKind() {
  uint64_t all = 0;
  for (const auto& s : kShares) all += s.share;
  uint64_t drawn = Below(all);
  const auto* s = kShares;
  for (; drawn >= s->share; ++s) drawn -= s->share;
  return s->kind;
}

void Planner::PlanBlob(Operation* o) {
  o->content = Below(20) == 0 ? 0 : random_() >> 1;
  o->expires_in = Sometimes(4, 3000);
  o->idle_ms = Sometimes(8, 2000);
  o->stale_ms = Below(8) == 0 ? 300 : 0;
  o->version = 1 + Below(4);
  o->l1_admission = Below(3);
  o->tag = Sometimes(3, 3);
  o->dependency = Sometimes(3, 3);
  o->metadata = Sometimes(5, 200);
}

void Planner::PlanDeath(uint64_t odds, uint64_t within, bool archive_too,
                        Operation* o) {
  o->dies = Sometimes(odds, within);
  if (o->dies == 0) return;
  o->at_archive = archive_too && Below(2) == 0 ? 1 : 0;
  o->power = Below(2);
  o->seed = random_();
  while (Below(4) == 0) ++o->deaths;
}

Operation Planner::Next() {
  Operation o;
  o.kind = NextKind();
  o.ns = Below(2);
  o.name = Below(40);
  switch (o.kind) {
    case Kind::kPut:
      PlanBlob(&o);
      break;
    case Kind::kCompareAndSet:
      PlanBlob(&o);
      o.expected = Sometimes(3, 5);
      break;
    case Kind::kLoad:
      o.content = random_() >> 1;
      o.version = 9;
      o.tag = Below(2);
      o.inside = Below(4) == 0 ? Below(3) : 0;
      o.inside_sweep = Sometimes(8, 30);
      break;
    case Kind::kGet:
      if (Below(2) == 0) break;
      o.offset = random_() >> 1;
      o.length = random_() >> 1;
      break;
    case Kind::kSweepL1:
    case Kind::kSweepDue:
    case Kind::kSweepTombstoned:
      o.limit = Below(30);
      break;
    case Kind::kReclaim:
      o.limit = Below(3) == 0 ? 1000 : 0;
      break;
    case Kind::kAdvance:
      o.ms = Below(400);
      break;
    case Kind::kEndSnapshot:
    case Kind::kLetGo:
      o.which = Below(100);
      break;
    case Kind::kCrash:
      PlanDeath(1, 60, /*archive_too=*/false, &o);
      break;
    case Kind::kReopen:
      o.durability = Below(3);
      PlanDeath(4, 12, /*archive_too=*/false, &o);
      break;
    case Kind::kBackup:
      o.shape = Below(3);
      PlanDeath(6, 60, /*archive_too=*/true, &o);
      break;
    case Kind::kRestore:
      o.which = Below(100);
      o.durability = Below(3);
      o.aside = Below(2);
      PlanDeath(4, 200, /*archive_too=*/true, &o);
      break;
    default:
      break;
  }
  return o;
}

}  // namespace

Operations PlanOperations(uint64_t seed, int64_t count) {
  Planner planner(seed);
  Operations operations;
  for (int64_t i = 0; i < count; ++i) operations.push_back(planner.Next());
  return operations;
}

}  // namespace larder::tests
