#include "backup/partial_dump.h"

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/archive_test_support.h"
#include "backup/directory_sink.h"
#include "backup/fake_snapshot.h"
#include "backup/format/chunk.h"
#include "backup/outcome.h"
#include "backup/recorded_dump.h"
#include "backup/verify.h"
#include "cache/l2/simulated_disk.h"
#include "cache/status_macros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using cache::l2::SimulatedDisk;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kArchive[] = "/archive";

class PartialDumpTest : public testing::Test {
 protected:
  PartialDumpTest()
      : cache_(MakeFakeCache(12, 800)), dump_(RecordDump(&cache_, {})) {}

  DirectorySink::Options Options(SimulatedDisk* disk) {
    return {.pack_bytes = 4000, .file_system = disk};
  }

  // Receives from where `dump` is to the end, syncing after every third chunk;
  // counts what is durable. Then publishes.
  absl::Status Receive(PartialDump* dump, uint64_t* durable) {
    for (uint64_t i = dump->check().next_sequence(); i < dump_.chunks.size();
         ++i) {
      LARDER_RETURN_IF_ERROR(dump->Append(*dump_.chunks[i]));
      if (i % 3 != 2) continue;
      LARDER_RETURN_IF_ERROR(dump->Sync());
      *durable = i + 1;
    }
    return dump->Publish(DirectorySink::Always).status();
  }

  absl::Status Run(SimulatedDisk* disk, uint64_t* durable) {
    LARDER_RETURN_IF_ERROR(
        DirectorySink::CreateArchive(kArchive, Options(disk)));
    LARDER_ASSIGN_OR_RETURN(
        const auto dump,
        PartialDump::Begin(kArchive, Options(disk), dump_.header));
    return Receive(dump.get(), durable);
  }

  void ExpectPublished(SimulatedDisk* disk) {
    const auto archive = Archive::Open(kArchive, disk);
    ASSERT_TRUE(archive.ok()) << archive.status();
    EXPECT_THAT(*archive->List(), SizeIs(1));
    const auto report = VerifyArchive(*archive, {});
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_TRUE(report->status.ok()) << report->status;
    EXPECT_EQ(report->leftover_files, 0);
  }

  // What a replica does when it starts again: goes on, or begins anew.
  void Restart(SimulatedDisk* disk, uint64_t durable) {
    ASSERT_TRUE(DirectorySink::CreateArchive(kArchive, Options(disk)).ok());
    uint64_t again = 0;
    auto dump = PartialDump::Reopen(kArchive, Options(disk), dump_.header);
    if (dump.ok()) {
      EXPECT_GE((*dump)->check().next_sequence(), durable);
      const absl::Status rest = Receive(dump->get(), &again);
      EXPECT_TRUE(rest.ok()) << rest;
    } else {
      ASSERT_TRUE(absl::IsNotFound(dump.status())) << dump.status();
      auto archive = Archive::Open(kArchive, disk);
      if (archive->List()->empty()) {
        EXPECT_EQ(durable, 0u);
        const absl::Status anew = Run(disk, &again);
        EXPECT_TRUE(anew.ok()) << anew;
      }
    }
    ExpectPublished(disk);
  }

  FakeCache cache_;
  RecordedDump dump_;
};

TEST_F(PartialDumpTest, BecomesTheSameSnapshotAsADirectorySinkWrites) {
  SimulatedDisk disk;
  uint64_t durable = 0;
  const absl::Status status = Run(&disk, &durable);
  ASSERT_TRUE(status.ok()) << status;
  ExpectPublished(&disk);
  const auto sink = DirectorySink::Create(
      "/other", {.pack_bytes = 4000, .file_system = &disk});
  ASSERT_TRUE(Replay(dump_, sink.get()).ok());
  const auto one = Archive::Open(kArchive, &disk)->Find("");
  const auto other = Archive::Open("/other", &disk)->Find("");
  EXPECT_EQ(one->manifest.SerializeAsString(),
            other->manifest.SerializeAsString());
  EXPECT_THAT(*disk.List("/archive/incoming"), IsEmpty());
}

TEST_F(PartialDumpTest, KilledAtEveryOperation) {
  for (uint64_t at = 0;; ++at) {
    SCOPED_TRACE(absl::StrCat("killed at operation ", at));
    SimulatedDisk disk;
    disk.SetHook([&](const SimulatedDisk::Operation& operation) {
      return operation.index >= at ? absl::InternalError("process is dead")
                                   : absl::OkStatus();
    });
    uint64_t durable = 0;
    const bool all = Run(&disk, &durable).ok();
    disk.SetHook(nullptr);
    disk.KillProcess();
    Restart(&disk, durable);
    if (all || HasFailure()) break;
  }
}

TEST_F(PartialDumpTest, PowerCutAtEveryOperation) {
  for (uint64_t at = 0;; ++at) {
    SCOPED_TRACE(absl::StrCat("cut at operation ", at));
    SimulatedDisk disk;
    disk.SetHook([&](const SimulatedDisk::Operation& operation) {
      return operation.index >= at ? absl::InternalError("no power")
                                   : absl::OkStatus();
    });
    uint64_t durable = 0;
    const bool all = Run(&disk, &durable).ok();
    disk.SetHook(nullptr);
    disk.PowerCut(at);
    Restart(&disk, durable);
    if (all || HasFailure()) break;
  }
}

TEST_F(PartialDumpTest, GoesOnBeforeTheFirstDamagedByte) {
  // Bytes of chunks in the first pack: its chunks lie back to back.
  for (size_t offset = 0; offset < 1500; offset += 7) {
    SCOPED_TRACE(absl::StrCat("byte ", offset));
    SimulatedDisk disk;
    ASSERT_TRUE(DirectorySink::CreateArchive(kArchive, Options(&disk)).ok());
    {
      auto dump = PartialDump::Begin(kArchive, Options(&disk), dump_.header);
      for (const auto& chunk : dump_.chunks) {
        ASSERT_TRUE((*dump)->Append(*chunk).ok());
      }
      ASSERT_TRUE((*dump)->Sync().ok());
    }
    const std::string pack = absl::StrCat(
        PartialDump::Directory(kArchive, dump_.header.snapshot_id()), "/",
        dump_.header.snapshot_id(), "-000000.pack");
    ASSERT_TRUE(disk.FlipBit(pack, offset, 3).ok());
    auto dump = PartialDump::Reopen(kArchive, Options(&disk), dump_.header);
    ASSERT_TRUE(dump.ok()) << dump.status();
    uint64_t sound = 0, end = 40;
    while (offset >= end + dump_.chunks[sound]->bytes.size()) {
      end += dump_.chunks[sound++]->bytes.size();
    }
    EXPECT_EQ((*dump)->check().next_sequence(), offset < 40 ? 0 : sound);
    uint64_t durable = 0;
    const absl::Status rest = Receive(dump->get(), &durable);
    EXPECT_TRUE(rest.ok()) << rest;
    ExpectPublished(&disk);
    if (HasFailure()) break;
  }
}

TEST_F(PartialDumpTest, WaitsForABackupThatHoldsTheArchive) {
  SimulatedDisk disk;
  ASSERT_TRUE(DirectorySink::CreateArchive(kArchive, Options(&disk)).ok());
  auto dump = PartialDump::Begin(kArchive, Options(&disk), dump_.header);
  ASSERT_TRUE(dump.ok()) << dump.status();
  {
    const auto lock = disk.Lock("/archive/lock");
    ASSERT_TRUE(lock.ok());
    uint64_t durable = 0;
    EXPECT_EQ(Receive(dump->get(), &durable).code(),
              absl::StatusCode::kUnavailable);
  }
  EXPECT_TRUE((*dump)->Publish(DirectorySink::Always).ok());
  ExpectPublished(&disk);
}

TEST_F(PartialDumpTest, ABackupLeavesItAlone) {
  SimulatedDisk disk;
  ASSERT_TRUE(DirectorySink::CreateArchive(kArchive, Options(&disk)).ok());
  auto dump = PartialDump::Begin(kArchive, Options(&disk), dump_.header);
  ASSERT_TRUE((*dump)->Append(*dump_.chunks[0]).ok());
  TestBackupOptions other;
  other.random_seed = 77;
  ASSERT_EQ(TestBackup(&cache_, kArchive, &disk, std::move(other)).outcome,
            Outcome::kOk);
  uint64_t durable = 0;
  const absl::Status rest = Receive(dump->get(), &durable);
  EXPECT_TRUE(rest.ok()) << rest;
  EXPECT_THAT(*Archive::Open(kArchive, &disk)->List(), SizeIs(2));
}

TEST_F(PartialDumpTest, RefusesWhatIsNotTheDump) {
  SimulatedDisk disk;
  ASSERT_TRUE(DirectorySink::CreateArchive(kArchive, Options(&disk)).ok());
  auto dump = PartialDump::Begin(kArchive, Options(&disk), dump_.header);
  EXPECT_EQ((*dump)->Append(*dump_.chunks[1]).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE((*dump)->Append(*dump_.chunks[0]).ok());
  EXPECT_EQ((*dump)->Append(*dump_.chunks[0]).code(),
            absl::StatusCode::kInvalidArgument);
  // The trailer, in place of the second chunk: it counts more.
  format::ChunkHeader header = dump_.chunks.back()->header;
  header.sequence = 1;
  format::Compressor compressor(1);
  const format::Chunk trailer = compressor.Build(
      header, dump_.manifest.trailer().SerializeAsString(), false);
  EXPECT_EQ((*dump)->Append(trailer).code(), absl::StatusCode::kDataLoss);
}

RecordedDump RecordSealed(FakeCache* cache) {
  TestBackupOptions options;
  options.keys = TestKeys("a");
  return RecordDump(cache, std::move(options));
}

// Without a key: what it publishes is opened by who has it.
TEST_F(PartialDumpTest, TakesASealedDump) {
  dump_ = RecordSealed(&cache_);
  SimulatedDisk disk;
  uint64_t durable = 0;
  const absl::Status status = Run(&disk, &durable);
  ASSERT_TRUE(status.ok()) << status;
  ExpectPublished(&disk);
  const auto opened =
      VerifyArchive(*Archive::Open(kArchive, &disk, TestKeys("a")), {});
  EXPECT_TRUE(opened->status.ok()) << opened->status;
  EXPECT_EQ(opened->snapshots[0].records, 12);
}

// A chunk that is sealed as its dump is not would be lost to every reader.
TEST_F(PartialDumpTest, RefusesAChunkThatIsNotSealedAsItsDumpIs) {
  RecordedDump sealed = RecordSealed(&cache_);
  ASSERT_EQ(sealed.header.stream_id(), dump_.header.stream_id());
  for (const auto& [first, then] :
       {std::pair(&sealed, &dump_), std::pair(&dump_, &sealed)}) {
    SimulatedDisk disk;
    ASSERT_TRUE(DirectorySink::CreateArchive(kArchive, Options(&disk)).ok());
    auto dump = PartialDump::Begin(kArchive, Options(&disk), first->header);
    ASSERT_TRUE((*dump)->Append(*first->chunks[0]).ok());
    const absl::Status refused = (*dump)->Append(*then->chunks[1]);
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << refused;
    EXPECT_TRUE((*dump)->Append(*first->chunks[1]).ok());
  }
}

}  // namespace
}  // namespace larder::backup
