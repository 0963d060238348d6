#include "cache/l1/indexed_heap.h"

#include <cstdint>
#include <deque>
#include <map>
#include <random>
#include <utility>

#include "gtest/gtest.h"

namespace larder::cache::l1 {
namespace {

struct Item {
  uint32_t position = kNotInHeap;
};
using Heap = IndexedHeap<Item, int64_t, &Item::position>;

TEST(IndexedHeapTest, RemovingWhatIsInNoHeapDoesNothing) {
  Heap heap;
  Item inside, outside;
  heap.Push(&inside, 1);
  heap.Remove(&outside);
  EXPECT_EQ(heap.size(), 1u);
  heap.Remove(&inside);
  EXPECT_TRUE(heap.empty());
  EXPECT_EQ(inside.position, kNotInHeap);
}

TEST(IndexedHeapTest, TopIsTheLeastAfterAnyMixOfOperations) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Heap heap;
    std::deque<Item> items(200);
    std::map<Item*, int64_t> model;
    for (int step = 0; step < 3000; ++step) {
      Item* const item = &items[random() % items.size()];
      const int64_t rank = random() % 100;  // Few: equal ranks are common.
      const bool inside = model.contains(item);
      if (!inside) {
        heap.Push(item, rank);
        model[item] = rank;
      } else if (random() % 2 == 0) {
        heap.Move(item, rank);
        model[item] = rank;
      } else {
        heap.Remove(item);
        model.erase(item);
      }
      ASSERT_EQ(heap.size(), model.size());
      if (model.empty()) continue;
      int64_t least = INT64_MAX;
      for (const auto& [ignored, other] : model) least = std::min(least, other);
      ASSERT_EQ(heap.TopRank(), least);
      ASSERT_EQ(model.at(heap.Top()), least);
    }
  }
}

}  // namespace
}  // namespace larder::cache::l1
