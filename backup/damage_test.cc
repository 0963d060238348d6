// Every byte of an archive is damaged in turn, and every file cut at every
// length: an error that names the file, or exactly the damaged blobs lost.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/archive_test_support.h"
#include "backup/fake_snapshot.h"
#include "backup/format/archive_file.h"
#include "backup/format/chunk.h"
#include "backup/format/coding.h"
#include "backup/format/dump.pb.h"
#include "backup/format/dump_seal.h"
#include "backup/format/message.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using cache::l2::SimulatedDisk;
using format::ChunkHeader;
using format::ChunkType;
using ::testing::Contains;
using ::testing::HasSubstr;

// A chunk of the intact archive, and the blobs that it costs when damaged.
struct Placed {
  std::string pack;
  uint64_t begin = 0;
  uint64_t end = 0;
  ChunkHeader header;
  std::set<BlobKey> costs;
};

class DamageTest : public ::testing::Test {
 protected:
  void SetUp() override { MakeArchive(nullptr); }

  void MakeArchive(Archive::Keys keys) {
    cache_ = MakeFakeCache(14, 250);
    TestBackupOptions options;
    options.keys = keys;
    options.source.range_records_max = 3;
    options.source.frame_chunk_bytes = 300;
    options.pack_bytes = 2500;
    const BackupReport report =
        TestBackup(&cache_, "/archive", &disk_, std::move(options));
    ASSERT_EQ(report.outcome, Outcome::kOk) << report.status;
    id_ = report.snapshot_id;
    archive_ = std::make_unique<Archive>(
        *Archive::Open("/archive", &disk_, std::move(keys)));
    entry_ = *archive_->Find(id_);
    for (const auto& [key, blob] : cache_.blobs) all_.insert(key);
    ParsePacks();
  }

  // Where each chunk stands, by a walk of its own over the packs.
  void ParsePacks() {
    std::map<uint64_t, std::vector<BlobKey>> records;
    for (const format::Pack& pack : entry_.manifest.packs()) {
      const std::string path = archive_->PackPath(pack.name());
      const std::string bytes = ReadFile(&disk_, path);
      for (uint64_t at = format::kPackHeadBytes; at < bytes.size();) {
        Placed placed;
        placed.pack = path;
        placed.begin = at;
        placed.header = *format::DecodeChunkHeader(
            absl::string_view(bytes).substr(at, format::kChunkHeaderBytes));
        at += format::kChunkHeaderBytes;
        const std::string payload = *format::DecodePayload(
            placed.header, bytes.substr(at, placed.header.stored_bytes),
            archive_->SealOf(entry_.manifest));
        at += placed.header.stored_bytes;
        placed.end = at;
        if (placed.header.Is(ChunkType::kRecords)) {
          format::Records message;
          ASSERT_TRUE(format::ParseMessage(payload, &message).ok());
          for (const auto& r : message.records()) {
            records[placed.header.sequence].push_back({r.ns(), r.key()});
            placed.costs.insert({r.ns(), r.key()});
          }
        } else if (placed.header.Is(ChunkType::kFrames)) {
          const uint32_t size =
              format::LoadFixed<uint32_t>(payload.data() + payload.size() - 4);
          format::FramesIndex index;
          ASSERT_TRUE(
              format::ParseMessage(
                  payload.substr(payload.size() - 4 - size, size), &index)
                  .ok());
          for (const auto& run : index.runs()) {
            placed.costs.insert(
                records[index.records_sequence()][run.record()]);
          }
        }
        chunks_.push_back(placed);
      }
    }
  }

  RestoreReport RestoreNow(FakeCache* restored) {
    RestoreOptions options;
    options.snapshot_id = id_;
    SimulatedDisk target;
    const RestoreReport report =
        TestRestore(*archive_, "/new", &target, restored, options);
    // The new cache or nothing, and nothing beside.
    EXPECT_EQ(target.List("/")->size(), report.status.ok() ? 1u : 0u);
    return report;
  }

  void ExpectVerifyNames(const std::string& path) {
    const auto verdict = VerifyArchive(*archive_, {});
    ASSERT_TRUE(verdict.ok());
    EXPECT_EQ(verdict->status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(verdict->snapshots[0].problems, Contains(HasSubstr(path)));
  }

  // Everything restored is right, and what is missing is `lost`.
  void ExpectRestored(const FakeCache& restored,
                      const std::set<BlobKey>& lost) {
    std::set<BlobKey> missing = all_;
    for (const auto& [key, blob] : restored.blobs) {
      EXPECT_EQ(restored.Bytes(key), cache_.Bytes(key));
      missing.erase(key);
    }
    EXPECT_EQ(missing, lost);
    EXPECT_EQ(restored.info.tombstones, cache_.info.tombstones);
  }

  // Every `step`-th one.
  void FlipBytesOfEveryPack(uint64_t step) {
    int flips = 0;
    for (const format::Pack& pack : entry_.manifest.packs()) {
      const std::string path = archive_->PackPath(pack.name());
      for (uint64_t at = 0; at < pack.bytes(); at += step, ++flips) {
        SCOPED_TRACE(absl::StrCat(path, " byte ", at));
        const int bit = static_cast<int>(at % 8);
        ASSERT_TRUE(disk_.FlipBit(path, at, bit).ok());
        std::set<BlobKey> costs;
        for (const Placed& chunk : chunks_) {
          if (chunk.pack == path && chunk.begin <= at && at < chunk.end) {
            costs = chunk.costs;
          }
        }
        FakeCache restored;
        const RestoreReport report = RestoreNow(&restored);
        ASSERT_TRUE(report.status.ok()) << report.status;
        EXPECT_EQ(report.outcome,
                  costs.empty() ? Outcome::kOk : Outcome::kPartial);
        EXPECT_THAT(report.warnings, Contains(HasSubstr(path)));
        ExpectRestored(restored, costs);
        std::set<BlobKey> listed;
        for (const Loss& loss : report.lost.listed) {
          EXPECT_EQ(loss.kind, Loss::Kind::kBlob);
          EXPECT_THAT(loss.reason, HasSubstr(path));
          listed.insert({loss.ns, loss.name});
        }
        EXPECT_EQ(listed, costs);
        EXPECT_EQ(report.lost.blobs, static_cast<int64_t>(costs.size()));
        if (at % 5 == 0) ExpectVerifyNames(path);
        ASSERT_TRUE(disk_.FlipBit(path, at, bit).ok());
        if (HasFailure()) return;
      }
    }
    EXPECT_GT(flips, static_cast<int>(4000 / step));
    EXPECT_TRUE(VerifyArchive(*archive_, {})->status.ok());
  }

  SimulatedDisk disk_;
  FakeCache cache_;
  std::string id_;
  std::unique_ptr<Archive> archive_;
  SnapshotEntry entry_;
  std::set<BlobKey> all_;
  std::vector<Placed> chunks_;
};

TEST_F(DamageTest, EveryByteOfEveryPackFlipped) { FlipBytesOfEveryPack(1); }

class SealedDamageTest : public DamageTest {
 protected:
  void SetUp() override { MakeArchive(TestKeys("a")); }
};

TEST_F(SealedDamageTest, BytesOfEveryPackFlipped) { FlipBytesOfEveryPack(3); }

TEST_F(DamageTest, EveryPackCutAtEveryLength) {
  for (const format::Pack& pack : entry_.manifest.packs()) {
    const std::string path = archive_->PackPath(pack.name());
    const std::string bytes = ReadFile(&disk_, path);
    for (uint64_t length = 0; length < bytes.size(); ++length) {
      SCOPED_TRACE(absl::StrCat(path, " cut at ", length));
      auto file = disk_.Open(path, {});
      ASSERT_TRUE((*file)->Resize(length).ok());
      std::set<BlobKey> costs;
      for (const Placed& chunk : chunks_) {
        if (chunk.pack == path && chunk.end > length) {
          costs.insert(chunk.costs.begin(), chunk.costs.end());
        }
      }
      FakeCache restored;
      const RestoreReport report = RestoreNow(&restored);
      ASSERT_TRUE(report.status.ok()) << report.status;
      ExpectRestored(restored, costs);
      EXPECT_EQ(report.lost.blobs, static_cast<int64_t>(costs.size()));
      if (length % 5 == 0) ExpectVerifyNames(path);
      EXPECT_FALSE(archive_->Find(id_)->complete);
      ASSERT_TRUE((*file)->Resize(bytes.size()).ok());
      ASSERT_TRUE((*file)->WriteAt(0, bytes).ok());
      if (HasFailure()) return;
    }
  }
}

TEST_F(DamageTest, EveryPackMissing) {
  for (const format::Pack& pack : entry_.manifest.packs()) {
    const std::string path = archive_->PackPath(pack.name());
    SCOPED_TRACE(path);
    const std::string bytes = ReadFile(&disk_, path);
    ASSERT_TRUE(disk_.Remove(path).ok());
    std::set<BlobKey> costs;
    for (const Placed& chunk : chunks_) {
      if (chunk.pack == path)
        costs.insert(chunk.costs.begin(), chunk.costs.end());
    }
    FakeCache restored;
    const RestoreReport report = RestoreNow(&restored);
    ASSERT_TRUE(report.status.ok()) << report.status;
    ExpectRestored(restored, costs);
    EXPECT_EQ(report.lost.blobs, static_cast<int64_t>(costs.size()));
    WriteFile(&disk_, path, bytes);
  }
}

TEST_F(SealedDamageTest, WithoutItsHeaderAndTrailerTheManifestWillDo) {
  for (const Placed& chunk : chunks_) {
    if (format::IsAlwaysClear(chunk.header.type)) {
      ASSERT_TRUE(disk_.FlipBit(chunk.pack, chunk.end - 1, 0).ok());
    }
  }
  FakeCache restored;
  EXPECT_TRUE(RestoreNow(&restored).digest_equal);
}

TEST_F(DamageTest, EveryByteOfTheManifestFlippedAndCut) {
  const std::string path = archive_->ManifestPath(id_);
  const std::string bytes = ReadFile(&disk_, path);
  const auto expect_refused = [&] {
    FakeCache restored;
    const RestoreReport report = RestoreNow(&restored);
    EXPECT_TRUE(absl::IsDataLoss(report.status) ||
                absl::IsFailedPrecondition(report.status))
        << report.status;
    EXPECT_THAT(std::string(report.status.message()), HasSubstr(path));
    const auto verdict = VerifyArchive(*archive_, {});
    ASSERT_TRUE(verdict.ok());
    EXPECT_FALSE(verdict->status.ok());
    EXPECT_FALSE(archive_->List()->front().complete);
  };
  for (uint64_t at = 0; at < bytes.size(); ++at) {
    SCOPED_TRACE(absl::StrCat("byte ", at));
    const int bit = static_cast<int>(at % 8);
    ASSERT_TRUE(disk_.FlipBit(path, at, bit).ok());
    expect_refused();
    ASSERT_TRUE(disk_.FlipBit(path, at, bit).ok());
  }
  auto file = disk_.Open(path, {});
  for (uint64_t length = bytes.size(); length-- > 0;) {
    SCOPED_TRACE(absl::StrCat("cut at ", length));
    ASSERT_TRUE((*file)->Resize(length).ok());
    expect_refused();
  }
}

TEST_F(DamageTest, WhileAManifestIsUnreadableNoPackIsRemoved) {
  ASSERT_TRUE(disk_.FlipBit(archive_->ManifestPath(id_), 50, 0).ok());
  FakeCache other = MakeFakeCache(3, 10);
  TestBackupOptions options;
  options.random_seed = 99;
  EXPECT_EQ(TestBackup(&other, "/archive", &disk_, std::move(options)).outcome,
            Outcome::kOk);
  ASSERT_TRUE(disk_.FlipBit(archive_->ManifestPath(id_), 50, 0).ok());
  EXPECT_TRUE(archive_->Find(id_)->complete);
  EXPECT_TRUE(VerifyArchive(*archive_, {})->status.ok());
}

// Both copies of the invalidations are gone: what was flushed cannot be told
// from what was not, so nothing may come back.
TEST_F(DamageTest, WithoutItsInvalidationsACacheIsNotRestored) {
  for (const Placed& chunk : chunks_) {
    if (chunk.header.Is(ChunkType::kInvalidations)) {
      ASSERT_TRUE(disk_.FlipBit(chunk.pack, chunk.end - 1, 0).ok());
    }
  }
  FakeCache restored;
  const RestoreReport report = RestoreNow(&restored);
  EXPECT_EQ(report.status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(report.status.message()),
              HasSubstr("unreadable in both copies"));
  EXPECT_EQ(VerifyArchive(*archive_, {})->status.code(),
            absl::StatusCode::kDataLoss);
}

// Chunks that are well-formed and lie. The checksums are right, since whoever
// writes the archive writes them too.
class LyingChunkTest : public DamageTest {
 protected:
  // Replaces the `nth` chunk of `type` by one with the payload that `change`
  // makes of its own, and gives the pack its new size in the manifest.
  template <typename Change>
  void Replace(ChunkType type, Change change) {
    const auto it = std::find_if(
        chunks_.begin(), chunks_.end(),
        [&](const Placed& c) { return c.header.Is(type) && !c.costs.empty(); });
    ASSERT_NE(it, chunks_.end());
    const std::string bytes = ReadFile(&disk_, it->pack);
    std::string payload = *format::DecodePayload(
        it->header,
        bytes.substr(it->begin + format::kChunkHeaderBytes,
                     it->header.stored_bytes),
        format::DumpSeal());
    change(&payload);
    format::Compressor compressor(1);
    const format::Chunk chunk = compressor.Build(it->header, payload, false);
    const std::string changed =
        bytes.substr(0, it->begin) + chunk.bytes + bytes.substr(it->end);
    WriteFile(&disk_, it->pack, changed);
    for (format::Pack& pack : *entry_.manifest.mutable_packs()) {
      if (archive_->PackPath(pack.name()) == it->pack) {
        pack.set_bytes(changed.size());
      }
    }
    WriteFile(&disk_, archive_->ManifestPath(id_),
              format::EncodeManifest(entry_.manifest));
    costs_ = it->costs;
  }
  void ExpectAllElseRestored() {
    FakeCache restored;
    const RestoreReport report = RestoreNow(&restored);
    ASSERT_TRUE(report.status.ok()) << report.status;
    for (const BlobKey& key : all_) {
      if (!costs_.contains(key)) {
        EXPECT_TRUE(restored.blobs.contains(key)) << key.second;
      }
    }
    EXPECT_EQ(report.records_restored + report.lost.blobs,
              static_cast<int64_t>(all_.size()));
    EXPECT_GT(report.lost.blobs, 0);
  }

  std::set<BlobKey> costs_;
};

TEST_F(LyingChunkTest, Garbage) {
  for (const ChunkType type : {ChunkType::kRecords, ChunkType::kFrames}) {
    Replace(type, [](std::string* payload) {
      for (char& c : *payload) c = static_cast<char>(0xff);
    });
  }
  FakeCache restored;
  EXPECT_EQ(RestoreNow(&restored).outcome, Outcome::kPartial);
}

TEST_F(LyingChunkTest, FramesThatAreNotWhatTheRecordSays) {
  Replace(ChunkType::kFrames, [](std::string* payload) { (*payload)[0] ^= 1; });
  ExpectAllElseRestored();
}

TEST_F(LyingChunkTest, FramesIndexBeyondTheRecords) {
  Replace(ChunkType::kFrames, [](std::string* payload) {
    format::FramesIndex index;
    format::FrameRun* run = index.add_runs();
    run->set_record(4'000'000'000);
    run->set_frames(4'000'000'000);
    *payload = format::SerializeMessage(index);
    format::AppendFixed<uint32_t>(static_cast<uint32_t>(payload->size()),
                                  payload);
  });
  FakeCache restored;
  EXPECT_EQ(RestoreNow(&restored).outcome, Outcome::kPartial);
}

TEST_F(LyingChunkTest, IndexLargerThanThePayload) {
  Replace(ChunkType::kFrames, [](std::string* payload) {
    payload->replace(payload->size() - 4, 4, "\xff\xff\xff\x7f");
  });
  ExpectAllElseRestored();
}

TEST_F(LyingChunkTest, RecordsOutOfOrder) {
  Replace(ChunkType::kRecords, [](std::string* payload) {
    format::Records records;
    ASSERT_TRUE(format::ParseMessage(*payload, &records).ok());
    records.mutable_records()->SwapElements(0, 1);
    *payload = format::SerializeMessage(records);
  });
  ExpectAllElseRestored();
}

TEST_F(LyingChunkTest, RecordsWithImpossibleFields) {
  Replace(ChunkType::kRecords, [](std::string* payload) {
    format::Records records;
    ASSERT_TRUE(format::ParseMessage(*payload, &records).ok());
    records.mutable_records(0)->set_raw_bytes(uint64_t{1} << 60);
    records.mutable_records(1)->set_ns(std::string("a\0b", 3));
    records.mutable_records(2)->set_key(std::string(100'000, 'k'));
    *payload = format::SerializeMessage(records);
  });
  ExpectAllElseRestored();
}

TEST_F(LyingChunkTest, RecordsThatClaimMoreThanThereAre) {
  Replace(ChunkType::kRecords, [](std::string* payload) {
    format::Records records;
    ASSERT_TRUE(format::ParseMessage(*payload, &records).ok());
    records.set_first_record(UINT64_MAX - 1);
    *payload = format::SerializeMessage(records);
  });
  ExpectAllElseRestored();
}

TEST_F(LyingChunkTest, AFieldOfANewerVersionRefuses) {
  Replace(ChunkType::kRecords, [](std::string* payload) {
    payload->append("\xf8\x06\x01");  // Field 111, a varint.
  });
  FakeCache restored;
  EXPECT_EQ(RestoreNow(&restored).status.code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(LyingChunkTest, AnIgnorableFieldPasses) {
  Replace(ChunkType::kRecords, [](std::string* payload) {
    payload->append("\xc0\x3e\x01");  // Field 1000, a varint.
  });
  FakeCache restored;
  const RestoreReport report = RestoreNow(&restored);
  EXPECT_EQ(report.outcome, Outcome::kOk) << report.status;
}

}  // namespace
}  // namespace larder::backup
