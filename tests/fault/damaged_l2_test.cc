// Damages every page of `meta` and every sector of `space`, of the journals and
// of `blobs`, and cuts every file: what cannot be opened says which file and
// why; what opens serves right bytes or a miss, brings nothing back that was
// invalidated, loses little, and goes on working. A repair makes all of it
// sound, and costs nothing that could still be read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/simulated_disk.h"
#include "cache/options.h"
#include "cache/repair.h"
#include "cache/verify.h"
#include "tests/support/content.h"

namespace larder::tests {
namespace {

using cache::BlobCache;
using ::testing::HasSubstr;

constexpr int64_t kNow = 1'700'000'000'000;
constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kSectorBytes = 512;
constexpr int kKeys = 420;
constexpr int kBlobsInALeafMax = 60;
constexpr char kDirectory[] = "/l2";

using Name = std::pair<std::string, std::string>;
using Image = std::map<std::string, std::string>;  // Bytes by file name.

std::string KeyName(int i) { return absl::StrCat("key/", 1000 + i); }

class DamagedL2Test : public ::testing::Test {
 protected:
  struct Outcome {
    bool opened = false;
    bool clean = false;     // Verify found nothing before it was opened.
    bool degraded = false;  // It refuses changes.
    int missing = 0;
    int64_t damaged_reads = 0;  // By gets.
  };

  void SetUp() override {
    Fill();
    image_ = Read();
    ASSERT_GT(image_.at("meta").size(), 30 * kPageBytes);
    ASSERT_GT(image_.at("blobs").size(), 600'000);
  }

  cache::BlobCacheOptions Options(cache::l2::SimulatedDisk* disk) {
    cache::BlobCacheOptions o;
    o.l2_path = kDirectory;
    o.l2_bytes_max = int64_t{64} << 20;
    o.l1_bytes_max = 1 << 20;
    o.l1_shards = 1;
    o.background_commits = false;
    o.clock = &clock_;
    o.file_system = disk;
    o.random_seed = 7;
    return o;
  }

  void Fill();
  Image Read();
  // Opens an L2 of these bytes and holds it against all that must be true.
  // Repairs another one, which must lose no more.
  Outcome Try(const Image& image);
  Outcome TryAsItIs(const Image& image);
  void TryRepaired(const Image& image, const Outcome& as_it_is);
  static void Write(const Image& image, cache::l2::SimulatedDisk* disk);
  bool JournalsAreIntact(const Image& image) const;
  void Use(BlobCache* cache, bool journals_intact, Outcome* outcome);

  cache::ManualClock clock_{kNow};
  cache::l2::SimulatedDisk disk_;
  Image image_;
  std::map<Name, std::string> alive_;
  std::set<Name> dead_;
  // Invalidated by what only the journal holds.
  std::set<Name> dead_by_journal_;
};

// Two levels of records, chains of one frame and of several, live tombstones
// of every kind in the system tree, and more of them in the journal.
void DamagedL2Test::Fill() {
  auto opened = BlobCache::Open(Options(&disk_));
  ASSERT_TRUE(opened.ok()) << opened.status();
  BlobCache* cache = opened->get();
  const auto put = [&](const std::string& ns, int i, uint64_t content,
                       const cache::PutOptions& options) {
    const std::string bytes = ContentOf(content, 3000);
    ASSERT_TRUE(cache->Put(ns, KeyName(i), bytes, options).ok());
    alive_[{ns, KeyName(i)}] = bytes;
  };
  const auto kill = [&](const std::string& ns, int i, std::set<Name>* to) {
    to->insert({ns, KeyName(i)});
    alive_.erase({ns, KeyName(i)});
  };
  for (int i = 0; i < kKeys; ++i) {
    cache::PutOptions options;
    if (i % 60 == 0) options.tags = {"committed"};
    if (i % 60 == 1) options.dependencies = {"committed"};
    if (i % 60 == 2) options.tags = {"journal"};
    const uint64_t content = i == 5 || i == 6
                                 ? IncompressibleContent(300'000, i)
                                 : static_cast<uint64_t>(i) + 1;
    put("ns", i, content, options);
    if (i % 40 == 3) put("flushed", i, content + 10'000, {});
  }
  ASSERT_TRUE(cache->Flush().ok());
  const std::string committed = "committed", journal = "journal";
  ASSERT_TRUE(cache->InvalidateTags("ns", {committed}).ok());
  ASSERT_TRUE(cache->InvalidateDependencies("ns", {committed}).ok());
  ASSERT_TRUE(cache->InvalidatePrefix("ns", "key/107").ok());
  ASSERT_TRUE(cache->FlushNamespace("flushed").ok());
  ASSERT_TRUE(cache->InvalidateKey("ns", KeyName(99)).ok());
  ASSERT_TRUE(cache->Flush().ok());
  for (int i = 0; i < kKeys; ++i) {
    if (i % 60 < 2 || i / 10 == 7 || i == 99) kill("ns", i, &dead_);
    if (i % 40 == 3) kill("flushed", i, &dead_);
    if (i % 60 == 2 && i / 10 != 7) kill("ns", i, &dead_by_journal_);
  }
  ASSERT_TRUE(cache->InvalidateTags("ns", {journal}).ok());
  ASSERT_TRUE(cache->InvalidateKey("ns", KeyName(150)).ok());
  kill("ns", 150, &dead_by_journal_);
  disk_.KillProcess();
}

Image DamagedL2Test::Read() {
  Image image;
  const auto names = disk_.List(kDirectory);
  EXPECT_TRUE(names.ok()) << names.status();
  for (const std::string& name : *names) {
    auto file = disk_.Open(absl::StrCat(kDirectory, "/", name), {});
    EXPECT_TRUE(file.ok()) << file.status();
    std::string bytes((*file)->Size(), '\0');
    EXPECT_TRUE((*file)->ReadAt(0, absl::MakeSpan(bytes)).ok());
    image[name] = std::move(bytes);
  }
  return image;
}

// Whether an operator learns from it where to look.
void ExpectNamesTheFile(const absl::Status& status) {
  EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsFailedPrecondition(status) ||
              absl::IsNotFound(status))
      << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(":"));
  EXPECT_TRUE(absl::StrContains(status.message(), kDirectory) ||
              absl::StrContains(status.message(), "meta") ||
              absl::StrContains(status.message(), "system tree"))
      << status;
}

void DamagedL2Test::Write(const Image& image, cache::l2::SimulatedDisk* disk) {
  EXPECT_TRUE(disk->CreateDirectories(kDirectory).ok());
  for (const auto& [name, bytes] : image) {
    auto file =
        disk->Open(absl::StrCat(kDirectory, "/", name), {.create = true});
    EXPECT_TRUE((*file)->Resize(bytes.size()).ok());
    EXPECT_TRUE(bytes.empty() || (*file)->WriteAt(0, bytes).ok());
  }
}

bool DamagedL2Test::JournalsAreIntact(const Image& image) const {
  const auto is_intact = [&](const std::string& name) {
    return image.contains(name) && image.at(name) == image_.at(name);
  };
  return is_intact("journal-0") && is_intact("journal-1");
}

DamagedL2Test::Outcome DamagedL2Test::Try(const Image& image) {
  const Outcome outcome = TryAsItIs(image);
  TryRepaired(image, outcome);
  return outcome;
}

void DamagedL2Test::TryRepaired(const Image& image, const Outcome& as_it_is) {
  cache::l2::SimulatedDisk disk;
  Write(image, &disk);
  const auto report = cache::RepairL2(Options(&disk));
  if (!report.ok()) {
    // There is no way in.
    EXPECT_FALSE(as_it_is.opened) << report.status();
    ExpectNamesTheFile(report.status());
    return;
  }
  EXPECT_TRUE(report->after.clean());
  EXPECT_EQ(report->after.orphaned_bytes, 0);
  EXPECT_TRUE(!as_it_is.clean || report->dropped_records == 0);
  auto opened = BlobCache::Open(Options(&disk));
  ASSERT_TRUE(opened.ok()) << opened.status();
  Outcome repaired;
  repaired.clean = true;
  Use(opened->get(), JournalsAreIntact(image), &repaired);
  EXPECT_TRUE(!as_it_is.opened || repaired.missing <= as_it_is.missing)
      << repaired.missing << " vs " << as_it_is.missing;
  EXPECT_LE(repaired.missing, report->dropped_records);
  EXPECT_EQ(repaired.damaged_reads, 0);
  EXPECT_FALSE(repaired.degraded);
  opened->reset();
  const auto after = cache::VerifyL2(Options(&disk));
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_TRUE(after->clean());
}

DamagedL2Test::Outcome DamagedL2Test::TryAsItIs(const Image& image) {
  Outcome outcome;
  cache::l2::SimulatedDisk disk;
  Write(image, &disk);
  const auto report = cache::VerifyL2(Options(&disk));
  if (report.ok()) {
    outcome.clean = report->clean();
    for (const std::string& line : report->damaged) {
      EXPECT_THAT(line, HasSubstr(kDirectory));
    }
  } else {
    ExpectNamesTheFile(report.status());
  }
  auto opened = BlobCache::Open(Options(&disk));
  outcome.opened = opened.ok();
  if (!opened.ok()) {
    EXPECT_FALSE(outcome.clean) << opened.status();
    ExpectNamesTheFile(opened.status());
    return outcome;
  }
  Use(opened->get(), JournalsAreIntact(image), &outcome);
  EXPECT_TRUE(!outcome.clean || outcome.missing == 0);
  // A miss that damage made is counted; the missing keys of one page are one
  // or more reads of it.
  EXPECT_TRUE(outcome.missing == 0 || outcome.damaged_reads > 0);
  opened->reset();
  // Nothing about it may stop the next one from telling what is wrong.
  const auto after = cache::VerifyL2(Options(&disk));
  EXPECT_TRUE(after.ok()) << after.status();
  if (!after.ok()) return outcome;
  EXPECT_TRUE(after->clean() || !outcome.clean);
  return outcome;
}

void DamagedL2Test::Use(BlobCache* cache, bool journals_intact,
                        Outcome* outcome) {
  for (const auto& [name, bytes] : alive_) {
    const auto hit = cache->Get(name.first, name.second);
    if (!hit.has_value()) {
      ++outcome->missing;
    } else {
      EXPECT_TRUE(hit->bytes() == bytes) << name.first << "/" << name.second;
    }
  }
  std::set<Name> dead = dead_;
  if (journals_intact)
    dead.insert(dead_by_journal_.begin(), dead_by_journal_.end());
  for (const Name& name : dead) {
    EXPECT_FALSE(cache->Get(name.first, name.second).has_value())
        << name.first << "/" << name.second << " came back";
  }
  outcome->damaged_reads = cache->Stats().l2.damaged_reads;
  const auto swept = cache->SweepTombstonedSlice({});
  const auto orphans = cache->ReclaimOrphansSlice({});
  const auto put = cache->Put("ns", "new", "bytes", {});
  const absl::Status flushed = cache->Flush();
  outcome->degraded = !cache->Stats().l2.degraded.empty();
  for (const absl::Status& s :
       {swept.status(), orphans.status(), put.status(), flushed}) {
    EXPECT_TRUE(s.ok() || absl::IsDataLoss(s) || absl::IsUnavailable(s)) << s;
    EXPECT_TRUE(s.ok() || !outcome->clean) << s;
  }
  EXPECT_EQ(flushed.ok(), !outcome->degraded) << flushed;
  if (put.ok()) {
    const auto hit = cache->Get("ns", "new");
    EXPECT_TRUE(hit.has_value() && hit->bytes() == "bytes");
  }
}

TEST_F(DamagedL2Test, AnIntactCopyHoldsEverything) {
  const Outcome o = Try(image_);
  EXPECT_TRUE(o.opened && o.clean && !o.degraded);
  EXPECT_EQ(o.missing, 0);
  for (const Name& name : dead_by_journal_) {
    EXPECT_FALSE(dead_.contains(name));
  }
  EXPECT_GE(dead_by_journal_.size(), 5);
}

TEST_F(DamagedL2Test, EveryPageOfMeta) {
  const uint64_t pages = image_.at("meta").size() / kPageBytes;
  int noticed = 0, refused = 0, lossless = 0, degraded = 0, mostly_lost = 0;
  int missing_most = 0;
  for (uint64_t page = 0; page < pages; ++page) {
    for (const uint64_t offset : {0, 21, 1500}) {
      SCOPED_TRACE(absl::StrCat("page ", page, " offset ", offset));
      Image image = image_;
      image["meta"][page * kPageBytes + offset] ^= 0x10;
      const Outcome o = Try(image);
      if (HasFailure()) return;
      noticed += !o.clean;
      refused += !o.opened;
      degraded += o.degraded;
      if (!o.opened) continue;
      lossless += !o.clean && o.missing == 0;
      if (o.missing > kBlobsInALeafMax) {
        ++mostly_lost;
      } else {
        missing_most = std::max(missing_most, o.missing);
      }
    }
  }
  std::printf(
      "%llu pages: of 3 damages each, %d noticed, %d refused, "
      "%d lossless, %d degraded, %d losing most, all others at most %d of "
      "%zu blobs\n",
      static_cast<unsigned long long>(pages), noticed, refused, lossless,
      degraded, mostly_lost, missing_most, alive_.size());
  EXPECT_GT(noticed, 30);
  EXPECT_GT(lossless, 5);
  // One page of namespaces and tombstones; one root of records.
  EXPECT_LE(refused, 3);
  EXPECT_LE(mostly_lost, 3);
}

// A page that is another one, or none: what a misdirected or a lost write
// leaves.
TEST_F(DamagedL2Test, SwappedAndEmptyPagesOfMeta) {
  const uint64_t pages = image_.at("meta").size() / kPageBytes;
  int noticed = 0;
  for (uint64_t page = 0; page < pages; ++page) {
    SCOPED_TRACE(absl::StrCat("page ", page));
    Image image = image_;
    std::string& meta = image["meta"];
    std::fill_n(meta.begin() + static_cast<ptrdiff_t>(page * kPageBytes),
                kPageBytes, '\0');
    noticed += !Try(image).clean;
    meta = image_["meta"];
    const uint64_t other =
        page < 4 ? page ^ 2 : 4 + (page - 4 + 3) % (pages - 4);
    std::copy_n(
        image_["meta"].begin() + static_cast<ptrdiff_t>(other * kPageBytes),
        kPageBytes, meta.begin() + static_cast<ptrdiff_t>(page * kPageBytes));
    noticed += !Try(image).clean;
    if (HasFailure()) return;
  }
  EXPECT_GT(noticed, 20);
}

// Space may be called used that is not, or free that is not: the first is an
// orphan, the second is noticed by verify. No blob depends on it.
TEST_F(DamagedL2Test, EverySectorOfSpace) {
  const uint64_t bytes = image_.at("space").size();
  for (uint64_t sector = 0; sector < bytes; sector += kSectorBytes) {
    for (const uint64_t offset : {0, 9, 100, 511}) {
      if (sector + offset >= bytes) continue;
      SCOPED_TRACE(absl::StrCat("space ", sector + offset));
      Image image = image_;
      image["space"][sector + offset] ^= 1;
      const Outcome o = Try(image);
      EXPECT_TRUE(o.opened);
      EXPECT_EQ(o.missing, 0);
      if (HasFailure()) return;
    }
  }
}

TEST_F(DamagedL2Test, EverySectorOfBlobs) {
  const uint64_t bytes = image_.at("blobs").size();
  int noticed = 0;
  for (uint64_t at = 77; at < bytes; at += 13 * kSectorBytes) {
    SCOPED_TRACE(absl::StrCat("blobs ", at));
    Image image = image_;
    image["blobs"][at] ^= 0x40;
    const Outcome o = Try(image);
    EXPECT_TRUE(o.opened);
    EXPECT_FALSE(o.degraded);
    EXPECT_LE(o.missing, 1);
    noticed += o.missing;
    if (HasFailure()) return;
  }
  EXPECT_GT(noticed, 30);
}

// A journal holds what no commit holds yet: a damaged entry is lost, as if
// the power had gone before it was synced, and nothing else is.
TEST_F(DamagedL2Test, EveryByteOfTheJournals) {
  for (const std::string name : {"journal-0", "journal-1"}) {
    const uint64_t bytes = std::min<uint64_t>(image_.at(name).size(), 320);
    for (uint64_t at = 0; at < bytes; at += 5) {
      SCOPED_TRACE(absl::StrCat(name, " ", at));
      Image image = image_;
      image[name][at] ^= 4;
      const Outcome o = Try(image);
      EXPECT_TRUE(o.opened && !o.degraded);
      EXPECT_EQ(o.missing, 0);
      if (HasFailure()) return;
    }
  }
}

TEST_F(DamagedL2Test, EveryFileCutShort) {
  for (const auto& [name, whole] : image_) {
    const uint64_t step = std::max<uint64_t>(whole.size() / 25, 1);
    for (uint64_t size = 0; size < whole.size(); size += step) {
      // Also in the middle of a page.
      for (const uint64_t cut : {size, size - size % kPageBytes + 100}) {
        if (cut >= whole.size()) continue;
        SCOPED_TRACE(absl::StrCat(name, " cut to ", cut));
        Image image = image_;
        image[name].resize(cut);
        const Outcome o = Try(image);
        EXPECT_TRUE(o.opened || name == "meta");
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(DamagedL2Test, VerifyNamesASectorThatCannotBeRead) {
  using Disk = cache::l2::SimulatedDisk;
  disk_.SetFaultScript([](const Disk::Operation& now) {
    return now.kind == Disk::OperationKind::kRead && now.path == "/l2/meta" &&
                   now.offset + now.length > 30 * kPageBytes
               ? Disk::Fault::Fail(EIO)
               : Disk::Fault();
  });
  const absl::Status status = cache::VerifyL2(Options(&disk_)).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("/l2/meta: read"));
}

TEST_F(DamagedL2Test, EveryFileMissing) {
  for (const auto& [name, whole] : image_) {
    SCOPED_TRACE(name);
    Image image = image_;
    image.erase(name);
    const Outcome o = Try(image);
    // Without `meta` there is nothing to be had, and nothing is made anew over
    // what somebody may still put right.
    EXPECT_EQ(o.opened, name != "meta");
    EXPECT_TRUE(name == "meta" || name == "blobs" || o.missing == 0);
  }
}

}  // namespace
}  // namespace larder::tests
