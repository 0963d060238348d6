// What a loaded L2 knows of invalidations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/namespace_table.h"
#include "cache/options.h"
#include "cache/snapshot.h"
#include "cache/tombstone.h"

namespace larder::cache {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kLive = Namespace::kTombstonesMax;
constexpr int64_t kStart = 1'700'000'000'000;
constexpr Hlc kOld{1000};

class L2LoaderTest : public ::testing::Test {
 protected:
  BlobCacheOptions Options(const std::string& path) {
    BlobCacheOptions o;
    o.l2_path = path;
    o.l2_bytes_max = l2_bytes_max_;
    o.l1_bytes_max = 1 << 20;
    o.l1_shards = 1;
    o.background_commits = false;
    o.clock = &clock_;
    o.file_system = &disk_;
    o.random_seed = 7;
    return o;
  }
  std::unique_ptr<BlobCache> Open(const std::string& path) {
    auto opened = BlobCache::Open(Options(path));
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  // A blob in what is loaded.
  void Put(const std::string& key, PutOptions options) {
    if (source_ == nullptr) source_ = Open("/source");
    ASSERT_TRUE(source_->Put("ns", key, "bytes", options).ok());
  }
  // Loads what was put, with these invalidations beside it.
  void Load(std::vector<NamespaceState> namespaces,
            std::vector<Tombstone> tombstones) {
    if (source_ == nullptr) source_ = Open("/source");
    const auto snapshot = source_->TakeSnapshot({.owner = "test"});
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    SnapshotInfo info = (*snapshot)->info();
    info.namespaces = std::move(namespaces);
    info.tombstones = std::move(tombstones);
    auto loader = CreateL2Loader(Options("/loaded"), info);
    ASSERT_TRUE(loader.ok()) << loader.status();
    Snapshot::Position position;
    std::vector<StoredRecord> records;
    std::vector<std::string> damage;
    while (!position.at_end) {
      ASSERT_TRUE((*snapshot)->Read(100, &position, &records, &damage).ok());
    }
    for (const StoredRecord& record : records) {
      ASSERT_TRUE((*loader)->Begin(record).ok());
      for (size_t i = 0; i < record.frames.size(); ++i) {
        std::string frame;
        ASSERT_TRUE((*snapshot)->ReadFrame(record, i, &frame).ok());
        ASSERT_TRUE((*loader)->AppendFrame(frame).ok());
      }
      ASSERT_TRUE((*loader)->Finish().ok());
    }
    const auto closed = (*loader)->Close();
    ASSERT_TRUE(closed.ok()) << closed.status();
    loader->reset();  // It holds the L2.
    loaded_ = Open("/loaded");
    ASSERT_NE(loaded_, nullptr);
  }
  bool Has(const std::string& key) {
    return loaded_->Get("ns", key).has_value();
  }
  SnapshotInfo Info() {
    const auto snapshot = loaded_->TakeSnapshot({.owner = "test"});
    EXPECT_TRUE(snapshot.ok()) << snapshot.status();
    return (*snapshot)->info();
  }
  // What an invalidation right now says.
  Hlc Now() const { return Hlc::FromUnixMillis(clock_.NowUnixMillis() + 1); }
  Tombstone OfTag(absl::string_view tag, Hlc hlc) const {
    const uint64_t hash = TagHash(tag);
    return {TombstoneKind::kTag, "ns",
            std::string(reinterpret_cast<const char*>(&hash), sizeof(hash)),
            hlc};
  }
  Tombstone OfPrefix(const std::string& prefix, Hlc hlc) const {
    return {TombstoneKind::kPrefix, "ns", prefix, hlc};
  }

  int64_t l2_bytes_max_ = int64_t{256} << 20;
  ManualClock clock_{kStart};
  l2::SimulatedDisk disk_;
  std::unique_ptr<BlobCache> source_, loaded_;
};

// Its record knows of no read before the idle TTL is over.
TEST_F(L2LoaderTest, AnIdleTtlRunsFromTheLastRead) {
  constexpr int64_t kIdleMs = 60'000;
  Put("read", {.idle_ttl_ms = kIdleMs});
  Put("unread", {.idle_ttl_ms = kIdleMs});
  clock_.AdvanceMillis(kIdleMs - 1);
  ASSERT_TRUE(source_->Get("ns", "read").has_value());
  Load({{"ns", 0, Hlc(), Hlc()}}, {});
  clock_.AdvanceMillis(kIdleMs - 1);
  EXPECT_TRUE(Has("read"));
  EXPECT_FALSE(Has("unread"));
}

TEST_F(L2LoaderTest, WhatIsForgottenIsKeptThoughNothingElseIs) {
  Load({{"ns", 0, Hlc(), kOld}}, {});
  const SnapshotInfo info = Info();
  ASSERT_THAT(info.namespaces, SizeIs(1));
  EXPECT_EQ(info.namespaces[0].name, "ns");
  EXPECT_EQ(info.namespaces[0].forgotten_through, kOld);
}

// A dump tells more tombstones than may be live, since most cover nothing.
TEST_F(L2LoaderTest, OnlyTombstonesThatCoverSomethingAreLive) {
  Put("tagged", {.tags = {"red"}});
  Put("prefix/1", {});
  Put("dependent", {.dependencies = {"red"}});  // Not the tag of that name.
  Put("free", {.tags = {"green"}});
  std::vector<Tombstone> tombstones = {
      OfTag("red", Now()), OfTag("green", kOld), OfPrefix("prefix/", Now())};
  for (int64_t i = 0; i < kLive; ++i) {
    tombstones.push_back(OfTag(absl::StrCat("other", i), kOld));
  }
  Load({}, tombstones);
  EXPECT_EQ(loaded_->Stats().l2.tombstones, 2);
  EXPECT_FALSE(Has("tagged"));
  EXPECT_FALSE(Has("prefix/1"));
  EXPECT_TRUE(Has("dependent"));
  EXPECT_TRUE(Has("free"));
  // The others are told, as long as the store keeps them, or forgotten.
  const SnapshotInfo info = Info();
  EXPECT_GT(info.tombstones.size(), 10'000);
  EXPECT_LE(info.tombstones.size(), kLive / 2 + 2);
  ASSERT_THAT(info.namespaces, SizeIs(1));
  EXPECT_EQ(info.namespaces[0].forgotten_through, kOld);
  // There is room for new ones; and what comes later is newer than all.
  ASSERT_TRUE(loaded_->InvalidateTags("ns", {"green"}).ok());
  EXPECT_FALSE(Has("free"));
  clock_.AdvanceMillis(10);
  for (const char* key : {"tagged", "prefix/1"}) {
    ASSERT_TRUE(loaded_->Put("ns", key, "new", {.tags = {"red"}}).ok());
    EXPECT_TRUE(Has(key));
  }
}

TEST_F(L2LoaderTest, WhereTooManyCoverSomethingTheOldestBecomeAFlush) {
  constexpr int kTagsEach = 32;
  constexpr int kRecords = kLive / kTagsEach;
  const auto tag = [](int record, int i) {
    return absl::StrCat(record, ".", i);
  };
  for (int r = 0; r <= kRecords; ++r) {
    PutOptions options;
    for (int i = 0; i < kTagsEach; ++i) options.tags.push_back(tag(r, i));
    Put(absl::StrCat("key", r), options);
    clock_.AdvanceMillis(2);
  }
  Put("later", {});
  std::vector<Tombstone> tombstones;
  for (int r = 0; r <= kRecords; ++r) {
    for (int i = 0; i < kTagsEach; ++i) {
      // The oldest: those of the first record, from right after it.
      tombstones.push_back(OfTag(
          tag(r, i), Hlc::FromUnixMillis(kStart + (r == 0 ? 1 : 100'000))));
    }
  }
  Load({}, tombstones);
  EXPECT_EQ(loaded_->Stats().l2.tombstones, kLive);
  for (int r = 0; r <= kRecords; ++r) {
    ASSERT_FALSE(Has(absl::StrCat("key", r))) << r;
  }
  EXPECT_TRUE(Has("later"));
  EXPECT_FALSE(loaded_->InvalidateTags("ns", {"one more"}).ok());
}

}  // namespace
}  // namespace larder::cache
