#include "cache/l1/frequency_ghost.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace larder::cache::l1 {
namespace {

// Spreads small numbers over all 64 bits, as a hash does.
uint64_t HashOf(uint64_t i) {
  i = (i + 1) * 0x9E3779B97F4A7C15u;
  return (i ^ (i >> 29)) * 0xBF58476D1CE4E5B9u;
}

TEST(FrequencyGhostTest, KnowsNothingBeforeReserve) {
  FrequencyGhost ghost;
  ghost.Note(HashOf(1), 7);
  EXPECT_EQ(ghost.Find(HashOf(1)), 0);
  EXPECT_EQ(ghost.MemoryBytes(), 0u);
}

TEST(FrequencyGhostTest, NewestNoteWins) {
  FrequencyGhost ghost;
  ghost.Reserve(1);
  ghost.Note(HashOf(1), 7);
  ghost.Note(HashOf(1), 9);
  EXPECT_EQ(ghost.Find(HashOf(1)), 9);
  EXPECT_EQ(ghost.Find(HashOf(2)), 0);
}

TEST(FrequencyGhostTest, GrowingForgetsNothing) {
  FrequencyGhost ghost;
  ghost.Reserve(8);
  for (uint64_t i = 0; i < 4; ++i) ghost.Note(HashOf(i), 100);
  int kept = 0;
  for (uint64_t i = 0; i < 4; ++i) kept += ghost.Find(HashOf(i)) == 100;
  ghost.Reserve(5000);
  int kept_after = 0;
  for (uint64_t i = 0; i < 4; ++i) kept_after += ghost.Find(HashOf(i)) == 100;
  EXPECT_GE(kept, 1);
  EXPECT_EQ(kept_after, kept);
}

TEST(FrequencyGhostTest, RemembersMostOfHalfItsSlotsAndInventsNothing) {
  constexpr uint64_t kNotes = 10'000;
  FrequencyGhost ghost;
  ghost.Reserve(kNotes);
  for (uint64_t i = 0; i < kNotes; ++i) ghost.Note(HashOf(i), 3);
  uint64_t found = 0;
  uint64_t invented = 0;
  for (uint64_t i = 0; i < kNotes; ++i) found += ghost.Find(HashOf(i)) == 3;
  for (uint64_t i = kNotes; i < 2 * kNotes; ++i) {
    invented += ghost.Find(HashOf(i)) != 0;
  }
  EXPECT_GT(found, kNotes * 3 / 4);
  EXPECT_LE(invented, 1u);
}

TEST(FrequencyGhostTest, ShrinksToTheSizeItWouldHaveGrownTo) {
  FrequencyGhost grown, shrunk;
  grown.Reserve(100);
  shrunk.Reserve(100'000);
  shrunk.ShrinkToFit(100);
  EXPECT_EQ(shrunk.MemoryBytes(), grown.MemoryBytes());
}

}  // namespace
}  // namespace larder::cache::l1
