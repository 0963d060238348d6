#include "tools/cli/suggest.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace larder::cli {
namespace {

TEST(Nearest, FindsTypos) {
  const std::vector<std::string> words = {"--namespace", "--tag", "--ttl",
                                          "import", "export"};
  EXPECT_EQ(Nearest("--namespcae", words), "--namespace");
  EXPECT_EQ(Nearest("--name-space", words), "--namespace");
  EXPECT_EQ(Nearest("--tll", words), "--ttl");
  EXPECT_EQ(Nearest("imprt", words), "import");
  EXPECT_EQ(Nearest("eximport", words), "import");
}

TEST(Nearest, LeavesTheRest) {
  const std::vector<std::string> words = {"ls", "import", ""};
  EXPECT_EQ(Nearest("banana", words), "");
  EXPECT_EQ(Nearest("--x", {}), "");
}

}  // namespace
}  // namespace larder::cli
