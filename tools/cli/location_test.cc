#include "tools/cli/location.h"

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace larder::cli {
namespace {

TEST(ParseDirectoryLocation, TakesDirOnly) {
  EXPECT_EQ(*ParseDirectoryLocation("dir:/var/backup"), "/var/backup");
  EXPECT_EQ(*ParseDirectoryLocation("dir:relative"), "relative");
  for (const char* text : {"", "dir:", "/var/backup", "s3:bucket", "Dir:x"}) {
    EXPECT_EQ(ParseDirectoryLocation(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

}  // namespace
}  // namespace larder::cli
