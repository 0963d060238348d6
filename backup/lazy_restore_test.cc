// Lazy restores: what is served, when, and what damage costs.
#include "backup/lazy_restore.h"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backup/archive.h"
#include "backup/archive_test_support.h"
#include "backup/format/chunk.h"
#include "backup/format/dump.pb.h"
#include "backup/internal/pack_stream.h"
#include "backup/lazy_restore_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using backup_internal::PackStream;
using backup_internal::StreamItem;
using cache::BlobCache;
using cache::Presence;
using cache::PutOptions;
using cache::l2::SimulatedDisk;
using format::ChunkType;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Whether the snapshots are sealed.
class LazyRestoreTest : public ::testing::TestWithParam<bool>,
                        public LazyRestoreFixture {
 protected:
  LazyRestoreTest() {
    if (GetParam()) seal_keys = TestKeys("a");
  }
  static std::string Bytes(int i) {
    return RandomBytes(static_cast<uint64_t>(i) + 1,
                       static_cast<size_t>(i % 7) * 900);
  }
  void Fill(BlobCache* cache, int count) {
    for (int i = 0; i < count; ++i) {
      PutOptions options;
      options.tags = {absl::StrCat("tag", i % 4)};
      options.version = static_cast<uint64_t>(i) + 1;
      Put(cache, i % 3 == 0 ? "images" : "pages", absl::StrCat("key", i),
          Bytes(i), options);
    }
  }
  std::unique_ptr<BlobCache> Filled(int count) {
    auto cache = OpenCache("/l2");
    Fill(cache.get(), count);
    return cache;
  }
  // In small slices, to its end. Returns: the pauses behind errors, in seconds.
  // `on_pause` is told how many there were.
  static std::vector<int64_t> HydrateInBackground(
      LazyRestore* lazy, const std::function<void(size_t pauses)>& on_pause) {
    std::vector<int64_t> seconds;
    lazy->HydrateInBackground({.bytes_per_second = int64_t{1} << 50,
                               .slice_bytes = 10'000,
                               .wait = [&](int64_t nanos) {
                                 if (nanos < LazyRestore::kRetryNanosMin) {
                                   return;
                                 }
                                 seconds.push_back(nanos / 1'000'000'000);
                                 on_pause(seconds.size());
                               }});
    EXPECT_TRUE(lazy->WaitForBackground().ok());
    return seconds;
  }
  Archive OpenArchive(const std::string& path) {
    return *Archive::Open(path, &disk, seal_keys);
  }
  // Damages chunk number `which` of the type in the snapshot, in its payload.
  // Returns: its sequence.
  uint64_t Damage(const std::string& path, const std::string& id,
                  ChunkType type, int which) {
    const Archive archive = OpenArchive(path);
    const auto entry = archive.Find(id);
    EXPECT_TRUE(entry.ok()) << entry.status();
    PackStream stream(
        &archive, &entry->manifest, nullptr, [](const absl::Status&) {},
        nullptr);
    while (true) {
      const auto item = stream.Next();
      if (!item.ok() || item->kind == StreamItem::Kind::kEnd) break;
      if (item->kind != StreamItem::Kind::kChunk || !item->header.Is(type) ||
          which-- > 0) {
        continue;
      }
      EXPECT_TRUE(
          disk.FlipBit(archive.PackPath(item->pack), item->payload_at + 40, 3)
              .ok());
      return item->header.sequence;
    }
    ADD_FAILURE() << "no such chunk";
    return 0;
  }
  // The keys that the lazy restore says are lost.
  static std::set<BlobKey> Lost(const LazyRestore& lazy) {
    std::set<BlobKey> lost;
    for (const Loss& loss : lazy.Report().lost.listed) {
      EXPECT_EQ(loss.kind, Loss::Kind::kBlob);
      EXPECT_FALSE(loss.reason.empty());
      lost.insert({loss.ns, loss.name});
    }
    EXPECT_EQ(static_cast<int64_t>(lost.size()), lazy.Report().lost.blobs);
    return lost;
  }
  void ExpectHoldsAllBut(BlobCache* cache, const std::set<BlobKey>& lost) {
    for (const auto& [key, bytes] : model) {
      const auto hit = cache->Get(key.first, key.second);
      ASSERT_EQ(hit.has_value(), !lost.contains(key)) << key.second;
      if (hit.has_value()) {
        ASSERT_EQ(hit->bytes(), bytes) << key.second;
      }
    }
  }
  // Of Filled(60): all but `images`, which was flushed, and what has one of
  // these tags, which were invalidated.
  static void ExpectFlushed(BlobCache* cache, const std::set<int>& tags) {
    for (int i = 0; i < 60; ++i) {
      const std::string ns = i % 3 == 0 ? "images" : "pages";
      EXPECT_EQ(cache->Get(ns, absl::StrCat("key", i)).has_value(),
                i % 3 != 0 && !tags.contains(i % 4))
          << i;
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Sealed, LazyRestoreTest, ::testing::Bool());

// Also on a restart: the key is written down nowhere.
TEST_P(LazyRestoreTest, WithoutTheKeyItDoesNotOpen) {
  const auto cache = Filled(100);
  Backup(cache.get(), {"/a"});
  if (!GetParam()) {
    seal_keys = TestKeys("b");  // Of no use, and no obstacle.
    EXPECT_NE(Open("/new", {"/a"}), nullptr);
    return;
  }
  const Archive::Keys own = seal_keys;
  for (const bool begun : {false, true}) {
    if (begun) {
      seal_keys = own;
      ASSERT_TRUE(Open("/new", {"/a"})->Get("pages", "key50").has_value());
    }
    for (const Archive::Keys& keys : {Archive::Keys(), TestKeys("b")}) {
      seal_keys = keys;
      const absl::Status opened = TryOpen("/new", {"/a"}).status();
      EXPECT_EQ(opened.code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_THAT(std::string(opened.message()),
                  HasSubstr("sealed with key ID"));
    }
  }
}

// Their chunks have the same stream and sequences.
TEST_P(LazyRestoreTest, StreamsOfOneBackupShareNoKey) {
  const auto cache = Filled(50);
  Backup(cache.get(), {"/a"});
  Put(cache.get(), "pages", "key1", "new");
  const std::string id = Backup(cache.get(), {"/a", "/b"});
  const format::DumpHeader delta =
      OpenArchive("/a").Find(id)->manifest.header();
  const format::DumpHeader full = OpenArchive("/b").Find(id)->manifest.header();
  EXPECT_NE(delta.base_snapshot_id(), full.base_snapshot_id());
  EXPECT_EQ(delta.stream_id(), full.stream_id());
  EXPECT_EQ(delta.encryption().salt() != full.encryption().salt(), GetParam());
  for (const std::string archive : {"/a", "/b"}) {
    ExpectHolds(Open("/new" + archive, {archive}).get(), model);
  }
}

// Another archive may not have the newer snapshot, nor what was flushed there.
TEST_P(LazyRestoreTest, ANewerSnapshotThatIsLockedIsNotSteppedAround) {
  if (!GetParam()) GTEST_SKIP() << "is about sealed dumps";
  const auto cache = Filled(20);
  const std::string id = Backup(cache.get(), {"/a", "/b"});
  seal_keys = TestKeys("b");
  Put(cache.get(), "pages", "key1", "of the second");
  Backup(cache.get(), {"/a"});
  seal_keys = TestKeys("a");
  for (const std::string& wanted : {id, std::string()}) {
    EXPECT_EQ(TryOpen("/new", {"/a", "/b"}, wanted).status().code(),
              absl::StatusCode::kFailedPrecondition)
        << wanted;
  }
  EXPECT_EQ(TryOpen("/new", {"/b", "/a"}, id).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

// A delta is made without reading its base; a restore takes all keys.
TEST_P(LazyRestoreTest, EachDumpOfAChainHasItsOwnKey) {
  const auto cache = Filled(100);
  const std::string id = Backup(cache.get(), {"/a"});
  const BytesByKey before = model;
  seal_keys = GetParam() ? nullptr : TestKeys("b");
  Put(cache.get(), "pages", "key1", "of the second");
  Backup(cache.get(), {"/a"});
  seal_keys = TestKeys("c");
  Put(cache.get(), "pages", "key4", "of the third");
  Backup(cache.get(), {"/a"});
  for (const char* const some : {"c", "ba"}) {
    seal_keys = TestKeys(some);
    EXPECT_EQ(TryOpen("/new", {"/a"}).status().code(),
              absl::StatusCode::kFailedPrecondition)
        << some;
  }
  // Older ones, too: what was flushed since is in the newer ones.
  const absl::Status older = TryOpen("/new", {"/a"}, id).status();
  EXPECT_THAT(std::string(older.message()),
              HasSubstr("what was flushed since"));
  seal_keys = TestKeys("abc");
  ExpectHolds(Open("/new", {"/a"}).get(), model);
  ExpectHolds(Open("/older", {"/a"}, id).get(), before);
}

TEST_P(LazyRestoreTest, ServesAtOnceAndBecomesAnyOtherL2) {
  const auto cache = Filled(400);
  Backup(cache.get(), {"/a"});
  EXPECT_GT(PacksOf("/a").size(), 8);
  auto lazy = Open("/new", {"/a"});
  ASSERT_NE(lazy, nullptr);
  EXPECT_EQ(lazy->Stats().l2.records, 0);
  EXPECT_EQ(lazy->NamespacesStats().size(), 2);
  const auto hit = lazy->Get("pages", "key200");
  ASSERT_TRUE(hit.has_value());
  EXPECT_EQ(hit->bytes(), Bytes(200));
  EXPECT_EQ(hit->attributes().version, 201);
  EXPECT_EQ(lazy->Report().records_fetched, 1);
  EXPECT_FALSE(lazy->Get("pages", "nothing").has_value());
  EXPECT_FALSE(lazy->Get("other", "nothing").has_value());
  EXPECT_EQ(lazy->Exists("pages", "key1"), Presence::kMaybePresent);
  HydrateAll(lazy.get());
  const LazyRestoreReport report = lazy->Report();
  EXPECT_TRUE(report.done);
  EXPECT_EQ(report.records, 400);
  EXPECT_EQ(report.records_added, 400);
  EXPECT_EQ(report.lost.blobs, 0);
  ExpectHolds(lazy.get(), model);
  EXPECT_EQ(lazy->Stats().l2.content_digest, cache->Stats().l2.content_digest);
  lazy.reset();
  // Nothing of it is left.
  EXPECT_FALSE(LazyRestore::FindHydrating(&disk, "/new")->has_value());
  const auto names = disk.List("/new");
  for (const std::string& name : *names) {
    EXPECT_FALSE(absl::StartsWith(name, "hydrating")) << name;
  }
  ExpectHolds(OpenCache("/new").get(), model);
  EXPECT_TRUE(absl::IsAlreadyExists(TryOpen("/new", {"/a"}).status()));
}

// Each cold get reads a few chunks of records, whatever the size of the dump.
TEST_P(LazyRestoreTest, AColdGetReadsLittle) {
  const auto cache = Filled(3000);
  Backup(cache.get(), {"/a"});
  const size_t packs = PacksOf("/a").size();
  EXPECT_GT(packs, 80);
  const auto lazy = Open("/new", {"/a"});
  std::set<std::string> read;
  std::atomic<int64_t> bytes = 0;
  disk.SetHook([&](const SimulatedDisk::Operation& operation) {
    if (operation.kind == SimulatedDisk::OperationKind::kRead &&
        absl::StrContains(operation.path, "/packs/")) {
      read.insert(operation.path);
      bytes += static_cast<int64_t>(operation.length);
    }
    return absl::OkStatus();
  });
  ASSERT_TRUE(lazy->Get("pages", "key2000").has_value());
  disk.SetHook(nullptr);
  EXPECT_LT(read.size(), 12);
  EXPECT_LT(bytes.load(), kPackBytes);
}

TEST_P(LazyRestoreTest, ManyWhoWaitForOneKeyFetchItOnce) {
  const auto cache = Filled(20);
  constexpr size_t kBytes = 123'457;
  Put(cache.get(), "pages", "large", RandomBytes(7, kBytes));
  Backup(cache.get(), {"/a"});
  const auto lazy = Open("/new", {"/a"});
  constexpr int kThreads = 8;
  std::atomic<int> started = 0;
  std::atomic<int> frames_read = 0;
  disk.SetHook([&](const SimulatedDisk::Operation& operation) {
    if (operation.kind == SimulatedDisk::OperationKind::kRead &&
        (GetParam() ? operation.length > kBytes : operation.length == kBytes)) {
      ++frames_read;
      while (started.load() < kThreads) std::this_thread::yield();
    }
    return absl::OkStatus();
  });
  std::vector<std::thread> threads;
  std::atomic<int> hits = 0;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      ++started;
      const auto hit = lazy->Get("pages", "large");
      hits += hit.has_value() && hit->bytes().size() == kBytes ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  disk.SetHook(nullptr);
  EXPECT_EQ(hits.load(), kThreads);
  EXPECT_EQ(frames_read.load(), 1);
  EXPECT_EQ(lazy->Report().records_fetched, 1);
}

TEST_P(LazyRestoreTest, WhatChangedSinceIsNotReplaced) {
  const auto cache = Filled(100);
  Backup(cache.get(), {"/a"});
  const auto lazy = Open("/new", {"/a"});
  Put(lazy.get(), "pages", "key1", "newer");
  ASSERT_TRUE(lazy->InvalidateKey("pages", "key2").ok());
  ASSERT_TRUE(lazy->InvalidateTags("pages", {"tag1"}).ok());
  ASSERT_TRUE(lazy->FlushNamespace("images").ok());
  ASSERT_TRUE(lazy->Put("pages", "key4", "gone soon", {.ttl_ms = 10}).ok());
  clock.AdvanceMillis(20);
  for (int round = 0; round < 2; ++round) {
    // Sweeps, too, must not forget it.
    while (!lazy->SweepDueSlice({})->done) {
    }
    while (!lazy->SweepTombstonedSlice({})->done) {
    }
    ASSERT_TRUE(lazy->Flush().ok());
    EXPECT_EQ(lazy->Get("pages", "key1")->bytes(), "newer");
    for (const int i : {2, 4, 5, 13, 0, 3, 99}) {
      const std::string ns = i % 3 == 0 ? "images" : "pages";
      EXPECT_FALSE(lazy->Get(ns, absl::StrCat("key", i)).has_value()) << i;
    }
    EXPECT_TRUE(lazy->Get("pages", "key10").has_value());
    HydrateAll(lazy.get());
  }
  // The markers are swept once nothing needs them.
  while (!lazy->SweepDueSlice({})->done) {
  }
  while (!lazy->SweepTombstonedSlice({})->done) {
  }
  ASSERT_TRUE(lazy->Flush().ok());
  int64_t left = 0;
  for (int i = 0; i < 100; ++i) {
    if (i % 3 != 0 && i % 4 != 1 && i != 2 && i != 4) ++left;
  }
  EXPECT_EQ(lazy->Stats().l2.records, left + 1);  // And the newer key1.
}

TEST_P(LazyRestoreTest, ComparesWithTheVersionInTheArchive) {
  const auto cache = Filled(40);
  Backup(cache.get(), {"/a"});
  const auto lazy = Open("/new", {"/a"});
  const auto wrong = lazy->CompareAndSet("pages", "key7", 0, "x", {});
  ASSERT_TRUE(wrong.ok()) << wrong.status();
  EXPECT_FALSE(wrong->committed);
  EXPECT_EQ(wrong->current_version, 8);
  const auto right =
      lazy->CompareAndSet("pages", "key7", 8, "x", {.version = 9});
  ASSERT_TRUE(right.ok()) << right.status();
  EXPECT_TRUE(right->committed);
  const auto loaded = lazy->GetOrLoad("pages", "key8", [] {
    return absl::StatusOr<BlobCache::Loaded>(absl::InternalError("asked"));
  });
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->bytes(), Bytes(8));
}

TEST_P(LazyRestoreTest, ExpiredRecordsAreSkipped) {
  auto cache = OpenCache("/l2");
  for (int i = 0; i < 60; ++i) {
    PutOptions options;
    if (i % 2 == 0) options.ttl_ms = 50'000;
    ASSERT_TRUE(
        cache->Put("pages", absl::StrCat("key", i), Bytes(i), options).ok());
  }
  Backup(cache.get(), {"/a"});
  clock.AdvanceMillis(60'000);
  const auto lazy = Open("/new", {"/a"});
  EXPECT_FALSE(lazy->Get("pages", "key0").has_value());
  HydrateAll(lazy.get());
  EXPECT_EQ(lazy->Report().records_added, 30);
  EXPECT_EQ(lazy->Report().records_expired, 30);
  EXPECT_EQ(lazy->Stats().l2.records, 30);
}

TEST_P(LazyRestoreTest, HottestFirst) {
  auto cache = OpenCache("/l2");
  for (int i = 0; i < 200; ++i) {
    // The names are not in the order of time.
    Put(cache.get(), "pages", absl::StrCat("key", (i * 77) % 200),
        RandomBytes(static_cast<uint64_t>(i), 2000));
    clock.AdvanceMillis(60'000);
  }
  Backup(cache.get(), {"/a"});
  const auto lazy = Open("/new", {"/a"});
  for (int i = 0; i < 10'000 && lazy->Report().pass == 0; ++i) {
    ASSERT_TRUE(lazy->Hydrate(1).ok());
  }
  EXPECT_EQ(lazy->Report().passes, 3);
  ASSERT_TRUE(lazy->Flush().ok());
  // Those of the first pass are the newest, and an eighth of them or so.
  std::set<std::string> there;
  ASSERT_TRUE(lazy->ForEachL2Record("pages", "",
                                    [&](const auto& record) {
                                      there.insert(std::string(record.key));
                                      return true;
                                    })
                  .ok());
  EXPECT_GE(there.size(), 25);
  EXPECT_LE(there.size(), 60);
  for (int i = 0; i < 200; ++i) {
    const bool expected = i >= 200 - static_cast<int>(there.size());
    EXPECT_EQ(there.contains(absl::StrCat("key", (i * 77) % 200)), expected)
        << i;
  }
  HydrateAll(lazy.get());
  EXPECT_EQ(lazy->Report().records_added, 200);
}

TEST_P(LazyRestoreTest, ARestartGoesOn) {
  const auto cache = Filled(300);
  const std::string id = Backup(cache.get(), {"/a"});
  auto lazy = Open("/new", {"/a"});
  while (lazy->Report().records_added < 100) {
    ASSERT_TRUE(lazy->Hydrate(5'000).ok());
  }
  ASSERT_TRUE(lazy->InvalidateKey("pages", "key299").ok());
  ASSERT_TRUE(lazy->InvalidateKey("pages", "key1").ok());
  const int64_t before = lazy->Report().records_added;
  lazy.reset();
  EXPECT_TRUE(LazyRestore::FindHydrating(&disk, "/new")->has_value());
  EXPECT_TRUE(absl::IsFailedPrecondition(
      TryOpen("/new", {}, "20200101-other").status()));
  lazy = Open("/new", {});
  ASSERT_NE(lazy, nullptr);
  EXPECT_TRUE(lazy->Report().resumed);
  EXPECT_EQ(lazy->Report().snapshot_id, id);
  EXPECT_EQ(lazy->Report().records_added, before);
  EXPECT_FALSE(lazy->Get("pages", "key299").has_value());
  HydrateAll(lazy.get());
  EXPECT_FALSE(lazy->Get("pages", "key299").has_value());
  EXPECT_FALSE(lazy->Get("pages", "key1").has_value());
  model.erase({"pages", "key299"});
  model.erase({"pages", "key1"});
  ExpectHolds(lazy.get(), model);
  // Nothing was taken twice.
  EXPECT_GE(lazy->Report().records_added, 298);
  EXPECT_LE(lazy->Report().records_added, 300);
}

// Who does not know of the archive has misses, and does no harm.
TEST_P(LazyRestoreTest, APlainCacheMayOpenItMeanwhile) {
  const auto cache = Filled(60);
  Backup(cache.get(), {"/a"});
  Open("/new", {"/a"}).reset();
  {
    const auto plain = OpenCache("/new");
    EXPECT_FALSE(plain->Get("pages", "key1").has_value());
    ASSERT_TRUE(plain->InvalidateKey("pages", "key1").ok());
    ASSERT_TRUE(plain->Put("pages", "key2", "newer", {}).ok());
    ASSERT_TRUE(plain->InvalidateKey("pages", "key2").ok());
    while (!plain->SweepDueSlice({})->done) {
    }
    EXPECT_TRUE(absl::IsUnavailable(plain->TakeSnapshot({}).status()));
  }
  const auto lazy = Open("/new", {});
  HydrateAll(lazy.get());
  EXPECT_FALSE(lazy->Get("pages", "key1").has_value());
  EXPECT_FALSE(lazy->Get("pages", "key2").has_value());
  EXPECT_TRUE(lazy->Get("pages", "key4").has_value());
  EXPECT_TRUE(lazy->TakeSnapshot({}).ok());
}

TEST_P(LazyRestoreTest, WhatANewerSnapshotFlushedDoesNotComeBack) {
  const auto cache = Filled(60);
  const std::string old = Backup(cache.get(), {"/a"});
  ASSERT_TRUE(cache->FlushNamespace("images").ok());
  ASSERT_TRUE(cache->InvalidateTags("pages", {"tag2"}).ok());
  Backup(cache.get(), {"/a"});
  auto lazy = Open("/new", {"/a"}, old);
  const auto expect = [&] { ExpectFlushed(lazy.get(), {2}); };
  expect();
  lazy.reset();
  // Also where the newer snapshot is gone by now.
  lazy = Open("/new", {});
  expect();
  HydrateAll(lazy.get());
  expect();
  EXPECT_GT(lazy->Report().records_invalidated, 0);
}

// Each archive is asked, also when it is only there for what is damaged.
TEST_P(LazyRestoreTest, WhatOnlyTheSecondArchiveSaysWasFlushedStaysSo) {
  const auto cache = Filled(60);
  const std::string old = Backup(cache.get(), {"/a", "/b"});
  ASSERT_TRUE(cache->InvalidateTags("pages", {"tag1"}).ok());
  Backup(cache.get(), {"/a"});
  ASSERT_TRUE(cache->FlushNamespace("images").ok());
  ASSERT_TRUE(cache->InvalidateTags("pages", {"tag2"}).ok());
  Backup(cache.get(), {"/b"});
  const std::vector<std::vector<std::string>> orders = {{"/a", "/b"},
                                                        {"/b", "/a"}};
  for (const std::vector<std::string>& order : orders) {
    SCOPED_TRACE(order[0]);
    const std::string path = "/new" + order[0];
    auto lazy = Open(path, order, old);
    ASSERT_NE(lazy, nullptr);
    EXPECT_THAT(lazy->Report().warnings, IsEmpty());
    const auto expect = [&] { ExpectFlushed(lazy.get(), {1, 2}); };
    expect();
    lazy.reset();
    lazy = Open(path, {});
    HydrateAll(lazy.get());
    expect();
    EXPECT_GT(lazy->Report().records_invalidated, 0);
  }
  // Who cannot be asked is named.
  ASSERT_TRUE(disk.Rename("/b", "/away").ok());
  EXPECT_THAT(Open("/without", {"/a", "/b"}, old)->Report().warnings,
              Contains(HasSubstr("/b: cannot be asked what was flushed")));
}

// It may have pruned the snapshot, or never had it.
TEST_P(LazyRestoreTest, AnArchiveWithoutTheSnapshotIsAskedToo) {
  const auto cache = Filled(60);
  const std::string old = Backup(cache.get(), {"/a"});
  ASSERT_TRUE(cache->FlushNamespace("images").ok());
  ASSERT_TRUE(cache->InvalidateTags("pages", {"tag2"}).ok());
  Backup(cache.get(), {"/b"});
  const std::vector<std::vector<std::string>> orders = {{"/a", "/b"},
                                                        {"/b", "/a"}};
  for (const std::vector<std::string>& order : orders) {
    SCOPED_TRACE(order[0]);
    const std::string path = "/new" + order[0];
    auto lazy = Open(path, order, old);
    ASSERT_NE(lazy, nullptr);
    EXPECT_THAT(lazy->Report().warnings,
                ElementsAre(HasSubstr("/b: lacks snapshot " + old)));
    const auto expect = [&] { ExpectFlushed(lazy.get(), {2}); };
    expect();
    lazy.reset();
    lazy = Open(path, {});
    ASSERT_NE(lazy, nullptr);
    HydrateAll(lazy.get());
    expect();
  }
  // It keeps nothing there.
  EXPECT_THAT(*disk.List("/b/leases"), IsEmpty());
}

TEST_P(LazyRestoreTest, ChainsOfDeltasAndFoldedDumps) {
  const auto cache = Filled(300);
  std::vector<std::pair<std::string, BytesByKey>> snapshots;
  for (int round = 0; round < 11; ++round) {
    snapshots.emplace_back(Backup(cache.get(), {"/a"}), model);
    for (int i = round; i < 300; i += 29) {
      Put(cache.get(), i % 3 == 0 ? "images" : "pages", absl::StrCat("key", i),
          absl::StrCat("round ", round, " ", Bytes(i)));
    }
    const std::string gone = absl::StrCat("key", 30 * round + 1);
    ASSERT_TRUE(cache->InvalidateKey("pages", gone).ok());
    model.erase({"pages", gone});
    Put(cache.get(), "pages", absl::StrCat("new", round), "added");
  }
  int folded = 0;
  for (const auto& [id, expected] : snapshots) {
    const auto entry = OpenArchive("/a").Find(id);
    ASSERT_TRUE(entry.ok()) << entry.status();
    folded += entry->manifest.references_size() > 0 ? 1 : 0;
    for (const bool hydrate : {false, true}) {
      const auto lazy = Open(absl::StrCat("/new-", id, hydrate), {"/a"}, id);
      ASSERT_NE(lazy, nullptr);
      if (hydrate) HydrateAll(lazy.get());
      ExpectHolds(lazy.get(), expected);
      for (const auto& [other, later] : snapshots) {
        for (const auto& [key, bytes] : later) {
          if (!expected.contains(key)) {
            ASSERT_FALSE(lazy->Get(key.first, key.second).has_value())
                << key.second;
          }
        }
      }
      ASSERT_TRUE(lazy->Flush().ok());
      EXPECT_EQ(lazy->Stats().l2.records,
                static_cast<int64_t>(expected.size()));
    }
  }
  EXPECT_EQ(folded > 0, !GetParam());  // No sealed one is.
}

TEST_P(LazyRestoreTest, ADamagedChunkOfRecordsCostsItsOwn) {
  const auto cache = Filled(200);
  const std::string id = Backup(cache.get(), {"/a"});
  Damage("/a", id, ChunkType::kRecords, 5);
  const auto lazy = Open("/new", {"/a"});
  HydrateAll(lazy.get());
  const std::set<BlobKey> lost = Lost(*lazy);
  EXPECT_EQ(lost.size(), 8);
  ExpectHoldsAllBut(lazy.get(), lost);
}

TEST_P(LazyRestoreTest, ADamagedChunkOfFramesCostsItsOwn) {
  const auto cache = Filled(200);
  const std::string id = Backup(cache.get(), {"/a"});
  Damage("/a", id, ChunkType::kFrames, 4);
  const auto lazy = Open("/new", {"/a"});
  HydrateAll(lazy.get());
  const std::set<BlobKey> lost = Lost(*lazy);
  // The bit is in one frame; a seal is of all of the chunk.
  EXPECT_EQ(lost.size(), GetParam() ? 4 : 1);
  ExpectHoldsAllBut(lazy.get(), lost);
}

TEST_P(LazyRestoreTest, WhatIsDamagedInOneArchiveComesFromAnother) {
  const auto cache = Filled(200);
  const std::string id = Backup(cache.get(), {"/a", "/b"});
  for (const int which : {0, 5, 12}) {
    Damage("/a", id, ChunkType::kRecords, which);
  }
  Damage("/a", id, ChunkType::kNames, 5);
  Damage("/a", id, ChunkType::kFrames, 4);
  Damage("/b", id, ChunkType::kFrames, 9);
  for (const bool hydrate : {false, true}) {
    const auto lazy = Open(absl::StrCat("/new", hydrate), {"/a", "/b"});
    if (hydrate) HydrateAll(lazy.get());
    ExpectHolds(lazy.get(), model);
    EXPECT_EQ(lazy->Report().lost.blobs, 0);
  }
  // The one alone loses them.
  const auto alone = Open("/alone", {"/a"});
  HydrateAll(alone.get());
  EXPECT_EQ(alone->Report().lost.blobs, 3 * 8 + (GetParam() ? 4 : 1));
}

TEST_P(LazyRestoreTest, ADamagedPackOfADeltaCostsWhatItMayHaveHeld) {
  const auto cache = Filled(200);
  Backup(cache.get(), {"/a"});
  for (int i = 0; i < 200; i += 10) {
    Put(cache.get(), i % 3 == 0 ? "images" : "pages", absl::StrCat("key", i),
        absl::StrCat("newer", i));
  }
  const std::string id = Backup(cache.get(), {"/a"});
  const uint64_t sequence = Damage("/a", id, ChunkType::kRecords, 0);
  EXPECT_GT(sequence, 0);
  const auto lazy = Open("/new", {"/a"});
  // No get is served what the delta may have replaced.
  for (const auto& [key, bytes] : model) {
    const auto hit = lazy->Get(key.first, key.second);
    if (hit.has_value()) {
      ASSERT_EQ(hit->bytes(), bytes) << key.second;
    }
  }
  HydrateAll(lazy.get());
  const std::set<BlobKey> lost = Lost(*lazy);
  EXPECT_GT(lost.size(), 0);
  ExpectHoldsAllBut(lazy.get(), lost);
}

// Whatever is damaged: nothing wrong is served, what is missing is counted, and
// nothing is missing where another archive is whole.
TEST_P(LazyRestoreTest, AnyDamageCostsMissesAtMost) {
  const auto cache = Filled(150);
  Backup(cache.get(), {"/a", "/b"});
  for (int i = 0; i < 150; i += 7) {
    Put(cache.get(), i % 3 == 0 ? "images" : "pages", absl::StrCat("key", i),
        absl::StrCat("newer", i, Bytes(i)));
  }
  ASSERT_TRUE(cache->InvalidateKey("pages", "key1").ok());
  model.erase({"pages", "key1"});
  Backup(cache.get(), {"/a", "/b"});
  const auto packs = PacksOf("/a");
  for (uint64_t run = 1; run <= 40; ++run) {
    SCOPED_TRACE(absl::StrCat("seed ", run));
    std::mt19937_64 random(run);
    std::vector<std::pair<std::string, uint64_t>> flipped;
    for (uint64_t n = 1 + random() % 12; n > 0; --n) {
      const std::string path =
          absl::StrCat("/a/packs/", packs[random() % packs.size()]);
      const uint64_t at = random() % (*disk.Open(path, {}))->Size();
      ASSERT_TRUE(disk.FlipBit(path, at, 2).ok());
      flipped.emplace_back(path, at);
    }
    for (const bool two : {false, true}) {
      const std::string path = absl::StrCat("/new", run, two);
      const auto lazy =
          two ? TryOpen(path, {"/a", "/b"}) : TryOpen(path, {"/a"});
      if (!lazy.ok()) {
        // Both copies of the invalidations were hit.
        EXPECT_TRUE(absl::IsDataLoss(lazy.status())) << lazy.status();
        continue;
      }
      if (run % 2 == 0) HydrateAll(lazy->get());
      EXPECT_FALSE((*lazy)->Get("pages", "key1").has_value());
      int64_t missing = 0;
      for (const auto& [key, bytes] : model) {
        const auto hit = (*lazy)->Get(key.first, key.second);
        missing += hit.has_value() ? 0 : 1;
        if (hit.has_value()) {
          ASSERT_EQ(hit->bytes(), bytes) << key.second;
        }
      }
      HydrateAll(lazy->get());
      EXPECT_GE((*lazy)->Report().lost.blobs, missing);
      if (two) {
        EXPECT_EQ(missing, 0);
        EXPECT_EQ((*lazy)->Report().lost.blobs, 0);
      }
    }
    for (const auto& [path, at] : flipped) {
      ASSERT_TRUE(disk.FlipBit(path, at, 2).ok());
    }
  }
}

// Each thread knows what its own keys must be; hydration runs beside them.
TEST_P(LazyRestoreTest, ThreadsBesideTheHydration) {
  constexpr int kThreads = 4;
  constexpr int kKeys = 240;
  const auto cache = Filled(kKeys);
  Backup(cache.get(), {"/a"});
  const auto lazy = Open("/new", {"/a"});
  std::atomic<bool> hydrated = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(static_cast<uint64_t>(t) + 1);
      BytesByKey own;
      for (const auto& [key, bytes] : model) {
        const int number = std::stoi(key.second.substr(3));
        if (number % kThreads == t) own[key] = bytes;
      }
      std::vector<BlobKey> keys;
      for (const auto& [key, bytes] : own) keys.push_back(key);
      for (int i = 0; i < 600 || !hydrated.load(); ++i) {
        const BlobKey& key = keys[random() % keys.size()];
        const auto it = own.find(key);
        switch (random() % 8) {
          case 0: {
            const std::string bytes = absl::StrCat(t, " put ", i);
            ASSERT_TRUE(lazy->Put(key.first, key.second, bytes, {}).ok());
            own[key] = bytes;
            break;
          }
          case 1:
            ASSERT_TRUE(lazy->InvalidateKey(key.first, key.second).ok());
            if (it != own.end()) own.erase(it);
            break;
          default: {
            const auto hit = lazy->Get(key.first, key.second);
            ASSERT_EQ(hit.has_value(), it != own.end()) << key.second;
            if (hit.has_value()) {
              ASSERT_EQ(hit->bytes(), it->second) << key.second;
            }
          }
        }
      }
    });
  }
  for (bool done = false; !done;) {
    const auto step = lazy->Hydrate(2'000);
    ASSERT_TRUE(step.ok()) << step.status();
    done = *step;
  }
  hydrated = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(lazy->Report().lost.blobs, 0);
}

TEST_P(LazyRestoreTest, AMissingPackOrArchiveIsNoError) {
  const auto cache = Filled(200);
  Backup(cache.get(), {"/a", "/b"});
  const auto packs = PacksOf("/a");
  ASSERT_TRUE(disk.Remove(absl::StrCat("/a/packs/", packs[3])).ok());
  auto lazy = Open("/new", {"/missing", "/a", "/b"});
  ASSERT_NE(lazy, nullptr);
  EXPECT_FALSE(lazy->Report().warnings.empty());
  HydrateAll(lazy.get());
  ExpectHolds(lazy.get(), model);
  EXPECT_EQ(lazy->Report().lost.blobs, 0);
}

TEST_P(LazyRestoreTest, AnArchiveThatIsAwayIsWaitedFor) {
  const auto cache = Filled(200);
  Backup(cache.get(), {"/a"});
  auto lazy = Open("/new", {"/a"});
  ASSERT_TRUE(disk.Rename("/a/packs", "/a/away").ok());
  absl::StatusOr<bool> done = false;
  for (int i = 0; i < 10'000 && done.ok() && !*done; ++i) {
    done = lazy->Hydrate(10'000);
  }
  EXPECT_EQ(done.status().code(), absl::StatusCode::kUnavailable)
      << done.status();
  for (const auto& [name, blob] : model) {
    EXPECT_FALSE(lazy->Get(name.first, name.second).has_value());
  }
  // What is here needs no archive; of the rest nobody knows the version.
  const auto put = lazy->Put("own", "key", "1", {.version = 1});
  ASSERT_TRUE(put.ok()) << put.status();
  const auto swapped =
      lazy->CompareAndSet("own", "key", 1, "2", {.version = 2});
  EXPECT_TRUE(swapped.ok()) << swapped.status();
  const auto& cold = model.begin()->first;
  EXPECT_EQ(lazy->CompareAndSet(cold.first, cold.second, 0, "2", {.version = 1})
                .status()
                .code(),
            absl::StatusCode::kUnavailable);
  ASSERT_TRUE(disk.Rename("/a/away", "/a/packs").ok());
  HydrateAll(lazy.get());
  EXPECT_EQ(lazy->Report().lost.blobs, 0);
  ExpectHolds(lazy.get(), model);
}

// In the background it is not given up for an archive that is away.
TEST_P(LazyRestoreTest, TheBackgroundWaitsForAnArchiveThatIsAway) {
  const auto cache = Filled(200);
  Backup(cache.get(), {"/a"});
  const auto lazy = Open("/new", {"/a"});
  ASSERT_TRUE(disk.Rename("/a/packs", "/a/away").ok());
  const std::vector<int64_t> seconds =
      HydrateInBackground(lazy.get(), [&](size_t pauses) {
        EXPECT_EQ(lazy->Report().hydration.code(),
                  absl::StatusCode::kUnavailable);
        // Longer than a lease lasts that nobody renews.
        clock.AdvanceMillis(int64_t{24} * 3600 * 1000);
        if (pauses == 9) {
          EXPECT_TRUE(disk.Rename("/a/away", "/a/packs").ok());
        }
      });
  EXPECT_THAT(seconds, ElementsAre(1, 2, 4, 8, 16, 32, 60, 60, 60));
  EXPECT_TRUE(lazy->Report().hydration.ok()) << lazy->Report().hydration;
  EXPECT_TRUE(lazy->Report().unprotected.ok()) << lazy->Report().unprotected;
  EXPECT_TRUE(lazy->Report().done);
  EXPECT_EQ(lazy->Report().lost.blobs, 0);
  ExpectHolds(lazy.get(), model);
}

// Once it went on between two errors, the pauses begin anew.
TEST_P(LazyRestoreTest, TheBackgroundOutlastsADiskThatFailsForAWhile) {
  const auto cache = Filled(200);
  Backup(cache.get(), {"/a"});
  const auto lazy = Open("/new", {"/a"});
  std::atomic<int> operations{0};
  disk.SetHook([&](const SimulatedDisk::Operation& operation) {
    if (!absl::StartsWith(operation.path, "/new/hydrating.state")) {
      return absl::OkStatus();
    }
    const int at = operations++;
    // Of a few for each checkpoint: the first one twice, and a later one.
    return at == 0 || at == 1 || at == 20 ? absl::InternalError("bad sector")
                                          : absl::OkStatus();
  });
  const std::vector<int64_t> seconds =
      HydrateInBackground(lazy.get(), [](size_t) {});
  disk.SetHook(nullptr);
  EXPECT_THAT(seconds, ElementsAre(1, 2, 1));
  EXPECT_TRUE(lazy->Report().hydration.ok()) << lazy->Report().hydration;
  ExpectHolds(lazy.get(), model);
}

TEST_P(LazyRestoreTest, ALeaseThatLapsedProtectedNothing) {
  const auto cache = Filled(20);
  Backup(cache.get(), {"/a"});
  const auto lazy = Open("/new", {"/a"});
  clock.AdvanceMillis(int64_t{8} * 24 * 3600 * 1000);
  const auto manifests = disk.List("/a/manifests");
  ASSERT_TRUE(manifests.ok()) << manifests.status();
  ASSERT_FALSE(manifests->empty());
  for (const std::string& name : *manifests) {
    ASSERT_TRUE(disk.Remove("/a/manifests/" + name).ok());
  }
  lazy->Hydrate(1).IgnoreError();
  EXPECT_EQ(lazy->Report().unprotected.code(), absl::StatusCode::kNotFound)
      << lazy->Report().unprotected;
}

TEST_P(LazyRestoreTest, WhereThereIsNoRoomTheRestStaysInTheArchive) {
  const auto cache = Filled(20);
  for (int i = 0; i < 100; ++i) {
    Put(cache.get(), "pages", absl::StrCat("blob", i),
        RandomBytes(static_cast<uint64_t>(i), 40'000));
  }
  Backup(cache.get(), {"/a"});
  l2_bytes_max = int64_t{8} << 20;
  const auto lazy = Open("/new", {"/a"});
  ASSERT_NE(lazy, nullptr);
  // Newer blobs fill it; they stay.
  for (int i = 0; i < 110; ++i) {
    Put(lazy.get(), "own", absl::StrCat("blob", i),
        RandomBytes(static_cast<uint64_t>(1000 + i), 40'000));
  }
  HydrateAll(lazy.get());
  EXPECT_TRUE(lazy->Report().done);
  EXPECT_GT(lazy->Report().records_without_room, 0);
  for (int i = 0; i < 110; ++i) {
    EXPECT_TRUE(lazy->Get("own", absl::StrCat("blob", i)).has_value()) << i;
  }
}

TEST_P(LazyRestoreTest, InTheBackground) {
  const auto cache = Filled(200);
  Backup(cache.get(), {"/a"});
  const auto lazy = Open("/new", {"/a"});
  lazy->HydrateInBackground(
      {.bytes_per_second = int64_t{1} << 40, .slice_bytes = 10'000});
  ExpectHolds(lazy.get(), model);
  EXPECT_TRUE(lazy->WaitForBackground().ok());
  EXPECT_TRUE(lazy->Report().done);
  ExpectHolds(lazy.get(), model);
  // One that is stopped, and goes on.
  auto other = Open("/other", {"/a"});
  other->HydrateInBackground({.bytes_per_second = 1, .slice_bytes = 1000});
  ExpectHolds(other.get(), model);
  other.reset();
  other = Open("/other", {});
  HydrateAll(other.get());
  ExpectHolds(other.get(), model);
}

}  // namespace
}  // namespace larder::backup
