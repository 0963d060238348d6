#include "tools/cli/exit_codes.h"

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace larder::cli {
namespace {

TEST(ExitCodes, FollowTheStatus) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(absl::InternalError("x")), 1);
  EXPECT_EQ(ExitCodeOf(absl::InvalidArgumentError("x")), 2);
  EXPECT_EQ(ExitCodeOf(absl::NotFoundError("x")), 10);
  EXPECT_EQ(ExitCodeOf(absl::UnavailableError("x")), 11);
  EXPECT_EQ(ExitCodeOf(absl::DataLossError("x")), 12);
  EXPECT_EQ(ExitCodeOf(absl::PermissionDeniedError("x")), 13);
  EXPECT_EQ(ExitCodeOf(absl::CancelledError("x")), 130);
}

}  // namespace
}  // namespace larder::cli
