#include "tools/demo/model.h"

#include <cstdint>
#include <string>
#include <utility>

#include "cache/blob_cache.h"
#include "cache/hlc.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::demo {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

// At `millis`, in `epoch`.
cache::Mutation At(int64_t millis, uint64_t epoch) {
  return {.hlc = cache::Hlc::FromUnixMillis(millis), .epoch = epoch};
}

std::pair<std::string, std::string> Name(const std::string& key) {
  return {"n", key};
}

TEST(Model, ShowsWhatWasCommittedByTheEpoch) {
  Model model;
  model.OnPut("n", "a", {.file = 1}, At(10, 1));
  model.OnPut("n", "a", {.file = 2}, At(20, 2));
  model.OnDelete("n", "a", At(30, 3));
  EXPECT_THAT(model.ContentsAt(0, 0), IsEmpty());
  EXPECT_THAT(model.ContentsAt(1, 0), ElementsAre(Pair(Name("a"), 1)));
  EXPECT_THAT(model.ContentsAt(2, 0), ElementsAre(Pair(Name("a"), 2)));
  EXPECT_THAT(model.ContentsAt(3, 0), IsEmpty());
}

TEST(Model, TheNewerHlcWinsInWhateverOrderItIsTold) {
  Model model;
  model.OnPut("n", "a", {.file = 2}, At(20, 1));
  model.OnPut("n", "a", {.file = 1}, At(10, 1));
  EXPECT_THAT(model.ContentsAt(1, 0), ElementsAre(Pair(Name("a"), 2)));
}

TEST(Model, Expires) {
  Model model;
  model.OnPut("n", "a", {.file = 1, .ttl_ms = 5}, At(10, 1));
  model.OnPut("n", "b", {.file = 2, .ttl_ms = 500}, At(10, 1));
  EXPECT_EQ(model.ContentsAt(1, 14).size(), 2u);
  EXPECT_THAT(model.ContentsAt(1, 15), ElementsAre(Pair(Name("b"), 2)));
  EXPECT_EQ(model.LastExpiryBefore(100), 15);
}

TEST(Model, InvalidatesWhatIsOlder) {
  Model model;
  model.OnPut("n", "a", {.file = 1, .tag = "t"}, At(10, 1));
  model.OnPut("n", "b", {.file = 2, .tag = "u"}, At(10, 1));
  model.OnPut("m", "a", {.file = 3, .tag = "t"}, At(10, 1));
  model.OnInvalidateTag("n", "t", At(20, 2));
  model.OnPut("n", "a", {.file = 4, .tag = "t"}, At(30, 4));
  model.OnFlush("m", At(20, 3));
  EXPECT_EQ(model.ContentsAt(1, 0).size(), 3u);
  EXPECT_EQ(model.ContentsAt(2, 0).size(), 2u);
  EXPECT_THAT(model.ContentsAt(3, 0), ElementsAre(Pair(Name("b"), 2)));
  EXPECT_THAT(model.ContentsAt(4, 0),
              ElementsAre(Pair(Name("a"), 4), Pair(Name("b"), 2)));
}

}  // namespace
}  // namespace larder::demo
