#include "replication/replica_id.h"

#include <string>

#include "absl/status/status.h"
#include "backup/small_file.h"
#include "cache/l2/simulated_disk.h"
#include "gtest/gtest.h"

namespace larder::replication {
namespace {

using cache::l2::SimulatedDisk;

TEST(ReplicaIdTest, IsMadeOnceForEachReplica) {
  SimulatedDisk disk;
  for (const char* directory : {"/a", "/b"}) {
    ASSERT_TRUE(disk.CreateDirectories(directory).ok());
  }
  ASSERT_TRUE(disk.SyncDirectory("/").ok());
  const auto first = OpenReplicaId(&disk, "/a");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->size(), kReplicaIdBytes);
  disk.PowerCut(3);
  EXPECT_EQ(OpenReplicaId(&disk, "/a").value(), *first);
  EXPECT_NE(OpenReplicaId(&disk, "/b").value(), *first);
}

TEST(ReplicaIdTest, ADamagedOneIsRefused) {
  SimulatedDisk disk;
  ASSERT_TRUE(disk.CreateDirectories("/a").ok());
  ASSERT_TRUE(OpenReplicaId(&disk, "/a").ok());
  ASSERT_TRUE(disk.FlipBit("/a/id", 3, 1).ok());
  EXPECT_TRUE(absl::IsDataLoss(OpenReplicaId(&disk, "/a").status()));
  ASSERT_TRUE(backup::WriteSmallFile(&disk, "/a", "id", "short").ok());
  EXPECT_TRUE(absl::IsDataLoss(OpenReplicaId(&disk, "/a").status()));
}

}  // namespace
}  // namespace larder::replication
