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

TEST(ParseBackupPlace, TakesArchivesAndReplicas) {
  const auto directory = ParseBackupPlace("dir:/var/backup");
  ASSERT_TRUE(directory.ok()) << directory.status();
  EXPECT_EQ(directory->directory, "/var/backup");
  EXPECT_FALSE(directory->replica.has_value());
  const auto replica = ParseBackupPlace("grpc://host:7070");
  ASSERT_TRUE(replica.ok()) << replica.status();
  EXPECT_EQ(replica->directory, "");
  EXPECT_EQ(replica->replica->Text(), "host:7070");
  for (const char* text : {"", "dir:", "grpc://", "grpc://host", "grpc:host:1",
                           "host:1", "http://host:1"}) {
    EXPECT_EQ(ParseBackupPlace(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

}  // namespace
}  // namespace larder::cli
