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

}  // namespace
}  // namespace larder::tests
