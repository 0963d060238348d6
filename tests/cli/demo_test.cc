// The first command of the README, on few files.
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/program.h"

namespace larder::tests {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Demo, EveryCheckHolds) {
  const std::string directory = FreshDirectory();
  for (unsigned i = 0; i < 400; ++i) {
    WriteFile(absl::StrCat(directory, "/tree/", i),
              RandomBytes(500 + 97 * i, i + 1));
  }
  const ProgramEnd end = Larder({"demo", "--from", directory + "/tree"});
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_THAT(end.out, HasSubstr("All is well"));
  EXPECT_THAT(end.out, HasSubstr("crash     ✓"));
  EXPECT_THAT(end.out, Not(HasSubstr("✗")));
}

}  // namespace
}  // namespace larder::tests
