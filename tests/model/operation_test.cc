#include "tests/model/operation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/model/plan.h"
#include "tests/support/seeded.h"

namespace larder::tests {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(OperationTest, EveryPlannedOneReadsBackAsItWas) {
  std::set<Operation::Kind> kinds;
  for (const Operation& o : PlanOperations(SeedOr(1), 20'000)) {
    kinds.insert(o.kind);
    const auto parsed = ParseOperation(FormatOperation(o));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, o) << FormatOperation(o);
  }
  EXPECT_EQ(kinds.size(), static_cast<size_t>(Operation::Kind::kRestore) + 1);
}

TEST(OperationTest, PlansFollowFromTheSeed) {
  EXPECT_EQ(PlanOperations(7, 500), PlanOperations(7, 500));
  EXPECT_NE(PlanOperations(7, 500), PlanOperations(8, 500));
}

TEST(OperationTest, TextLeavesOutWhatIsZero) {
  Operation o;
  o.kind = Operation::Kind::kPut;
  EXPECT_EQ(FormatOperation(o), "put");
  EXPECT_THAT(FieldsInUse(o), IsEmpty());
  o.name = 7;
  o.content = UINT64_MAX;
  EXPECT_EQ(FormatOperation(o), "put name=7 content=18446744073709551615");
  EXPECT_THAT(FieldsInUse(o),
              ElementsAre(&Operation::name, &Operation::content));
}

TEST(OperationTest, RefusesWhatItDoesNotKnow) {
  for (const char* line :
       {"", "fly", "put name", "put name=", "put name=x", "put name=-1",
        "put wings=2", "put name=18446744073709551616"}) {
    EXPECT_FALSE(ParseOperation(line).ok()) << line;
  }
}

}  // namespace
}  // namespace larder::tests
