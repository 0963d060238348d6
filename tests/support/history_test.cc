#include "tests/support/history.h"

#include <gtest/gtest.h>

namespace larder::tests {
namespace {

using Kind = LoggedMutation::Kind;

LoggedMutation At(Kind kind, const char* name, uint64_t hlc, uint64_t epoch,
                  uint64_t content = 0) {
  LoggedMutation m;
  m.kind = kind;
  m.ns = "ns";
  m.name = name;
  m.at = {cache::Hlc{hlc}, epoch};
  m.content = content;
  return m;
}

TEST(HistoryTest, AppliesInTheOrderOfHlcUpToAnEpoch) {
  const std::vector<LoggedMutation> log = {
      At(Kind::kPut, "dir/b", 30, 2, 3), At(Kind::kPut, "a", 10, 1, 1),
      At(Kind::kPrefix, "dir/", 20, 2), At(Kind::kPut, "dir/a", 5, 1, 2),
      At(Kind::kDelete, "a", 40, 3)};
  EXPECT_EQ(ContentsAt(1, log).size(), 2);
  const Contents two = ContentsAt(2, log);
  ASSERT_EQ(two.size(), 2);
  EXPECT_TRUE(two.contains({"ns", "a"}));
  EXPECT_EQ(two.at({"ns", "dir/b"}).content, 3);
  EXPECT_EQ(ContentsAt(3, log).size(), 1);
  EXPECT_EQ(ContentsAt(2, log, {{{"other", "x"}, {}}}).size(), 3);
}

TEST(HistoryTest, TagsDependenciesAndFlushesCoverWhatIsOlder) {
  LoggedMutation tagged = At(Kind::kPut, "t", 1, 1);
  tagged.options.tags = {"x"};
  LoggedMutation dependent = At(Kind::kPut, "d", 2, 1);
  dependent.options.dependencies = {"x"};
  EXPECT_TRUE(ContentsAt(1, {tagged, dependent, At(Kind::kTag, "x", 3, 1)})
                  .contains({"ns", "d"}));
  EXPECT_TRUE(
      ContentsAt(1, {tagged, dependent, At(Kind::kDependency, "x", 3, 1)})
          .contains({"ns", "t"}));
  EXPECT_TRUE(
      ContentsAt(1, {tagged, dependent, At(Kind::kFlush, "", 3, 1)}).empty());
}

TEST(HistoryTest, InvalidationsReachWhatIsAsOldAndNothingNewer) {
  Expected blob;
  blob.hlc = cache::Hlc{20};
  blob.options.tags = {"x"};
  Invalidations none;
  none.Add(At(Kind::kDelete, "dir/a", 30, 1));
  none.Add(At(Kind::kPut, "dir/a", 30, 1));
  none.Add(At(Kind::kTag, "y", 30, 1));
  none.Add(At(Kind::kTag, "x", 19, 1));
  none.Add(At(Kind::kDependency, "x", 30, 1));
  EXPECT_FALSE(none.Cover("ns", "dir/a", blob));
  EXPECT_EQ(none.List().size(), 3);
  for (const LoggedMutation& m :
       {At(Kind::kTag, "x", 20, 1), At(Kind::kPrefix, "dir/", 20, 1),
        At(Kind::kFlush, "", 20, 1)}) {
    Invalidations some = none;
    some.Add(m);
    EXPECT_TRUE(some.Cover("ns", "dir/a", blob));
    EXPECT_FALSE(some.Cover("other", "dir/a", blob));
    // An older one takes nothing back.
    Invalidations merged;
    merged.Add(At(m.kind, m.name.c_str(), 1, 1));
    merged.Merge(some);
    merged.Merge(none);
    EXPECT_TRUE(merged.Cover("ns", "dir/a", blob));
  }
}

}  // namespace
}  // namespace larder::tests
