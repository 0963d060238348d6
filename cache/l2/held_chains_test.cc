#include "cache/l2/held_chains.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace larder::cache::l2 {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TEST(HeldChainsTest, HoldsUntilTheLastHoldEnds) {
  const auto held = std::make_shared<HeldChains>(nullptr);
  EXPECT_THAT(held->Held(), IsEmpty());
  {
    const ChainHold first(held, 0);
    std::optional<ChainHold> second(std::in_place, held, 7);
    const ChainHold third(held, 7);
    EXPECT_THAT(held->Held(), UnorderedElementsAre(0, 7));
    second.reset();
    EXPECT_THAT(held->Held(), UnorderedElementsAre(0, 7));
  }
  EXPECT_THAT(held->Held(), IsEmpty());
}

TEST(HeldChainsTest, HoldsMoreThanAThreadHasSlots) {
  const auto held = std::make_shared<HeldChains>(nullptr);
  std::vector<std::unique_ptr<ChainHold>> holds;
  constexpr uint64_t kChains = 1000;
  for (uint64_t i = 0; i < 2 * kChains; ++i) {
    holds.push_back(std::make_unique<ChainHold>(held, i % kChains));
  }
  EXPECT_EQ(held->Held().size(), kChains);
  // The second of each pair still holds it.
  for (uint64_t i = 0; i < kChains; ++i) holds[i].reset();
  EXPECT_EQ(held->Held().size(), kChains);
  holds.clear();
  EXPECT_THAT(held->Held(), IsEmpty());
  holds.push_back(std::make_unique<ChainHold>(held, 5));
  EXPECT_THAT(held->Held(), UnorderedElementsAre(5));
}

TEST(HeldChainsTest, MayEndOnAnotherThread) {
  const auto held = std::make_shared<HeldChains>(nullptr);
  auto hold = std::make_unique<ChainHold>(held, 3);
  std::thread([&] { hold.reset(); }).join();
  EXPECT_THAT(held->Held(), IsEmpty());
}

TEST(HeldChainsTest, WhoLooksSeesWhatIsHeldMeanwhile) {
  const auto held = std::make_shared<HeldChains>(nullptr);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      while (!stop.load()) {
        std::vector<std::unique_ptr<ChainHold>> holds;
        for (uint64_t i = 0; i < 20; ++i) {
          holds.push_back(std::make_unique<ChainHold>(held, 100 * t + i));
        }
      }
    });
  }
  const ChainHold mine(held, 9999);
  for (int i = 0; i < 200; ++i) {
    const auto seen = held->Held();
    EXPECT_TRUE(seen.contains(9999));
    for (const uint64_t unit : seen) {
      EXPECT_TRUE(unit == 9999 || (unit < 400 && unit % 100 < 20)) << unit;
    }
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(held->Held(), UnorderedElementsAre(9999));
}

}  // namespace
}  // namespace larder::cache::l2
