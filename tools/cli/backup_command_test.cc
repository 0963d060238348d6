#include "tools/cli/backup_command.h"

#include <string>

#include "absl/status/status.h"
#include "backup/orchestrator.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

backup::BackupReport Failed(const absl::Status& status, bool may_hold) {
  backup::BackupReport report;
  report.status = status;
  report.snapshot_id = "20261127T000000Z-00000001";
  report.sinks.resize(2);
  report.sinks[0].name = "dir:a";
  report.sinks[0].status = status;
  report.sinks[1].name = "grpc://b:1";
  report.sinks[1].status = status;
  report.sinks[1].may_hold = may_hold;
  return report;
}

// What a sink was told to finish cannot be taken back.
TEST(BackupCommandTest, AnInterruptNamesWhoMayHaveTheSnapshot) {
  const absl::Status cancelled = absl::CancelledError("cancelled");
  EXPECT_EQ(WhyFailed(Failed(cancelled, false)),
            absl::CancelledError("interrupted; nothing was listed anywhere"));
  const absl::Status may_hold = WhyFailed(Failed(cancelled, true));
  EXPECT_EQ(may_hold.code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(
      std::string(may_hold.message()),
      AllOf(HasSubstr("grpc://b:1 was told to finish, and may have snapshot "
                      "20261127T000000Z-00000001"),
            Not(HasSubstr("dir:a")), Not(HasSubstr("nothing"))));
}

TEST(BackupCommandTest, SoDoesAnyOtherFailure) {
  const absl::Status cut = absl::UnavailableError("the connection was cut");
  EXPECT_EQ(WhyFailed(Failed(cut, false)), cut);
  EXPECT_THAT(std::string(WhyFailed(Failed(cut, true)).message()),
              AllOf(HasSubstr("the connection was cut"),
                    HasSubstr("grpc://b:1 was told to finish")));
}

}  // namespace
}  // namespace larder::cli
