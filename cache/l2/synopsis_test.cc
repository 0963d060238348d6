#include "cache/l2/synopsis.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cache/l2/btree.h"
#include "cache/l2/memory_pages.h"
#include "cache/l2/record.h"
#include "cache/l2/synopsis_builder.h"
#include "cache/name_hash.h"

namespace larder::cache::l2 {
namespace {

uint64_t HashOf(absl::string_view key) { return NameHash("ns", key); }

// Fails the test when asked.
const char* NobodyAsks(uint64_t chunk) {
  ADD_FAILURE() << "asked for chunk " << chunk;
  return nullptr;
}

TEST(SynopsisTest, NoFalseNegativesAndFewFalsePositives) {
  for (const uint64_t keys : {100, 1024, 50'000}) {
    SynopsisBuilder builder(keys);
    for (uint64_t i = 0; i < keys; ++i) {
      builder.Add(HashOf(absl::StrCat("key", i)));
    }
    const Synopsis s(keys);
    uint64_t asked = 0;
    const auto source = [&](uint64_t chunk) {
      ++asked;
      return builder.Chunk(chunk).data();
    };
    for (uint64_t i = 0; i < keys; ++i) {
      ASSERT_TRUE(s.MayContain(HashOf(absl::StrCat("key", i)), source));
    }
    // Each once, whatever else is asked.
    EXPECT_EQ(asked, s.shape().chunks());
    uint64_t false_positives = 0;
    constexpr uint64_t kProbes = 100'000;
    for (uint64_t i = 0; i < kProbes; ++i) {
      false_positives +=
          s.MayContain(HashOf(absl::StrCat("absent", i)), NobodyAsks);
    }
    EXPECT_LT(false_positives, kProbes / 100) << keys << " keys";
  }
}

TEST(SynopsisTest, ChunksMakeUpTheWhole) {
  const SynopsisShape shape(10'000);
  EXPECT_EQ(shape.chunks(), 9);
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < shape.chunks(); ++i) bytes += shape.ChunkBytes(i);
  EXPECT_EQ(bytes, shape.bytes());
  // Places ascend with the hash, from the first block to the last.
  uint64_t last = 0;
  for (uint64_t i = 0; i <= 1000; ++i) {
    const SynopsisShape::Place p = shape.PlaceOf(~uint64_t{0} / 1000 * i);
    const uint64_t at = p.chunk * SynopsisShape::kChunkBytes + p.offset;
    EXPECT_GE(at, last);
    EXPECT_LE(p.offset + SynopsisShape::kBlockBytes,
              shape.ChunkBytes(p.chunk) - 1);
    last = at;
  }
  EXPECT_EQ(last + SynopsisShape::kBlockBytes + 1, shape.bytes());
}

// Of the namespace that was asked for, from its first key to its last.
TEST(SynopsisTest, ARebuildHasWhatTheRecordsHold) {
  constexpr uint32_t kId = 7;
  std::vector<std::string> keys = {RecordKey(kId - 1, "before"),
                                   RecordKey(kId + 1, "behind")};
  for (int i = 0; i < 3000; ++i) {
    keys.push_back(RecordKey(kId, absl::StrCat("key", i)));
  }
  std::sort(keys.begin(), keys.end());
  std::vector<TreeOp> ops;
  for (const std::string& key : keys) ops.push_back({key, "record"});
  MemoryPages pages;
  const auto root = ApplyBatch(&pages, &pages, {}, 1, ops,
                               [](size_t, std::optional<absl::string_view>) {
                                 return Resolution::kPut;
                               });
  ASSERT_TRUE(root.ok()) << root.status();
  const auto built = BuildSynopsis(Tree(&pages, *root), kId, "ns", 3000);
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(built->shape().keys_max(), 6000);
  const Synopsis s(built->shape().keys_max());
  const auto source = [&](uint64_t chunk) {
    return built->Chunk(chunk).data();
  };
  for (int i = 0; i < 3000; ++i) {
    EXPECT_TRUE(s.MayContain(HashOf(absl::StrCat("key", i)), source)) << i;
  }
  EXPECT_FALSE(s.MayContain(HashOf("before"), source));
  EXPECT_FALSE(s.MayContain(HashOf("behind"), source));
  // A page that cannot be read must not make a synopsis without its keys.
  pages.FailGet(3);
  EXPECT_FALSE(BuildSynopsis(Tree(&pages, *root), kId, "ns", 3000).ok());
}

TEST(SynopsisTest, AddingSaysWhetherItChanged) {
  std::string block(SynopsisShape::kBlockBytes, '\0');
  EXPECT_FALSE(SynopsisBlockHas(block.data(), HashOf("x")));
  EXPECT_TRUE(AddToSynopsisBlock(block.data(), HashOf("x")));
  EXPECT_FALSE(AddToSynopsisBlock(block.data(), HashOf("x")));
  EXPECT_TRUE(SynopsisBlockHas(block.data(), HashOf("x")));
  EXPECT_FALSE(SynopsisBlockHas(block.data(), HashOf("y")));
}

TEST(SynopsisTest, ALostChunkAnswersMaybe) {
  const Synopsis s(1000);
  const auto lost = [](uint64_t) -> const char* { return nullptr; };
  EXPECT_TRUE(s.MayContain(HashOf("anything"), lost));
  for (uint64_t i = 0; i < 1000; ++i) {
    EXPECT_TRUE(s.MayContain(HashOf(absl::StrCat(i)), lost));
  }
}

// As a page does that cannot be read any more, before and after it was found.
TEST(SynopsisTest, AChunkThatReadsAsZerosAnswersMaybe) {
  SynopsisBuilder builder(100);
  std::string chunk(builder.Chunk(0));
  const Synopsis s(100);
  const auto source = [&](uint64_t) { return chunk.data(); };
  EXPECT_FALSE(s.MayContain(HashOf("x"), source));
  chunk.assign(chunk.size(), '\0');
  EXPECT_TRUE(s.MayContain(HashOf("x"), NobodyAsks));
  EXPECT_TRUE(SynopsisBlockHas(s.CopyChunk(0, NobodyAsks).data(), HashOf("x")));
  const Synopsis late(100);
  EXPECT_TRUE(late.MayContain(HashOf("x"), source));
}

TEST(SynopsisTest, ReadersGoWhereACommitMovedAChunk) {
  SynopsisBuilder before(100), after(100);
  after.Add(HashOf("new"));
  Synopsis s(100);
  const auto source = [&](uint64_t chunk) {
    return before.Chunk(chunk).data();
  };
  EXPECT_FALSE(s.MayContain(HashOf("new"), source));
  for (uint64_t i = 0; i < s.shape().chunks(); ++i) {
    s.Show(i, after.Chunk(i).data());
  }
  EXPECT_TRUE(s.MayContain(HashOf("new"), NobodyAsks));
  // A reader that found the old place before the move must not bring it back.
  Synopsis late(100);
  const auto moved_meanwhile = [&](uint64_t chunk) {
    late.Show(chunk, after.Chunk(chunk).data());
    return before.Chunk(chunk).data();
  };
  EXPECT_FALSE(late.MayContain(HashOf("new"), moved_meanwhile));
  EXPECT_TRUE(late.MayContain(HashOf("new"), NobodyAsks));
}

}  // namespace
}  // namespace larder::cache::l2
