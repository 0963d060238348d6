#include "cache/repair_fixture.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cache/l2/btree.h"
#include "cache/l2/repair_survey.h"
#include "cache/repair.h"
#include "cache/verify.h"

namespace larder::cache {

using l2::kPageBytes;
using l2::SimulatedDisk;
using ::testing::ElementsAre;

std::string RepairTest::KeyName(int i) {
  return absl::StrFormat("key/%04d", i);
}

std::string RepairTest::ContentOf(int i) {
  const size_t bytes = i == 7 ? 600'000 : i % 3 == 0 ? 100 : 1'500;
  std::string content = absl::StrCat(i, ":");
  // What does not compress.
  uint64_t state = static_cast<uint64_t>(i) * 2654435761 + 1;
  while (content.size() < bytes) {
    state = state * 6364136223846793005 + 1442695040888963407;
    content.push_back(static_cast<char>(state >> 56));
  }
  return content;
}

BlobCacheOptions RepairTest::Options(SimulatedDisk* disk) {
  BlobCacheOptions o;
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

void RepairTest::SetUp() {
  auto opened = BlobCache::Open(Options(&source_));
  ASSERT_TRUE(opened.ok()) << opened.status();
  cache_ = *std::move(opened);
  for (int i = 0; i < kKeys; ++i) Put("a", i);
  for (int i = 0; i < 20; ++i) Put("b", i);
  ASSERT_TRUE(cache_->Flush().ok());
}

void RepairTest::Put(const std::string& ns, int i, PutOptions options) {
  if (i % 50 == 0) options.tags = {"fifty"};
  if (i % 10 == 0) options.ttl_ms = 3'600'000;
  const std::string bytes = ContentOf(i);
  ASSERT_TRUE(cache_->Put(ns, KeyName(i), bytes, options).ok());
  alive_[{ns, KeyName(i)}] = bytes;
}

void RepairTest::Gone(const std::string& ns,
                      const std::function<bool(int)>& which) {
  for (int i = 0; i < kKeys; ++i) {
    if (which(i)) alive_.erase({ns, KeyName(i)});
  }
}

void RepairTest::Take() {
  source_.KillProcess();
  cache_.reset();
  image_ = ReadImage(&source_, kDirectory);
  whole_ = Dissect(image_);
}

void RepairTest::Scramble(uint64_t page) {
  std::string& meta = image_.at("meta");
  for (uint64_t i = 600; i < 900; ++i) meta[page * kPageBytes + i] ^= 0x5a;
}

void RepairTest::Repair() {
  disk_ = std::make_unique<SimulatedDisk>();
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, disk_.get(), kDirectory));
  const auto report = RepairL2(Options(disk_.get()));
  ASSERT_TRUE(report.ok()) << report.status();
  report_ = *report;
  EXPECT_THAT(report_.after.damaged, ElementsAre());
  EXPECT_TRUE(report_.after.clean());
  EXPECT_EQ(report_.after.orphaned_bytes, 0);
  const auto verified = VerifyL2(Options(disk_.get()));
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_TRUE(verified->clean());
  EXPECT_EQ(verified->orphaned_bytes, 0);
  CheckCache();
}

void RepairTest::CheckCache() {
  std::set<Name> dropped;
  for (const RepairReport::Dropped& d : report_.dropped) {
    dropped.insert({d.ns, d.key});
  }
  auto opened = BlobCache::Open(Options(disk_.get()));
  ASSERT_TRUE(opened.ok()) << opened.status();
  missing_.clear();
  for (const std::string ns : {"a", "b", "c"}) {
    for (int i = 0; i < kKeys; ++i) {
      const Name name(ns, KeyName(i));
      const auto hit = (*opened)->Get(ns, KeyName(i));
      const auto alive = alive_.find(name);
      if (hit.has_value()) {
        ASSERT_TRUE(alive != alive_.end()) << KeyName(i) << " came back";
        EXPECT_TRUE(hit->bytes() == alive->second);
        EXPECT_FALSE(dropped.contains(name));
      } else if (alive != alive_.end()) {
        missing_.insert(name);
        EXPECT_TRUE(dropped.contains(name) || report_.dropped_unnamed > 0 ||
                    NameIsLost())
            << name.second;
      }
    }
  }
  EXPECT_EQ((*opened)->Stats().l2.damaged_reads, 0);
  ASSERT_TRUE((*opened)->Put("c", "new", "bytes", {}).ok());
  ASSERT_TRUE((*opened)->SweepTombstonedSlice({}).ok());
  ASSERT_TRUE((*opened)->Flush().ok());
  EXPECT_EQ((*opened)->Stats().l2.degraded, "");
  generation_a_ = (*opened)->CurrentGeneration("a");
  opened->reset();
  const auto verified = VerifyL2(Options(disk_.get()));
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_TRUE(verified->clean());
}

bool RepairTest::NameIsLost() const {
  return std::any_of(report_.dropped.begin(), report_.dropped.end(),
                     [](const auto& d) { return d.ns.empty(); });
}

std::vector<RepairTest::Name> RepairTest::OnLeaf(uint64_t page) const {
  std::vector<Name> names;
  for (const auto& [key, blob] : whole_.blobs) {
    if (blob.path.back() == page) names.push_back(blob.name);
  }
  return names;
}

uint64_t RepairTest::SystemLeafOf(const std::string& key) const {
  for (const auto& [page, keys] : whole_.system_leaves) {
    if (keys.first <= key && key <= keys.second) return page;
  }
  ADD_FAILURE() << "no leaf has it";
  return 0;
}

void RepairTest::Forge(
    const std::function<void(l2::RepairPages*, l2::Superblock*)>& change) {
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  {
    auto meta = disk.Open(absl::StrCat(kDirectory, "/meta"),
                          {.size_bytes_max = 64 << 20});
    ASSERT_TRUE(meta.ok()) << meta.status();
    l2::RepairPages pages(meta->get(), 10'000);
    ASSERT_TRUE(l2::SurveyTrees(whole_.superblock, meta->get(), &pages).ok());
    l2::Superblock s = whole_.superblock;
    ++s.epoch;
    change(&pages, &s);
    s.meta_pages = (*meta)->Size() / kPageBytes;
    ASSERT_TRUE(l2::WriteSuperblock(s, meta->get()).ok());
  }
  image_ = ReadImage(&disk, kDirectory);
}

l2::ChildRef RepairTest::PutEntry(l2::RepairPages* pages,
                                  const l2::ChildRef& root, uint64_t epoch,
                                  absl::string_view key,
                                  absl::string_view value) {
  const std::vector<l2::TreeOp> ops = {{key, value}};
  const auto merged =
      l2::ApplyBatch(pages, pages, root, epoch, ops,
                     [](size_t, std::optional<absl::string_view>) {
                       return l2::Resolution::kPut;
                     });
  EXPECT_TRUE(merged.ok()) << merged.status();
  return *merged;
}

}  // namespace larder::cache
