#include "cache/epoch_lock.h"

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cache/clock.h"
#include "gtest/gtest.h"

namespace larder::cache {
namespace {

constexpr int64_t kLongMs = 60'000;
constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();

class EpochLockTest : public testing::Test {
 protected:
  EpochLock::PinOptions Options(int64_t age_ms_max,
                                int64_t deferred_bytes_max) {
    return {"test", age_ms_max, deferred_bytes_max};
  }

  ManualClock clock_{1'000'000};
  EpochLock lock_{7, &clock_};
};

TEST_F(EpochLockTest, AdvanceReturnsTheClosedEpoch) {
  EXPECT_EQ(lock_.Enter().epoch(), 7u);
  EXPECT_EQ(lock_.Advance(kLongMs).value(), 7u);
  EXPECT_EQ(lock_.current_epoch(), 8u);
  EXPECT_EQ(lock_.Advance(0).value(), 8u);
}

TEST_F(EpochLockTest, MemberOfOldEpochDelaysAdvanceAndNobodyElse) {
  EpochLock::Guard old_member = lock_.Enter();
  EXPECT_EQ(lock_.Advance(1).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EpochLock::Guard new_member = lock_.Enter();
  EXPECT_EQ(new_member.epoch(), 8u);

  // The next call goes on waiting for epoch 7 and closes nothing further.
  EXPECT_EQ(lock_.Advance(0).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(lock_.current_epoch(), 8u);
  old_member.Leave();
  EXPECT_EQ(lock_.Advance(0).value(), 7u);

  // A member of epoch 8 delayed none of this; it delays the closing of 8.
  EXPECT_EQ(lock_.Advance(0).status().message(),
            "epoch lock: epoch 8 still has members after 0 ms");
  new_member.Leave();
  EXPECT_EQ(lock_.Advance(0).value(), 8u);
}

TEST_F(EpochLockTest, LeavingWakesABlockedAdvance) {
  for (int round = 0; round < 200; ++round) {
    EpochLock::Guard member = lock_.Enter();
    std::thread advancer(
        [&] { EXPECT_EQ(lock_.Advance(kLongMs).value(), member.epoch()); });
    while (lock_.current_epoch() == member.epoch()) std::this_thread::yield();
    member.Leave();
    advancer.join();
  }
}

TEST_F(EpochLockTest, AdvancesTakeTurns) {
  EpochLock::Guard member = lock_.Enter();
  std::thread first([&] { EXPECT_TRUE(lock_.Advance(kLongMs).ok()); });
  while (lock_.current_epoch() == 7) std::this_thread::yield();
  EXPECT_EQ(lock_.Advance(1).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(lock_.current_epoch(), 8u);
  member.Leave();
  first.join();
  EXPECT_EQ(lock_.Advance(0).value(), 8u);
}

TEST_F(EpochLockTest, GuardsMoveAndLeaveOnce) {
  EpochLock::Guard a = lock_.Enter();
  EpochLock::Guard b = std::move(a);
  EpochLock::Guard c = lock_.Enter();
  c = std::move(b);
  a.Leave();
  b.Leave();
  EXPECT_FALSE(lock_.Advance(0).ok());
  c.Leave();
  c.Leave();
  EXPECT_TRUE(lock_.Advance(0).ok());
}

TEST_F(EpochLockTest, GuardMayLeaveOnAnotherThread) {
  EpochLock::Guard member = lock_.Enter();
  std::thread([guard = std::move(member)]() mutable { guard.Leave(); }).join();
  EXPECT_TRUE(lock_.Advance(0).ok());
}

// Members write to their epoch's plain slot, which only Advance() orders with
// the reader below: a member that is still inside shows up as a wrong count
// and, under ThreadSanitizer, as a race.
TEST_F(EpochLockTest, NobodyIsInsideAClosedEpoch) {
  constexpr int kThreads = 4;
  constexpr int kAdvances = 3'000;
  struct alignas(64) Member {
    // By epoch: entries begun and ended. Plain on purpose.
    std::vector<uint32_t> begun = std::vector<uint32_t>(kAdvances + 16);
    std::vector<uint32_t> ended = std::vector<uint32_t>(kAdvances + 16);
    uint64_t sequence = 0;
  };
  std::vector<Member> members(kThreads);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (Member& member : members) {
    threads.emplace_back([&] {
      uint64_t last_epoch = 0;
      while (!stop.load(std::memory_order_relaxed)) {
        const EpochLock::Guard guard = lock_.Enter();
        ASSERT_GE(guard.epoch(), last_epoch);
        last_epoch = guard.epoch();
        ++member.begun[guard.epoch()];
        ++member.sequence;
        ++member.ended[guard.epoch()];
      }
    });
  }
  uint64_t total = 0;
  for (int i = 0; i < kAdvances; ++i) {
    const uint64_t closed = lock_.Advance(kLongMs).value();
    ASSERT_EQ(closed, 7u + i);
    for (const Member& member : members) {
      ASSERT_EQ(member.begun[closed], member.ended[closed]);
      total += member.ended[closed];
    }
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  // Nothing was added to a closed epoch after Advance() had returned.
  uint64_t sequences = 0;
  uint64_t later = 0;
  for (const Member& member : members) {
    sequences += member.sequence;
    later += member.ended[7 + kAdvances];
  }
  EXPECT_EQ(total + later, sequences);
}

TEST_F(EpochLockTest, OldestPinCounts) {
  EXPECT_EQ(lock_.OldestPinnedEpoch(), kNone);
  auto younger = lock_.PinEpoch(9, Options(kLongMs, 0));
  auto older = lock_.PinEpoch(5, Options(kLongMs, 0));
  EXPECT_EQ(lock_.OldestPinnedEpoch(), 5u);
  older.reset();
  EXPECT_EQ(lock_.OldestPinnedEpoch(), 9u);
  younger.reset();
  EXPECT_EQ(lock_.OldestPinnedEpoch(), kNone);
}

TEST_F(EpochLockTest, PinIsAbortedPastItsAge) {
  auto pin = lock_.PinEpoch(5, Options(100, 0));
  clock_.AdvanceMillis(100);
  EXPECT_EQ(lock_.AbortPinsOverLimit(0), 0);
  ASSERT_EQ(lock_.Pins().size(), 1u);
  EXPECT_EQ(lock_.Pins()[0].owner, "test");
  EXPECT_EQ(lock_.Pins()[0].age_ms, 100);
  EXPECT_TRUE(pin->status().ok());

  clock_.AdvanceMillis(1);
  EXPECT_EQ(lock_.AbortPinsOverLimit(0), 1);
  EXPECT_EQ(lock_.AbortPinsOverLimit(0), 0);
  EXPECT_EQ(pin->status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(pin->status().message(),
            "pin of epoch 5 by test: age_ms 101 exceeds 100");
  EXPECT_EQ(lock_.OldestPinnedEpoch(), kNone);
  EXPECT_TRUE(lock_.Pins().empty());
}

TEST_F(EpochLockTest, BudgetAbortsPinsOfTheOldestEpochOnly) {
  auto small = lock_.PinEpoch(5, Options(kLongMs, 1000));
  auto large = lock_.PinEpoch(5, Options(kLongMs, 5000));
  auto younger = lock_.PinEpoch(6, Options(kLongMs, 10));
  EXPECT_EQ(lock_.AbortPinsOverLimit(1000), 0);
  EXPECT_EQ(lock_.AbortPinsOverLimit(1001), 1);
  EXPECT_EQ(small->status().message(),
            "pin of epoch 5 by test: deferred_bytes 1001 exceeds 1000");
  EXPECT_TRUE(large->status().ok());
  EXPECT_TRUE(younger->status().ok());
  large.reset();
  EXPECT_EQ(lock_.AbortPinsOverLimit(11), 1);
  EXPECT_FALSE(younger->status().ok());
}

TEST_F(EpochLockTest, APinSaysHowMuchOfItsBudgetIsUsed) {
  auto pin = lock_.PinEpoch(5, Options(kLongMs, 1000));
  auto younger = lock_.PinEpoch(6, Options(kLongMs, 1000));
  auto boundless = lock_.PinEpoch(5, Options(kLongMs, 0));
  EXPECT_EQ(pin->used(), 0);
  EXPECT_EQ(lock_.AbortPinsOverLimit(250), 0);
  EXPECT_EQ(pin->used(), 0.25);
  EXPECT_EQ(lock_.AbortPinsOverLimit(251), 0);
  EXPECT_EQ(pin->used(), 0.251);
  EXPECT_EQ(younger->used(), 0);
  EXPECT_EQ(boundless->used(), 0);
  EXPECT_EQ(lock_.AbortPinsOverLimit(0), 0);
  EXPECT_EQ(pin->used(), 0.251);
  EXPECT_TRUE(pin->status().ok());
}

TEST_F(EpochLockTest, APinSaysHowMuchOfTheRoomIsUsed) {
  EpochLock::PinOptions options = Options(kLongMs, 1'000'000);
  options.room_bytes = 1000;
  auto pin = lock_.PinEpoch(5, options);
  EXPECT_EQ(lock_.AbortPinsOverLimit(251), 0);
  EXPECT_EQ(pin->used(), 0.251);
}

TEST_F(EpochLockTest, APinSaysHowMuchOfItsAgeIsUsed) {
  auto pin = lock_.PinEpoch(5, Options(1000, 0));
  clock_.AdvanceMillis(250);
  EXPECT_EQ(pin->used(), 0.25);
  clock_.AdvanceMillis(750);
  EXPECT_EQ(pin->used(), 1);
}

TEST_F(EpochLockTest, ZeroBudgetIsNoBudget) {
  auto pin = lock_.PinEpoch(5, Options(kLongMs, 0));
  EXPECT_EQ(lock_.AbortPinsOverLimit(std::numeric_limits<int64_t>::max()), 0);
}

TEST(EpochLockDeathTest, DiesWhenAMemberOutlivesIt) {
  ManualClock clock(0);
  auto lock = std::make_unique<EpochLock>(1, &clock);
  EpochLock::Guard guard = lock->Enter();
  EXPECT_DEATH(lock.reset(), "CHECK failed");
}

}  // namespace
}  // namespace larder::cache
