#include "backup/key_file.h"

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "backup/private_file_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(KeyFileTest, OnlyItsOwnerMayReadIt) {
  const std::string key(64, 'c');
  const std::string path = WriteFileWithMode("keys", key + "\n", 0600);
  const auto ring = ReadKeyFile(path);
  ASSERT_TRUE(ring.ok()) << ring.status();
  EXPECT_EQ((*ring)->name(), path);
  EXPECT_EQ((*ring)->first().key.bytes(), std::string(32, '\xcc'));
  for (const mode_t mode : {0640, 0604, 0620, 0602}) {
    const absl::Status open =
        ReadKeyFile(WriteFileWithMode("open", key, mode)).status();
    EXPECT_EQ(open.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(open.message()), HasSubstr("chmod 600"));
    EXPECT_THAT(std::string(open.message()), Not(HasSubstr("cccc")));
  }
  EXPECT_EQ(ReadKeyFile("/absent").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace larder::backup
