#include "cache/l2/synopsis.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cache/name_hash.h"

namespace larder::cache::l2 {
namespace {

uint64_t HashOf(absl::string_view key) { return NameHash("ns", key); }

TEST(SynopsisTest, NoFalseNegativesAndFewFalsePositives) {
  for (const uint64_t keys : {100, 1024, 50'000}) {
    Synopsis s(keys);
    for (uint64_t i = 0; i < keys; ++i) {
      s.Add(HashOf(absl::StrCat("key", i)));
    }
    uint64_t false_positives = 0;
    for (uint64_t i = 0; i < keys; ++i) {
      ASSERT_TRUE(s.MayContain(HashOf(absl::StrCat("key", i))));
    }
    constexpr uint64_t kProbes = 100'000;
    for (uint64_t i = 0; i < kProbes; ++i) {
      false_positives += s.MayContain(HashOf(absl::StrCat("absent", i)));
    }
    EXPECT_LT(false_positives, kProbes / 100) << keys << " keys";
  }
}

TEST(SynopsisTest, ChunksCarryItAcross) {
  Synopsis a(10'000), b(10'000);
  for (int i = 0; i < 10'000; ++i) {
    a.Add(HashOf(absl::StrCat(i)));
  }
  const std::vector<uint64_t> dirty = a.TakeDirtyChunks();
  EXPECT_EQ(dirty.size(), a.chunks());
  EXPECT_TRUE(a.TakeDirtyChunks().empty());
  for (uint64_t i = 0; i < a.chunks(); ++i) {
    ASSERT_TRUE(b.LoadChunk(i, a.Chunk(i)));
  }
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(b.MayContain(HashOf(absl::StrCat(i))));
  }
  EXPECT_FALSE(b.LoadChunk(0, "short"));
  EXPECT_FALSE(b.LoadChunk(a.chunks(), a.Chunk(0)));
  // One key dirties one chunk.
  Synopsis c(10'000);
  c.Add(HashOf("x"));
  EXPECT_EQ(c.TakeDirtyChunks().size(), 1);
}

TEST(SynopsisTest, ALostChunkAnswersMaybe) {
  Synopsis s(1000);
  for (uint64_t i = 0; i < s.chunks(); ++i) s.FillChunk(i);
  EXPECT_TRUE(s.MayContain(HashOf("anything")));
}

}  // namespace
}  // namespace larder::cache::l2
