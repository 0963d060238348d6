#include "backup/internal/hydration_files.h"

#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backup/internal/hydration_state.pb.h"
#include "cache/l2/simulated_disk.h"
#include "gtest/gtest.h"

namespace larder::backup_internal {
namespace {

using backup::format::HydrationState;

absl::StatusOr<HydrationState> WrittenAndRead(const HydrationState& state) {
  cache::l2::SimulatedDisk disk;
  EXPECT_TRUE(disk.CreateDirectories("/l2").ok());
  EXPECT_TRUE(WriteHydrationState(&disk, "/l2", state).ok());
  return ReadHydrationState(&disk, "/l2");
}

TEST(HydrationFilesTest, StateComesBack) {
  HydrationState state;
  state.set_snapshot_id("a-snapshot");
  state.set_records_added(7);
  state.add_passes_since_unix_ms(std::numeric_limits<int64_t>::min());
  const auto read = WrittenAndRead(state);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->snapshot_id(), "a-snapshot");
  EXPECT_EQ(read->records_added(), 7);
}

// Who goes on counted from them, past what an integer holds.
TEST(HydrationFilesTest, RefusesCountsThatNoRestoreComesTo) {
  constexpr int64_t kBad[] = {-1, std::numeric_limits<int64_t>::max()};
  for (const int64_t bad : kBad) {
    HydrationState added;
    added.set_records_added(bad);
    EXPECT_TRUE(absl::IsDataLoss(WrittenAndRead(added).status())) << bad;
    HydrationState lost;
    lost.add_lost()->set_count(bad);
    EXPECT_TRUE(absl::IsDataLoss(WrittenAndRead(lost).status())) << bad;
  }
}

}  // namespace
}  // namespace larder::backup_internal
