#include "tools/cli/system_error.h"

#include <cerrno>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/cli/exit_codes.h"

namespace larder::cli {
namespace {

TEST(SystemErrorTest, NoneIsTakenForAPrimaryThatWasReplaced) {
  for (int error = 1; error < 200; ++error) {
    EXPECT_NE(ExitCodeOf(SystemError(error, "/file")), kExitFenced) << error;
  }
  for (const int error : {EACCES, EPERM, EROFS}) {
    EXPECT_EQ(SystemError(error, "/file").code(),
              absl::StatusCode::kFailedPrecondition);
  }
}

TEST(SystemErrorTest, SaysWhatAndWhy) {
  const absl::Status status = SystemError(EACCES, "/file");
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(testing::HasSubstr("/file"),
                             testing::HasSubstr("Permission denied")));
  EXPECT_EQ(SystemError(ENOENT, "/file").code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace larder::cli
