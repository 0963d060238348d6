// Sealed archives: who has the key reads what was written, or learns that it is
// not; who has none lists and checks, and reads nothing.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "backup/archive.h"
#include "backup/archive_test_support.h"
#include "backup/crypto/key_ring.h"
#include "backup/fake_snapshot.h"
#include "backup/format/archive_file.h"
#include "backup/format/checksum.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/format/message.h"
#include "backup/restore.h"
#include "backup/verification.h"
#include "backup/verify.h"
#include "cache/l2/simulated_disk.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using cache::l2::SimulatedDisk;
using format::ChunkHeader;
using format::ChunkType;
using format::kChunkHeaderBytes;
using format::Manifest;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// A chunk where it stands.
struct Placed {
  uint64_t at = 0;
  ChunkHeader header;
};

class SealedArchiveTest : public ::testing::Test {
 protected:
  void SetUp() override { cache_ = MakeFakeCache(14, 250); }

  std::string Backup(const std::string& archive, Archive::Keys keys,
                     uint64_t seed = 1) {
    TestBackupOptions options;
    options.keys = std::move(keys);
    options.random_seed = seed;
    options.unix_ms += static_cast<int64_t>(seed);
    options.full = true;
    options.pack_bytes = 1 << 20;
    const BackupReport report =
        TestBackup(&cache_, archive, &disk_, std::move(options));
    EXPECT_EQ(report.outcome, Outcome::kOk) << report.status;
    return report.snapshot_id;
  }
  Archive Open(const std::string& path, Archive::Keys keys) {
    return *Archive::Open(path, &disk_, std::move(keys));
  }
  RestoreReport RestoreWith(const std::string& path, Archive::Keys keys,
                            FakeCache* restored) {
    SimulatedDisk target;
    return TestRestore(Open(path, std::move(keys)), "/new", &target, restored,
                       {});
  }
  std::string OnlyPack(const std::string& archive) {
    const auto names = disk_.List(archive + "/packs");
    EXPECT_EQ(names->size(), 1u);
    return absl::StrCat(archive, "/packs/", names->front());
  }
  static std::vector<Placed> ChunksIn(const std::string& pack) {
    std::vector<Placed> chunks;
    for (uint64_t at = format::kPackHeadBytes; at < pack.size();
         at += kChunkHeaderBytes + chunks.back().header.stored_bytes) {
      chunks.push_back(
          {at, *format::DecodeChunkHeader(
                   absl::string_view(pack).substr(at, kChunkHeaderBytes))});
    }
    return chunks;
  }
  // The `nth` chunk of frames.
  static Placed FramesIn(const std::string& pack, int nth) {
    for (const Placed& chunk : ChunksIn(pack)) {
      if (chunk.header.Is(ChunkType::kFrames) && nth-- == 0) return chunk;
    }
    ADD_FAILURE() << "no such chunk";
    return {};
  }
  static std::string PayloadOf(const std::string& pack, const Placed& chunk) {
    return pack.substr(chunk.at + kChunkHeaderBytes, chunk.header.stored_bytes);
  }
  // Puts another payload, with right checksums, where `chunk` stands.
  static std::string Replace(const std::string& pack, const Placed& chunk,
                             ChunkHeader header, const std::string& payload) {
    header.stored_bytes = static_cast<uint32_t>(payload.size());
    header.checksum = format::Checksum128(payload);
    std::string bytes = pack.substr(0, chunk.at);
    format::EncodeChunkHeader(header, &bytes);
    return absl::StrCat(
        bytes, payload,
        pack.substr(chunk.at + kChunkHeaderBytes + chunk.header.stored_bytes));
  }
  // Restores what is left of an archive whose pack became `pack`, which the
  // manifest says, too; all that is restored must be what was written.
  // Returns: how many blobs were lost.
  int64_t LostWith(const std::string& archive, const std::string& pack) {
    const std::string path = OnlyPack(archive);
    const std::string manifest_path = absl::StrCat(
        archive, "/manifests/", disk_.List(archive + "/manifests")->front());
    const std::string before = ReadFile(&disk_, path);
    const std::string manifest_before = ReadFile(&disk_, manifest_path);
    Manifest manifest = *format::DecodeManifest(manifest_before);
    manifest.mutable_packs(0)->set_bytes(pack.size());
    manifest.mutable_packs(0)->set_checksum(
        format::EncodeUint128(format::Checksum128(pack)));
    WriteFile(&disk_, path, pack);
    WriteFile(&disk_, manifest_path, format::EncodeManifest(manifest));
    FakeCache restored;
    const RestoreReport report = RestoreWith(archive, TestKeys("a"), &restored);
    EXPECT_TRUE(report.status.ok()) << report.status;
    for (const auto& [key, blob] : restored.blobs) {
      EXPECT_EQ(restored.Bytes(key), cache_.Bytes(key));
    }
    EXPECT_EQ(static_cast<int64_t>(restored.blobs.size()) + report.lost.blobs,
              static_cast<int64_t>(cache_.blobs.size()));
    EXPECT_EQ(report.outcome,
              report.lost.blobs > 0 ? Outcome::kPartial : Outcome::kOk);
    WriteFile(&disk_, path, before);
    WriteFile(&disk_, manifest_path, manifest_before);
    return report.lost.blobs;
  }
  static std::string ManifestPath(const std::string& archive,
                                  const std::string& id) {
    return absl::StrCat(archive, "/manifests/", id, ".manifest");
  }
  void ChangeManifest(const std::string& path,
                      const std::function<void(Manifest*)>& change) {
    Manifest manifest = *format::DecodeManifest(ReadFile(&disk_, path));
    change(&manifest);
    WriteFile(&disk_, path, format::EncodeManifest(manifest));
  }
  // What a restore says of a manifest that was changed by who has no key.
  absl::Status WithManifest(const std::string& archive, const std::string& id,
                            const std::function<void(Manifest*)>& change) {
    const std::string path = ManifestPath(archive, id);
    const std::string before = ReadFile(&disk_, path);
    ChangeManifest(path, change);
    FakeCache restored;
    const RestoreReport report = RestoreWith(archive, TestKeys("a"), &restored);
    EXPECT_TRUE(restored.blobs.empty());
    WriteFile(&disk_, path, before);
    return report.status;
  }

  SimulatedDisk disk_;
  FakeCache cache_;
};

TEST_F(SealedArchiveTest, OnlyWhoHasTheKeyReadsIt) {
  const std::string id = Backup("/a", TestKeys("a"));
  FakeCache restored;
  const RestoreReport whole = RestoreWith("/a", TestKeys("a"), &restored);
  ASSERT_EQ(whole.outcome, Outcome::kOk) << whole.status;
  EXPECT_TRUE(whole.digest_equal);
  EXPECT_TRUE(whole.warnings.empty());
  EXPECT_EQ(restored.Digest(), cache_.Digest());
  EXPECT_EQ(restored.info.tombstones, cache_.info.tombstones);
  for (const auto& [keys, why] :
       std::vector<std::pair<Archive::Keys, std::string>>{
           {nullptr, "and no key was given"},
           {TestKeys("b"), "which KEYS has not"}}) {
    FakeCache nothing;
    const RestoreReport report = RestoreWith("/a", keys, &nothing);
    EXPECT_EQ(report.status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(
        std::string(report.status.message()),
        HasSubstr(absl::StrCat("sealed with key ID ",
                               crypto::PrintKeyId(TestKeys("a")->first().id))));
    EXPECT_THAT(std::string(report.status.message()), HasSubstr(why));
    EXPECT_TRUE(nothing.blobs.empty());
  }
}

TEST_F(SealedArchiveTest, WhoHasNoKeyListsAndChecks) {
  const std::string id = Backup("/a", TestKeys("a"));
  const Archive archive = Open("/a", nullptr);
  ASSERT_EQ(archive.List()->size(), 1u);
  EXPECT_TRUE(archive.Find(id)->complete);
  for (const auto mode : {format::VERIFY_MODE_QUICK, format::VERIFY_MODE_SAMPLE,
                          format::VERIFY_MODE_FULL}) {
    VerifyOptions options;
    options.mode = mode;
    const auto report = VerifyArchive(archive, options);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_TRUE(report->status.ok()) << report->status;
    EXPECT_EQ(report->snapshots[0].not_opened,
              mode == format::VERIFY_MODE_FULL);
  }
  const auto opened = VerifyArchive(Open("/a", TestKeys("a")), {});
  EXPECT_TRUE(opened->status.ok()) << opened->status;
  EXPECT_FALSE(opened->snapshots[0].not_opened);
  EXPECT_FALSE(opened->snapshots[0].in_the_clear);
  EXPECT_EQ(opened->snapshots[0].records, 14);
  // With keys that do not open it: not opened, and nothing against it.
  const auto locked = VerifyArchive(Open("/a", TestKeys("b")), {});
  EXPECT_TRUE(locked->status.ok()) << locked->status;
  EXPECT_TRUE(locked->snapshots[0].problems.empty());
  EXPECT_TRUE(locked->snapshots[0].not_opened);
  EXPECT_EQ(locked->snapshots[0].key_id_needed,
            crypto::PrintKeyId(TestKeys("a")->first().id));
  EXPECT_THAT(locked->snapshots[0].not_opened_reason,
              HasSubstr("which KEYS has not"));
  ASSERT_TRUE(disk_.FlipBit(OnlyPack("/a"), 3000, 1).ok());
  EXPECT_EQ(VerifyArchive(archive, {})->status.code(),
            absl::StatusCode::kDataLoss);
}

// Checksums tell less than who opened it, but damage is damage.
TEST_F(SealedArchiveTest, WhatWasOpenedIsNotJudgedAnewByWhoCannot) {
  const std::string id = Backup("/a", TestKeys("a"));
  const auto verify = [&](Archive::Keys keys) {
    VerifyOptions options;
    options.store = true;
    const Archive archive = Open("/a", std::move(keys));
    const auto report = VerifyArchive(archive, options);
    EXPECT_TRUE(report.ok()) << report.status();
    return **ReadVerification(archive, id);
  };
  for (const Archive::Keys& none : {Archive::Keys(), TestKeys("b")}) {
    const format::Verification sample = verify(none);
    EXPECT_EQ(sample.mode(), format::VERIFY_MODE_SAMPLE);
    EXPECT_EQ(sample.status_code(), 0);
  }
  const format::Verification full = verify(TestKeys("a"));
  EXPECT_EQ(full.mode(), format::VERIFY_MODE_FULL);
  for (const Archive::Keys& none : {Archive::Keys(), TestKeys("b")}) {
    const format::Verification kept = verify(none);
    EXPECT_EQ(format::SerializeMessage(kept), format::SerializeMessage(full));
  }
  // That was of another dump, for all that is known without the key.
  const std::string path =
      absl::StrCat("/a/manifests/", disk_.List("/a/manifests")->front());
  const std::string before = ReadFile(&disk_, path);
  Manifest other = *format::DecodeManifest(before);
  other.set_ordinal(other.ordinal() + 1);
  WriteFile(&disk_, path, format::EncodeManifest(other));
  EXPECT_EQ(verify(nullptr).mode(), format::VERIFY_MODE_SAMPLE);
  WriteFile(&disk_, path, before);
  EXPECT_EQ(verify(TestKeys("a")).mode(), format::VERIFY_MODE_FULL);
  ASSERT_TRUE(disk_.FlipBit(OnlyPack("/a"), 3000, 1).ok());
  const format::Verification damaged = verify(nullptr);
  EXPECT_EQ(damaged.mode(), format::VERIFY_MODE_SAMPLE);
  EXPECT_NE(damaged.status_code(), 0);
  // What was found with the key tells more.
  EXPECT_EQ(verify(TestKeys("a")).mode(), format::VERIFY_MODE_FULL);
  EXPECT_EQ(verify(TestKeys("b")).mode(), format::VERIFY_MODE_FULL);
}

TEST_F(SealedArchiveTest, NothingOfItIsOnTheDisk) {
  const std::string payload = "a payload that no other would be taken for";
  cache_.Put("secret-namespace", "secret-key", payload, 5000);
  cache_.damaged_frames.insert({{"secret-namespace", "secret-broken"}, 0});
  cache_.Put("secret-namespace", "secret-broken", payload, 5001);
  for (const bool sealed : {true, false}) {
    const std::string archive = sealed ? "/sealed" : "/clear";
    TestBackupOptions options;
    if (sealed) options.keys = TestKeys("a");
    const BackupReport report =
        TestBackup(&cache_, archive, &disk_, std::move(options));
    EXPECT_EQ(report.outcome, Outcome::kPartial);
    // Its operator is told, in full.
    EXPECT_THAT(report.sources[0].totals.problems(),
                Contains(HasSubstr("secret-broken")));
    std::string all;
    for (const std::string folder : {"/packs/", "/manifests/"}) {
      const std::vector<std::string> names = *disk_.List(archive + folder);
      for (const std::string& name : names) {
        all += ReadFile(&disk_, archive + folder + name);
      }
    }
    EXPECT_EQ(all.find(payload) == std::string::npos, sealed);
    EXPECT_EQ(all.find("secret-broken") == std::string::npos, sealed);
    EXPECT_THAT(all, Not(HasSubstr(std::string(32, 'a'))));
  }
}

TEST_F(SealedArchiveTest, KeysAreReplacedOneByOne) {
  Backup("/old", TestKeys("a"));
  FakeCache restored;
  EXPECT_EQ(RestoreWith("/old", TestKeys("ba"), &restored).outcome,
            Outcome::kOk);
  const std::string id = Backup("/new", TestKeys("ba"));
  EXPECT_EQ(
      Open("/new", nullptr).Find(id)->manifest.header().encryption().key_id(),
      TestKeys("b")->first().id);
  FakeCache again;
  EXPECT_EQ(RestoreWith("/new", TestKeys("b"), &again).outcome, Outcome::kOk);
  FakeCache not_any_more;
  EXPECT_EQ(RestoreWith("/new", TestKeys("a"), &not_any_more).status.code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(SealedArchiveTest, ChunksAreNotSwapped) {
  Backup("/a", TestKeys("a"), 1);
  Backup("/b", TestKeys("a"), 2);
  const std::string pack = ReadFile(&disk_, OnlyPack("/a"));
  const std::string other = ReadFile(&disk_, OnlyPack("/b"));
  ASSERT_EQ(LostWith("/a", pack), 0);
  const Placed first = FramesIn(pack, 0);
  const Placed second = FramesIn(pack, 1);
  // One in place of another, as itself and as the one that was there.
  ChunkHeader as_first = second.header;
  as_first.sequence = first.header.sequence;
  EXPECT_GT(LostWith("/a", Replace(pack, first, second.header,
                                   PayloadOf(pack, second))),
            0);
  EXPECT_GT(
      LostWith("/a", Replace(pack, first, as_first, PayloadOf(pack, second))),
      0);
  // The same one of another dump of the same cache, under the same key.
  const Placed foreign = FramesIn(other, 0);
  ASSERT_EQ(foreign.header.sequence, first.header.sequence);
  ChunkHeader as_own = foreign.header;
  as_own.stream_id = first.header.stream_id;
  EXPECT_GT(
      LostWith("/a", Replace(pack, first, as_own, PayloadOf(other, foreign))),
      0);
  EXPECT_GT(LostWith("/a", Replace(pack, first, foreign.header,
                                   PayloadOf(other, foreign))),
            0);
}

TEST_F(SealedArchiveTest, AChunkInTheClearIsNoChunkOfIt) {
  Backup("/a", TestKeys("a"));
  Backup("/clear", nullptr);  // Of the same seed: the very same chunks.
  const std::string pack = ReadFile(&disk_, OnlyPack("/a"));
  const std::string clear = ReadFile(&disk_, OnlyPack("/clear"));
  const Placed sealed = FramesIn(pack, 0);
  const Placed open = FramesIn(clear, 0);
  ASSERT_EQ(open.header.stream_id, sealed.header.stream_id);
  EXPECT_GT(LostWith("/a", Replace(pack, sealed, open.header,
                                   PayloadOf(clear, open))),
            0);
}

TEST_F(SealedArchiveTest, AForgedManifestIsRefused) {
  const std::string id = Backup("/a", TestKeys("a"), 1);
  const std::string other = Backup("/b", TestKeys("a"), 2);
  const Manifest foreign = Open("/b", nullptr).Find(other)->manifest;
  const std::vector<std::function<void(Manifest*)>> forgeries = {
      // Fewer records.
      [](Manifest* m) {
        auto* totals =
            m->mutable_trailer()->mutable_sources(0)->mutable_totals();
        totals->set_records(totals->records() - 1);
        totals->set_records_begun(totals->records_begun() - 1);
      },
      // Cut behind some chunk, as if no more had been written.
      [](Manifest* m) {
        m->mutable_trailer()->set_chunks(m->trailer().chunks() - 4);
        m->mutable_packs(0)->set_chunks(m->packs(0).chunks() - 4);
      },
      // A source that failed, so that nobody misses its blobs.
      [](Manifest* m) {
        m->mutable_trailer()->mutable_sources(0)->set_status_message("x");
      },
      // An older or newer state than it is.
      [](Manifest* m) {
        m->mutable_header()->set_created_unix_ms(5);
        m->mutable_trailer()->mutable_seal()->set_header(
            format::SerializeMessage(m->header()));
      },
      // The seal of another dump, with its salt.
      [&](Manifest* m) {
        *m->mutable_header()->mutable_encryption() =
            foreign.header().encryption();
        *m->mutable_trailer()->mutable_seal() = foreign.trailer().seal();
        m->mutable_trailer()->mutable_seal()->set_header(
            format::SerializeMessage(m->header()));
      },
      // Without the encryption, as a dump in the clear.
      [](Manifest* m) { m->mutable_header()->clear_encryption(); },
      [](Manifest* m) { m->mutable_trailer()->clear_seal(); },
      [](Manifest* m) {
        m->mutable_trailer()->mutable_seal()->set_mac(std::string(32, 'x'));
      },
  };
  for (size_t i = 0; i < forgeries.size(); ++i) {
    const absl::Status status = WithManifest("/a", id, forgeries[i]);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss)
        << "forgery " << i << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("seal"));
  }
  // As a dump in the clear altogether: its sealed chunks are none of that.
  const absl::Status clear = WithManifest("/a", id, [](Manifest* m) {
    m->mutable_header()->clear_encryption();
    m->mutable_trailer()->clear_seal();
  });
  EXPECT_EQ(clear.code(), absl::StatusCode::kDataLoss) << clear;
}

TEST_F(SealedArchiveTest, ADumpInTheClearIsToldToWhoHasKeys) {
  Backup("/a", nullptr);
  FakeCache restored;
  const RestoreReport report = RestoreWith("/a", TestKeys("a"), &restored);
  EXPECT_EQ(report.outcome, Outcome::kOk) << report.status;
  EXPECT_EQ(report.plan.dumps_in_the_clear, 1);
}

// It might tell what was flushed since.
TEST_F(SealedArchiveTest, ASnapshotWithABrokenSealMakesOthersPartial) {
  const std::string older = Backup("/a", TestKeys("a"));
  const std::string newer = Backup("/a", TestKeys("a"), 2);
  ChangeManifest(ManifestPath("/a", newer), [](Manifest* m) {
    m->mutable_trailer()->mutable_seal()->set_mac(std::string(32, 'x'));
  });
  FakeCache restored;
  const RestoreReport report = RestoreWith("/a", TestKeys("a"), &restored);
  EXPECT_EQ(report.plan.snapshot.id, older);
  EXPECT_EQ(report.outcome, Outcome::kPartial) << report.status;
  EXPECT_THAT(report.warnings, Contains(HasSubstr(newer)));
}

TEST_F(SealedArchiveTest, ANewerSnapshotInTheClearIsTold) {
  const std::string sealed = Backup("/a", TestKeys("a"));
  const std::string clear = Backup("/a", nullptr, 2);
  const auto plan = PlanRestore(Open("/a", TestKeys("a")), [&] {
    RestoreOptions options;
    options.snapshot_id = sealed;
    options.cache.l2_path = "/new";
    options.cache.l2_bytes_max = 1 << 30;
    options.cache.file_system = &disk_;
    return options;
  }());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->dumps_in_the_clear, 0);
  EXPECT_THAT(plan->warnings,
              Contains(HasSubstr(absl::StrCat(clear, ": in the clear"))));
}

}  // namespace
}  // namespace larder::backup
