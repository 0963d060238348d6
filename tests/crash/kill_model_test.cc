#include "tests/crash/kill_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "cache/options.h"

namespace larder::tests {
namespace {

using Kind = KillOperation::Kind;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

constexpr int kThread = 1;

// Plays the operations of one thread, all of which return, up to the ones that
// a test is about.
class KillModelTest : public ::testing::Test {
 protected:
  KillOperation At(uint64_t number) const {
    return KillOperationAt(plan_, kThread, number);
  }
  // Plays until after the next operation of which `wanted` is true.
  template <typename Wanted>
  KillOperation PlayTo(Wanted wanted) {
    for (;;) {
      const KillOperation o = At(model_.next(kThread));
      model_.Returned(kThread, o.number);
      if (wanted(o)) return o;
    }
  }
  KillOperation PlayToPut() {
    return PlayTo([](const KillOperation& o) {
      return o.kind == Kind::kPut && o.ttl_ms == 0 && !o.scratch;
    });
  }
  void PlayToCommit() {
    PlayTo([](const KillOperation& o) { return o.kind == Kind::kCommit; });
  }
  static KillModel::Key KeyOf(const KillOperation& o) {
    return {kThread, o.scratch, o.key};
  }

  const KillPlan plan_ = {};
  KillModel model_{plan_};
};

TEST_F(KillModelTest, WhatIsCommittedMustBeThere) {
  const KillOperation put = PlayToPut();
  EXPECT_TRUE(model_.Find(KeyOf(put)).absent);
  EXPECT_THAT(model_.Find(KeyOf(put)).puts, Contains(put.number));
  PlayToCommit();
  EXPECT_FALSE(model_.Find(KeyOf(put)).absent);
  EXPECT_THAT(model_.Find(KeyOf(put)).puts, ElementsAre(put.number));
}

TEST_F(KillModelTest, AtEveryPutWhatReturnedMustBeThere) {
  model_.Started(cache::Durability::kEveryPut);
  const KillOperation put = PlayToPut();
  EXPECT_FALSE(model_.Find(KeyOf(put)).absent);
  EXPECT_THAT(model_.Find(KeyOf(put)).puts, ElementsAre(put.number));
  model_.Killed();
  model_.Started(cache::Durability::kNone);
  const KillOperation next = PlayToPut();
  EXPECT_THAT(model_.Find(KeyOf(next)).puts, Contains(next.number));
  EXPECT_EQ(model_.Find(KeyOf(next)).absent, KeyOf(next) != KeyOf(put));
}

TEST_F(KillModelTest, WhatIsNotCommittedUncoversWhatWasBefore) {
  const KillOperation old = PlayToPut();
  PlayToCommit();
  const KillOperation fresh = PlayTo([&](const KillOperation& o) {
    return o.kind == Kind::kPut && KeyOf(o) == KeyOf(old);
  });
  const auto before = model_.Find(KeyOf(old)).puts;
  ASSERT_THAT(before, Contains(fresh.number));
  model_.Killed();
  EXPECT_EQ(model_.Find(KeyOf(old)).puts.front(), before.front());
  // A commit of the next life says nothing of it.
  PlayToCommit();
  EXPECT_THAT(model_.Find(KeyOf(old)).puts, Contains(before.front()));
  EXPECT_GT(model_.next(kThread), fresh.number + 1);
}

TEST_F(KillModelTest, WhatIsInvalidatedIsGoneCommittedOrNot) {
  for (const Kind kind : {Kind::kDelete, Kind::kPrefix, Kind::kTag,
                          Kind::kDependency, Kind::kFlush}) {
    SCOPED_TRACE(static_cast<int>(kind));
    // Up to an invalidation of something that may be there.
    std::vector<KillOperation> covered;
    for (;;) {
      const KillOperation o = At(model_.next(kThread));
      for (uint64_t n = 0; o.kind == kind && n < o.number; ++n) {
        const KillOperation put = At(n);
        if (put.kind != Kind::kPut || put.scratch != o.scratch) continue;
        const bool covers = kind == Kind::kDelete   ? put.key == o.key
                            : kind == Kind::kPrefix ? put.prefix == o.prefix
                            : kind == Kind::kTag    ? put.tag == o.tag
                            : kind == Kind::kDependency
                                ? put.dependency == o.dependency
                                : true;
        const auto puts = model_.Find(KeyOf(put)).puts;
        if (covers && std::count(puts.begin(), puts.end(), n) > 0) {
          covered.push_back(put);
        }
      }
      if (!covered.empty()) break;
      model_.Returned(kThread, o.number);
    }
    model_.TakeTouched();
    model_.Returned(kThread, model_.next(kThread));
    const auto touched = model_.TakeTouched();
    for (const KillOperation& put : covered) {
      EXPECT_THAT(model_.Find(KeyOf(put)).puts, Not(Contains(put.number)));
      EXPECT_TRUE(model_.Find(KeyOf(put)).absent);
      EXPECT_THAT(touched, Contains(KeyOf(put)));
    }
    model_.Killed();
    for (const KillOperation& put : covered) {
      EXPECT_THAT(model_.Find(KeyOf(put)).puts, Not(Contains(put.number)));
    }
  }
}

// The operation after the last one that returned may have happened.
TEST_F(KillModelTest, OneMoreThanReturnedIsInDoubt) {
  const KillOperation put = PlayToPut();
  PlayToCommit();
  // Up to just before something that invalidates it.
  for (;;) {
    const KillOperation o = At(model_.next(kThread));
    if ((o.kind == Kind::kDelete && KeyOf(o) == KeyOf(put)) ||
        (o.kind == Kind::kPut && KeyOf(o) == KeyOf(put)) ||
        (o.kind == Kind::kFlush && !o.scratch)) {
      break;
    }
    model_.Returned(kThread, o.number);
  }
  const uint64_t doubtful = model_.next(kThread);
  const auto before = model_.Find(KeyOf(put));
  model_.Killed();
  EXPECT_EQ(model_.next(kThread), doubtful + 1);
  const auto after = model_.Find(KeyOf(put));
  if (At(doubtful).kind == Kind::kPut) {
    EXPECT_THAT(after.puts, Contains(doubtful));
    EXPECT_EQ(after.puts.size(), before.puts.size() + 1);
  } else {
    EXPECT_EQ(after.puts, before.puts);
    EXPECT_TRUE(after.absent);
  }
}

// A put that is invalidated does not uncover what it may have replaced.
TEST_F(KillModelTest, WhatWasReplacedIsNotCertainAgain) {
  for (int round = 0; round < 50; ++round) {
    PlayToCommit();
    PlayTo([](const KillOperation& o) { return o.kind == Kind::kTag; });
    for (const KillModel::Key& key : model_.TakeTouched()) {
      const auto allowed = model_.Find(key);
      for (const uint64_t number : allowed.puts) {
        const KillOperation put = At(number);
        ASSERT_EQ(KeyOf(put), key);
        // Nothing newer of this key that returned was forgotten, but by what
        // covers it.
        for (uint64_t n = number + 1;
             !allowed.absent && n < model_.next(kThread); ++n) {
          const KillOperation o = At(n);
          EXPECT_FALSE(o.kind == Kind::kPut && KeyOf(o) == key &&
                       number == allowed.puts.back())
              << "put " << n << " came after " << number;
        }
      }
    }
  }
}

TEST(KillPlanTest, ManyKeysOfManySizes) {
  KillPlan plan;
  plan.bytes_max = int64_t{1} << 30;
  double bytes = 0;
  uint64_t least = UINT64_MAX, most = 0;
  int64_t puts = 0;
  for (uint64_t n = 0; n < 20'000; ++n) {
    const KillOperation o = KillOperationAt(plan, 0, n);
    EXPECT_LT(o.key, o.scratch ? kKillScratchKeys : KillKeys(plan));
    if (o.kind != Kind::kPut || o.scratch) continue;
    ++puts;
    bytes += static_cast<double>(o.bytes);
    least = std::min(least, o.bytes);
    most = std::max(most, o.bytes);
  }
  EXPECT_GT(puts, 5000);
  EXPECT_LT(least, 110u);
  EXPECT_GT(most, 1'000'000u);
  // All keys at once would not fill it.
  const double full = bytes / static_cast<double>(puts) *
                      static_cast<double>(KillKeys(plan)) * kKillThreads;
  EXPECT_GT(full, 0.6 * static_cast<double>(plan.bytes_max));
  EXPECT_LT(full, 0.7 * static_cast<double>(plan.bytes_max));
  const KillOperation put = KillOperationAt(plan, 0, 0);
  EXPECT_EQ(KillBytes(plan, put), KillBytes(plan, put));
  EXPECT_EQ(KillBytes(plan, put).size(), put.bytes);
}

}  // namespace
}  // namespace larder::tests
