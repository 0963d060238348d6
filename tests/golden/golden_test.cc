// What a released version wrote is restored, verified and listed by this one,
// to the last attribute. Run on the sets that are kept, and on one that is made
// now: so the generator cannot rot.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "backup/archive.h"
#include "backup/lazy_restore.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/options.h"
#include "cache/verify.h"
#include "gtest/gtest.h"
#include "replication/live_replica_test_support.h"
#include "tests/golden/describe.h"
#include "tests/golden/golden_files.h"
#include "tests/golden/golden_set.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using backup::Archive;
using backup::Outcome;
using cache::BlobCache;

constexpr char kMadeNow[] = "now";

// What DescribeCache() and DescribeFiles() say; written down here, so that what
// wrote a set has no say in what is expected of it.
constexpr char kImages[] = R"(
images/frames 2500000 48fd436ee53c71a5 at=0.8 tags=large frames=zzzzzzzzzz
images/raw 3000 d7a2ae5e38d5c878 at=0.9 frames=p
images/zstd 20000 6e1afa0763659023 at=0.7 frames=z)";
constexpr char kPlain[] = R"(
pages/plain 5 9555e8555c62dcfd at=0.1 frames=p)";
constexpr char kPages[] = R"(
pages/all 18 15911dcbfb0b4507 at=0.6 version=7 priority=72 l1=2 )"
                          R"(expires=86400000 tags=product:42,red )"
                          R"(dependencies=template )"
                          R"(metadata=type:text/html,etag:x frames=p
pages/empty 0 2d06800538d394c2 at=0.2
pages/idle 10 62033fcddce91a76 at=0.5 idle=600000 frames=p
pages/k\x00\xff 18 eb8378782ede1894 at=0.3 frames=p
pages/ttl 7 06e631ac8e0fa428 at=0.4 expires=3600000 stale=60000 frames=p)";
constexpr char kNotFlushed[] = R"(
namespace images 0
namespace pages 0)";
// Of chain and primary, whose invalidations came a second later.
constexpr char kInvalidations[] = R"(
namespace flushed 2 flushed=1000.13
namespace pages 0
tombstone 2 pages 2d9b3ae147fedc03 at=1000.9
tombstone 3 pages c3a3452503eacf99 at=1000.10
tombstone 4 pages 6469722f at=1000.8)";
constexpr char kAfterInvalidations[] = R"(
flushed/tagged 12 a969b5466780320f at=1000.15 read=1000 tags=blue frames=p
pages/dir/b 12 a969b5466780320f at=1000.14 read=1000 frames=p)";
constexpr char kFiles[] = R"(
bin/run 0755 1600000000 10 359fa7ec4611bea0
etc/empty 0600 1600000000 0 2d06800538d394c2
etc/motd 0644 1600000000 6 99fc819aaba2462a
large 0640 1600000000 50000 a7e3c626dfeb958f)";

// Lines, in any order.
std::string Sorted(absl::string_view text) {
  std::vector<std::string> lines =
      absl::StrSplit(text, '\n', absl::SkipEmpty());
  absl::c_sort(lines);
  return absl::StrJoin(lines, "\n") + "\n";
}
template <typename... Parts>
std::string Sorted(const Parts&... parts) {
  return Sorted(absl::string_view(absl::StrCat(parts...)));
}

class GoldenTest : public testing::TestWithParam<const char*> {
 protected:
  GoldenTest()
      : directory_(absl::StrCat(testing::TempDir(), "/golden-", GetParam())),
        set_(absl::StrCat(kGoldenRoot, "/", GetParam())) {
    fs::remove_all(directory_);
    if (absl::string_view(GetParam()) != kMadeNow) return;
    set_ = directory_ + "/made";
    WriteGoldenSet(set_);
  }
  ~GoldenTest() override { fs::remove_all(directory_); }

  // Brings `name` of the set to At(name).
  void Import(const std::string& name) {
    ImportTree(set_ + "/" + name, cache::l2::PosixFileSystem(), At(name));
  }
  std::string At(const std::string& name) const {
    return directory_ + "/" + name;
  }
  cache::BlobCacheOptions CacheOptions(const std::string& name) {
    auto options = replication::LiveCacheOptions(
        &clock_, cache::l2::PosixFileSystem(), /*random_seed=*/1);
    options.l2_path = At(name);
    return options;
  }
  Archive Open(const std::string& name) {
    auto archive = Archive::Open(At(name), cache::l2::PosixFileSystem());
    EXPECT_TRUE(archive.ok()) << archive.status();
    return *std::move(archive);
  }
  // A line for each snapshot: ordinal, ID, deltas, sources.
  std::string List(const std::string& name) {
    const auto listed = Open(name).List();
    EXPECT_TRUE(listed.ok()) << listed.status();
    std::string lines;
    for (const backup::SnapshotEntry& entry : *listed) {
      EXPECT_TRUE(entry.complete) << entry.incomplete_reason;
      absl::StrAppend(&lines, entry.manifest.ordinal(), " ", entry.id, " +",
                      entry.deltas,
                      entry.manifest.references_size() > 0 ? " folded" : "");
      for (const auto& source : entry.manifest.header().sources()) {
        absl::StrAppend(&lines, " ", source.name());
      }
      lines += "\n";
    }
    return lines;
  }
  void ExpectVerified(const std::string& name) {
    const auto report = backup::VerifyArchive(Open(name), {});
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_TRUE(report->status.ok()) << report->status;
    EXPECT_EQ(report->leftover_files, 0);
  }
  // What the cache of snapshot `id` (empty: the newest) holds once restored.
  std::string RestoreCache(const std::string& name, const std::string& id) {
    backup::RestoreOptions options;
    options.snapshot_id = id;
    options.cache = CacheOptions(absl::StrCat("restored-", name, "-", id));
    const backup::RestoreReport report = Restore(Open(name), options);
    EXPECT_EQ(report.outcome, Outcome::kOk) << report.status;
    EXPECT_EQ(report.digest_equal, report.records_skipped == 0);
    return Describe(options.cache);
  }
  std::string RestoreFiles(const std::string& name, const std::string& source) {
    backup::RestoreOptions options;
    options.files_path = At(absl::StrCat("files-", name, "-", source));
    options.files_source = source;
    const backup::RestoreReport report = Restore(Open(name), options);
    EXPECT_EQ(report.outcome, Outcome::kOk) << report.status;
    return DescribeFiles(options.files_path);
  }
  std::string Describe(const cache::BlobCacheOptions& options) {
    auto opened = BlobCache::Open(options);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? DescribeCache(opened->get(), kGoldenUnixMillis) : "";
  }

  cache::ManualClock clock_{kGoldenUnixMillis + 60'000};
  const std::string directory_;
  std::string set_;
};

TEST_P(GoldenTest, AFullDump) {
  Import("full");
  EXPECT_EQ(List("full"), "1 20231114T221321Z-bb686f68 +0 cache\n");
  ExpectVerified("full");
  EXPECT_EQ(RestoreCache("full", ""), Sorted(kImages, kPlain, kPages, R"(
flushed/tagged 12 a969b5466780320f at=0.25 tags=blue frames=p
namespace flushed 2 flushed=0.23
namespace images 0
namespace pages 0
pages/dir/b 12 a969b5466780320f at=0.24 frames=p
tombstone 2 pages 2d9b3ae147fedc03 at=0.19
tombstone 3 pages c3a3452503eacf99 at=0.20
tombstone 4 pages 6469722f at=0.18)"));
}

TEST_P(GoldenTest, AChainOfDeltas) {
  Import("chain");
  EXPECT_EQ(List("chain"), R"(1 20231114T221321Z-09818a4c +0 cache
2 20231114T221322Z-8c72fbab +1 cache
3 20231114T221323Z-ac5932c7 +2 cache
)");
  ExpectVerified("chain");
  EXPECT_EQ(RestoreCache("chain", ""),
            Sorted(kPages, kInvalidations, kAfterInvalidations, R"(
images/after 9 f2450b860ea8b77a at=2000.3 read=2000 frames=p
namespace images 1 flushed=2000.2
pages/plain 11 a847ccc4ab474a09 at=2000.0 read=2000 version=2 frames=p)"));
  // What was flushed later does not come back.
  constexpr char kFlushed[] = "\nnamespace images 1 flushed=2000.2";
  EXPECT_EQ(
      RestoreCache("chain", "20231114T221322Z-8c72fbab"),
      Sorted(kPlain, kPages, kInvalidations, kAfterInvalidations, kFlushed));
  EXPECT_EQ(RestoreCache("chain", "20231114T221321Z-09818a4c"),
            Sorted(kPlain, kPages, kInvalidations, kFlushed));
}

TEST_P(GoldenTest, AFoldedChain) {
  Import("folded");
  EXPECT_EQ(List("folded"), R"(1 20231114T221321Z-a4859eb6 +0 cache
2 20231114T221322Z-70a3bdc0 +1 cache
3 20231114T221323Z-eb66d9a7 +2 cache
4 20231114T221324Z-d3052599 +3 cache
5 20231114T221325Z-f56f2e57 +4 cache
6 20231114T221326Z-aaafc3b2 +5 cache
7 20231114T221327Z-278dc3f3 +6 cache
8 20231114T221328Z-7a9fb764 +7 cache
9 20231114T221329Z-1f95b40f +0 folded cache
10 20231114T221330Z-d922b047 +1 cache
)");
  ExpectVerified("folded");
  const std::string first = Sorted(kImages, kPlain, kPages, kNotFlushed, R"(
pages/step0 4 90b47d67ea8e9dda at=0.10 frames=p
pages/step1 4 80457d23f75ac0f3 at=1000.0 read=1000 frames=p
pages/step2 4 24951acf2b81ed28 at=2000.0 read=2000 frames=p)");
  EXPECT_EQ(RestoreCache("folded", "20231114T221323Z-eb66d9a7"),
            Sorted(first, R"(
pages/changing 4 b3f8961287dfca4f at=2000.1 read=2000 frames=p)"));
  const std::string folded = Sorted(first, R"(
pages/step3 4 c1c22b9d04487d2a at=3000.0 read=3000 frames=p
pages/step4 4 4401d176299b66c3 at=4000.0 read=4000 frames=p
pages/step5 4 9c3f5ad3e5936580 at=5000.0 read=5000 frames=p
pages/step6 4 3c5ec5a5636061be at=6000.0 read=6000 frames=p
pages/step7 4 83a13b0e095fe28f at=7000.0 read=7000 frames=p
pages/step8 4 01c4c1a13fda6832 at=8000.0 read=8000 frames=p)");
  EXPECT_EQ(RestoreCache("folded", "20231114T221329Z-1f95b40f"),
            Sorted(folded, R"(
pages/changing 4 973fe68b0410af0e at=8000.1 read=8000 frames=p)"));
  EXPECT_EQ(RestoreCache("folded", ""), Sorted(folded, R"(
pages/changing 4 83773aec0d1ec835 at=9000.1 read=9000 frames=p
pages/step9 4 0d159c14c6f3111c at=9000.0 read=9000 frames=p)"));
}

TEST_P(GoldenTest, Directories) {
  Import("files");
  EXPECT_EQ(List("files"), "1 20231114T221321Z-ae1cd29c +0 files logs\n");
  ExpectVerified("files");
  EXPECT_EQ(RestoreFiles("files", "files"), Sorted(kFiles));
  EXPECT_EQ(RestoreFiles("files", "logs"),
            "today 0600 1600000000 2000 3dc1b8680662d26c\n");
}

TEST_P(GoldenTest, ACacheAndADirectory) {
  Import("both");
  EXPECT_EQ(List("both"), "1 20231114T221321Z-77b83131 +0 cache files\n");
  ExpectVerified("both");
  EXPECT_EQ(RestoreCache("both", ""),
            Sorted(kImages, kPlain, kPages, kNotFlushed));
  EXPECT_EQ(RestoreFiles("both", ""), Sorted(kFiles));
}

TEST_P(GoldenTest, APrimarysL2) {
  Import("primary");
  const auto options = CacheOptions("primary/l2");
  const auto verified = cache::VerifyL2(options);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_TRUE(verified->clean());
  EXPECT_EQ(Describe(options),
            Sorted(kPlain, kPages, kInvalidations, kAfterInvalidations, R"(
namespace images 1 flushed=3000.0
pages/late 10 c3ed9aa80312cee7 at=2000.0 read=2000 frames=p)"));
}

TEST_P(GoldenTest, ALazyRestoreGoesOn) {
  Import("chain");
  Import("hydrating");
  {
    const auto lazy = backup::LazyRestore::Open(
        {.archives = {At("chain")}, .cache = CacheOptions("hydrating/l2")});
    ASSERT_TRUE(lazy.ok()) << lazy.status();
    EXPECT_TRUE((*lazy)->Report().resumed);
    EXPECT_GT((*lazy)->Report().records_added, 0);
    const auto plain = (*lazy)->Get("pages", "plain");
    EXPECT_TRUE(plain.has_value() && plain->bytes() == "hello again");
    for (bool done = false; !done;) {
      const auto step = (*lazy)->Hydrate(1 << 20);
      ASSERT_TRUE(step.ok()) << step.status();
      done = *step;
    }
  }
  // As restored, but for what was done meanwhile.
  constexpr char kDeleted[] = R"(
pages/idle 10 62033fcddce91a76 at=0.5 idle=600000 frames=p)";
  EXPECT_EQ(Describe(CacheOptions("hydrating/l2")),
            Sorted(absl::StrReplaceAll(kPages, {{kDeleted, ""}}),
                   kInvalidations, kAfterInvalidations, R"(
images/after 9 f2450b860ea8b77a at=2000.3 read=2000 frames=p
namespace images 1 flushed=2000.2
pages/new 13 c43c483636018898 at=3000.1 read=3000 frames=p
pages/plain 11 a847ccc4ab474a09 at=2000.0 read=2000 version=2 frames=p)"));
}

TEST_P(GoldenTest, ALiveReplicaServesItsSnapshotAndFollowsItsPrimary) {
  replication::LiveReplica replica(&clock_);
  ImportTree(set_ + "/live", &replica.disk, "/data");
  ASSERT_TRUE(replica.Start().ok());
  EXPECT_EQ(replica.terms->highest(), 5);
  // The dump that was on its way is kept for who has its token.
  replication::StatusReply status;
  ASSERT_TRUE(replica.service->GetStatus(&status).ok());
  EXPECT_EQ(status.transfers_kept(), 1);
  cache::l2::SimulatedDisk disk;
  ImportTree(set_ + "/primary", &disk, "/data");
  replication::LivePrimary primary(&clock_, &disk);
  EXPECT_NE(replica.digest(), primary.digest());
  const auto plain = replica.Read("pages", "plain");
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ((*plain)->bytes(), "hello");
  EXPECT_TRUE(replica.Read("images", "raw").ok());
  EXPECT_FALSE(replica.Read("pages", "late").ok());
  const backup::BackupReport report = primary.Backup({&replica}, 5);
  ASSERT_EQ(report.outcome, Outcome::kOk) << report.sinks[0].status;
  EXPECT_NE(report.sinks[0].base_snapshot_id, "");  // A delta.
  EXPECT_EQ(replica.digest(), primary.digest());
  EXPECT_TRUE(replica.Read("pages", "late").ok());
  EXPECT_FALSE(replica.Read("images", "raw").ok());  // Flushed since.
}

INSTANTIATE_TEST_SUITE_P(Sets, GoldenTest, testing::Values("0.1.0", kMadeNow));

}  // namespace
}  // namespace larder::tests
