// What each kind of damage costs, one at a time.
#include "cache/repair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/btree.h"
#include "cache/l2/hash.h"
#include "cache/l2/page.h"
#include "cache/l2/record.h"
#include "cache/l2/repair_pages.h"
#include "cache/l2/repair_survey.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2/superblock.h"
#include "cache/l2/synopsis.h"
#include "cache/l2/system_tree.h"
#include "cache/l2_image.h"
#include "cache/name_hash.h"
#include "cache/options.h"
#include "cache/repair_report.h"
#include "cache/verify.h"

namespace larder::cache {
namespace {

using l2::kPageBytes;
using l2::kUnitBytes;
using l2::SimulatedDisk;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr char kDirectory[] = "/l2";
constexpr int64_t kNow = 1'700'000'000'000;
constexpr uint64_t kSectorBytes = 512;
constexpr int kKeys = 260;

std::string KeyName(int i) { return absl::StrFormat("key/%04d", i); }

// Some sit in the leaf, some in chains, one in several frames.
std::string ContentOf(int i) {
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

class RepairTest : public ::testing::Test {
 protected:
  using Name = L2Anatomy::Name;

  BlobCacheOptions Options(SimulatedDisk* disk) {
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

  // Fills "a" and a little of "b", in one commit; "a" in a second one, too.
  void SetUp() override {
    auto opened = BlobCache::Open(Options(&source_));
    ASSERT_TRUE(opened.ok()) << opened.status();
    cache_ = *std::move(opened);
    for (int i = 0; i < kKeys; ++i) Put("a", i);
    for (int i = 0; i < 20; ++i) Put("b", i);
    ASSERT_TRUE(cache_->Flush().ok());
  }

  void Put(const std::string& ns, int i, PutOptions options = {}) {
    if (i % 50 == 0) options.tags = {"fifty"};
    if (i % 10 == 0) options.ttl_ms = 3'600'000;
    const std::string bytes = ContentOf(i);
    ASSERT_TRUE(cache_->Put(ns, KeyName(i), bytes, options).ok());
    alive_[{ns, KeyName(i)}] = bytes;
  }
  void Gone(const std::string& ns, const std::function<bool(int)>& which) {
    for (int i = 0; i < kKeys; ++i) {
      if (which(i)) alive_.erase({ns, KeyName(i)});
    }
  }

  // Ends the process, and takes what it left.
  void Take() {
    source_.KillProcess();
    cache_.reset();
    image_ = ReadImage(&source_, kDirectory);
    whole_ = Dissect(image_);
  }

  void Scramble(uint64_t page) {
    std::string& meta = image_.at("meta");
    for (uint64_t i = 600; i < 900; ++i) meta[page * kPageBytes + i] ^= 0x5a;
  }

  // Repairs the image on a disk of its own, and expects it to work.
  void Repair() {
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

  // Opens it: what is alive and not reported is there, nothing else is.
  void CheckCache() {
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
    negative_skips_ = (*opened)->Stats().l2.negative_skips;
    opened->reset();
    const auto verified = VerifyL2(Options(disk_.get()));
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_TRUE(verified->clean());
  }
  bool NameIsLost() const {
    return std::any_of(report_.dropped.begin(), report_.dropped.end(),
                       [](const auto& d) { return d.ns.empty(); });
  }
  int64_t Dropped(DropCause cause) const {
    return report_.dropped_by_cause[static_cast<size_t>(cause)];
  }
  std::vector<Name> OnLeaf(uint64_t page) const {
    std::vector<Name> names;
    for (const auto& [key, blob] : whole_.blobs) {
      if (blob.path.back() == page) names.push_back(blob.name);
    }
    return names;
  }
  // The leaf of the system tree in which `key` is.
  uint64_t SystemLeafOf(const std::string& key) const {
    for (const auto& [page, keys] : whole_.system_leaves) {
      if (keys.first <= key && key <= keys.second) return page;
    }
    ADD_FAILURE() << "no leaf has it";
    return 0;
  }

  // Changes the sound image through `change`, and commits that: what no damage
  // makes, but a bug might.
  void Forge(
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
  static l2::ChildRef PutEntry(l2::RepairPages* pages, const l2::ChildRef& root,
                               uint64_t epoch, absl::string_view key,
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

  ManualClock clock_{kNow};
  SimulatedDisk source_;
  std::unique_ptr<BlobCache> cache_;
  std::map<Name, std::string> alive_;
  L2Image image_;
  L2Anatomy whole_;

  std::unique_ptr<SimulatedDisk> disk_;
  RepairReport report_;
  std::set<Name> missing_;
  uint64_t generation_a_ = 0;
  int64_t negative_skips_ = 0;
};

// --- What costs nothing.

TEST_F(RepairTest, ASoundL2IsLeftAlone) {
  // Closed, so that it has no orphans; what follows is in the journal only.
  cache_.reset();
  cache_ = *BlobCache::Open(Options(&source_));
  ASSERT_TRUE(cache_->InvalidateKey("a", KeyName(3)).ok());
  Gone("a", [](int i) { return i == 3; });
  cache_->InvalidateTags("a", {"fifty"}).IgnoreError();
  Gone("a", [](int i) { return i % 50 == 0; });
  Take();
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  const auto report = RepairL2(Options(&disk));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->epoch, report->epoch_before);
  EXPECT_EQ(report->damages, 0);
  EXPECT_EQ(report->freed_bytes, 0);
  EXPECT_TRUE(report->after.clean());
  EXPECT_TRUE(ReadImage(&disk, kDirectory) == image_);
  Repair();  // The journal still holds what it held.
  EXPECT_THAT(missing_, ElementsAre());
}

TEST_F(RepairTest, OrphansAreFreedWithoutACommit) {
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(cache_
                    ->Put("a", absl::StrCat("orphan", i),
                          std::string(5'000, 'x') + ContentOf(1), {})
                    .ok());
  }
  Take();
  Repair();
  EXPECT_EQ(report_.epoch, report_.epoch_before);
  EXPECT_GT(report_.freed_bytes, 20 * 1'500);
  EXPECT_EQ(report_.dropped_records, 0);
  EXPECT_THAT(missing_, ElementsAre());
}

TEST_F(RepairTest, TheMapIsRebuiltFromWhatIsReached) {
  Take();
  std::string& space = image_.at("space");
  for (uint64_t at = 0; at + kSectorBytes <= space.size(); at += kSectorBytes) {
    if (at % 1024 == 0) {
      // Everything is free, it says.
      std::fill_n(space.begin() + static_cast<ptrdiff_t>(at) + 16,
                  kSectorBytes - 16, '\0');
      const uint64_t checksum =
          l2::Checksum64({space.data() + at + 8, kSectorBytes - 8});
      std::copy_n(reinterpret_cast<const char*>(&checksum), 8, &space[at]);
    } else {
      space[at + 100] ^= 1;  // This one is damaged.
    }
  }
  Repair();
  EXPECT_EQ(report_.epoch, report_.epoch_before);
  EXPECT_GT(report_.marked_bytes, 0);
  EXPECT_THAT(missing_, ElementsAre());
}

TEST_F(RepairTest, AShortenedOrMissingMapIsMadeAnew) {
  Take();
  image_.at("space").resize(700);
  Repair();
  EXPECT_THAT(missing_, ElementsAre());
  image_.erase("space");
  Repair();
  EXPECT_THAT(missing_, ElementsAre());
  EXPECT_EQ(report_.dropped_records, 0);
}

TEST_F(RepairTest, ASuperblockGetsItsTwinBack) {
  Take();
  for (uint64_t copy = 0; copy < 2; ++copy) {
    L2Image before = image_;
    const uint64_t page = 2 * (whole_.superblock.epoch % 2) + copy;
    image_.at("meta")[page * kPageBytes + 50] ^= 0x77;
    Repair();
    EXPECT_EQ(report_.rewritten_superblocks, 1);
    EXPECT_EQ(report_.epoch, report_.epoch_before);
    EXPECT_THAT(missing_, ElementsAre());
    image_ = before;
  }
}

TEST_F(RepairTest, OneFlippedBitOfAnyPageIsMended) {
  Take();
  for (const auto* pages : {&whole_.records_pages, &whole_.due_pages,
                            &whole_.age_pages, &whole_.system_pages}) {
    for (const uint64_t page : {pages->front(), pages->back()}) {
      for (const uint64_t byte : {0, 29, 1000, 4095}) {
        SCOPED_TRACE(absl::StrCat("page ", page, " byte ", byte));
        L2Image before = image_;
        image_.at("meta")[page * kPageBytes + byte] ^= 0x10;
        Repair();
        EXPECT_EQ(report_.mended_pages, 1);
        EXPECT_EQ(report_.dropped_records, 0);
        EXPECT_EQ(report_.epoch, report_.epoch_before);
        EXPECT_THAT(missing_, ElementsAre());
        image_ = before;
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(RepairTest, DueAndAgeTreesFollowFromTheRecords) {
  Take();
  for (const uint64_t page : whole_.due_pages) Scramble(page);
  for (const uint64_t page : whole_.age_pages) Scramble(page);
  Repair();
  EXPECT_THAT(report_.rebuilt_trees, ElementsAre("due", "age"));
  EXPECT_EQ(report_.dropped_records, 0);
  EXPECT_THAT(missing_, ElementsAre());
  const L2Anatomy now = Dissect(ReadImage(disk_.get(), kDirectory));
  EXPECT_EQ(now.superblock.due.entries, whole_.superblock.due.entries);
  // What expires still does.
  clock_.AdvanceMillis(3'600'001);
  auto opened = BlobCache::Open(Options(disk_.get()));
  ASSERT_TRUE(opened.ok());
  const auto swept = (*opened)->SweepDueSlice({});
  ASSERT_TRUE(swept.ok()) << swept.status();
  EXPECT_EQ(swept->removed, 28);
}

TEST_F(RepairTest, SynopsesAreRebuilt) {
  for (int i = kKeys; i < 2'000; ++i) {
    ASSERT_TRUE(cache_->Put("a", absl::StrCat("more", i), "small", {}).ok());
  }
  ASSERT_TRUE(cache_->Flush().ok());
  Take();
  const uint32_t a = whole_.Find("a", KeyName(1))->ns_id;
  uint64_t page = 0;
  for (const auto& [leaf, keys] : whole_.system_leaves) {
    if (keys.first >= l2::SynopsisEntryKey(a, 0) &&
        keys.second < l2::SynopsisEntryKey(a + 1, 0)) {
      page = leaf;
    }
  }
  ASSERT_NE(page, 0);
  Scramble(page);
  Repair();
  EXPECT_EQ(report_.rebuilt_synopses, 1);
  EXPECT_EQ(report_.dropped_records, 0);
  EXPECT_THAT(missing_, ElementsAre());
  // It tells again what is not there: of "c", and of keys of "b".
  auto opened = BlobCache::Open(Options(disk_.get()));
  ASSERT_TRUE(opened.ok());
  const int64_t before = (*opened)->Stats().l2.negative_skips;
  for (int i = 0; i < 1'000; ++i) {
    EXPECT_FALSE((*opened)->Get("a", absl::StrCat("absent", i)).has_value());
  }
  EXPECT_GT((*opened)->Stats().l2.negative_skips - before, 900);
}

// Whoever asks a synopsis believes it: a key that it lacks is as good as lost,
// though its record is sound.
TEST_F(RepairTest, ASynopsisThatLacksKeysIsFoundAndRebuilt) {
  Take();
  const uint32_t a = whole_.Find("a", KeyName(1))->ns_id;
  const uint64_t hash = NameHash("a", KeyName(42));
  std::vector<std::string> lacking;
  Forge([&](l2::RepairPages* pages, l2::Superblock* s) {
    const l2::Tree system(pages, s->system);
    const auto value = system.Find(l2::NamespaceEntryKey("a"));
    ASSERT_TRUE(value.ok() && value->has_value());
    const auto entry = l2::DecodeNamespaceEntry(**value);
    ASSERT_TRUE(entry.ok()) << entry.status();
    const l2::SynopsisShape shape(entry->synopsis_keys_max);
    const l2::SynopsisShape::Place at = shape.PlaceOf(hash);
    const std::string key =
        l2::SynopsisEntryKey(a, static_cast<uint32_t>(at.chunk));
    const auto chunk = system.Find(key);
    ASSERT_TRUE(chunk.ok() && chunk->has_value());
    std::string bytes(**chunk);
    std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(at.offset),
                l2::SynopsisShape::kBlockBytes, '\0');
    for (int i = 0; i < kKeys; ++i) {
      const l2::SynopsisShape::Place p =
          shape.PlaceOf(NameHash("a", KeyName(i)));
      if (p.chunk == at.chunk && p.offset == at.offset) {
        lacking.push_back(KeyName(i));
      }
    }
    s->system = PutEntry(pages, s->system, s->epoch, key, bytes);
  });
  ASSERT_THAT(lacking, Contains(KeyName(42)));
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  const auto verified = VerifyL2(Options(&disk));
  ASSERT_TRUE(verified.ok()) << verified.status();
  for (const std::string& key : lacking) {
    EXPECT_THAT(verified->damaged,
                Contains(HasSubstr(absl::StrCat(
                    "a/", key, ": its namespace's synopsis lacks the key"))));
  }
  EXPECT_FALSE(verified->clean());
  {
    auto opened = BlobCache::Open(Options(&disk));
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_FALSE((*opened)->Get("a", KeyName(42)).has_value());
  }
  Repair();
  EXPECT_EQ(report_.rebuilt_synopses, 1);
  EXPECT_EQ(report_.damages, 1);
  EXPECT_THAT(report_.damaged,
              ElementsAre(HasSubstr("synopsis of namespace a lacks keys")));
  EXPECT_EQ(report_.dropped_records, 0);
  EXPECT_THAT(missing_, ElementsAre());
}

// An open refuses it: so verify must not call it clean.
TEST_F(RepairTest, ASynopsisLargerThanTheFileIsFoundAndRebuilt) {
  Take();
  Forge([&](l2::RepairPages* pages, l2::Superblock* s) {
    const auto value =
        l2::Tree(pages, s->system).Find(l2::NamespaceEntryKey("a"));
    ASSERT_TRUE(value.ok() && value->has_value());
    auto entry = l2::DecodeNamespaceEntry(**value);
    ASSERT_TRUE(entry.ok()) << entry.status();
    entry->synopsis_keys_max = uint64_t{1} << 36;
    s->system = PutEntry(pages, s->system, s->epoch, l2::NamespaceEntryKey("a"),
                         l2::EncodeNamespaceEntry(*entry));
  });
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  EXPECT_TRUE(absl::IsDataLoss(BlobCache::Open(Options(&disk)).status()));
  const auto verified = VerifyL2(Options(&disk));
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_THAT(verified->damaged,
              Contains(HasSubstr("synopsis for 68719476736 keys")));
  Repair();
  EXPECT_EQ(report_.rebuilt_synopses, 1);
  EXPECT_EQ(report_.dropped_records, 0);
  EXPECT_THAT(missing_, ElementsAre());
}

// --- What costs records.

TEST_F(RepairTest, ADamagedChainCostsItsRecord) {
  Take();
  const L2Anatomy::Blob* blob = whole_.Find("a", KeyName(7));
  image_.at("blobs")[blob->record.extents[0].first * kUnitBytes + 300'000] ^= 1;
  const L2Anatomy::Blob* other = whole_.Find("b", KeyName(1));
  image_.at("blobs")[other->record.extents[0].first * kUnitBytes] ^= 1;
  Repair();
  EXPECT_EQ(report_.dropped_records, 2);
  EXPECT_EQ(Dropped(DropCause::kChain), 2);
  EXPECT_THAT(missing_, UnorderedElementsAre(Name("a", KeyName(7)),
                                             Name("b", KeyName(1))));
  // Few removals do not rebuild a tree.
  EXPECT_THAT(report_.rebuilt_trees, ElementsAre());
  EXPECT_TRUE(ApplyDelta(whole_, ReadImage(disk_.get(), kDirectory)) ==
              Dissect(ReadImage(disk_.get(), kDirectory)).records);
}

TEST_F(RepairTest, ADamagedLeafCostsItsRecords) {
  Take();
  const uint64_t page = whole_.Find("a", KeyName(100))->path.back();
  const std::vector<Name> names = OnLeaf(page);
  ASSERT_GT(names.size(), 2);
  Scramble(page);
  Repair();
  EXPECT_EQ(report_.dropped_records, static_cast<int64_t>(names.size()));
  EXPECT_EQ(Dropped(DropCause::kPage), report_.dropped_records);
  EXPECT_EQ(report_.dropped_unnamed, 0);
  EXPECT_EQ(missing_.size(), names.size());
  EXPECT_FALSE(report_.new_lineage);
  const L2Anatomy now = Dissect(ReadImage(disk_.get(), kDirectory));
  EXPECT_EQ(now.superblock.lineage, whole_.superblock.lineage);
}

TEST_F(RepairTest, ADamagedRootCostsNothing) {
  Take();
  ASSERT_GT(whole_.records_pages.size(), 5);
  Scramble(whole_.records_pages[0]);
  Repair();
  EXPECT_EQ(report_.dropped_records, 0);
  EXPECT_EQ(report_.recovered_records, kKeys + 20);
  EXPECT_THAT(missing_, ElementsAre());
  EXPECT_THAT(report_.rebuilt_trees, ElementsAre());
}

// The leaf was rewritten by later commits: what did not change since is on its
// older copies, what was deleted or replaced since is, too, and stays dead.
TEST_F(RepairTest, OldCopiesOfALeafGiveWhatDidNotChange) {
  ASSERT_TRUE(cache_->InvalidateKey("a", KeyName(100)).ok());
  Gone("a", [](int i) { return i == 100; });
  const std::string newer = "another value";
  ASSERT_TRUE(cache_->Put("a", KeyName(101), newer, {}).ok());
  alive_[{"a", KeyName(101)}] = newer;
  ASSERT_TRUE(cache_->Flush().ok());
  Take();
  const uint64_t page = whole_.Find("a", KeyName(101))->path.back();
  const std::vector<Name> names = OnLeaf(page);
  Scramble(page);
  Repair();
  EXPECT_THAT(missing_, ElementsAre(Name("a", KeyName(101))));
  EXPECT_EQ(report_.recovered_records, static_cast<int64_t>(names.size()) - 1);
  EXPECT_EQ(report_.dropped_records, 1);
}

// A process may give the rank again that the one before it gave: to the same
// key, when it is the first that both put.
TEST_F(RepairTest, AnOldCopyOfTheSameRankIsNotBelieved) {
  const std::string key = KeyName(101);
  uint64_t ranks[2];
  for (const bool second : {false, true}) {
    cache_.reset();
    auto opened = BlobCache::Open(Options(&source_));
    ASSERT_TRUE(opened.ok()) << opened.status();
    cache_ = *std::move(opened);
    const std::string bytes = second ? "the second" : "the first.";
    ASSERT_TRUE(cache_->Put("a", key, bytes, {}).ok());
    alive_[{"a", key}] = bytes;
    ASSERT_TRUE(cache_->Flush().ok());
    const L2Anatomy now = Dissect(ReadImage(&source_, kDirectory));
    ranks[second] = now.Find("a", key)->record.rank;
  }
  ASSERT_EQ(ranks[0], ranks[1]);
  Take();
  Scramble(whole_.Find("a", key)->path.back());
  Repair();
  EXPECT_THAT(missing_, ElementsAre(Name("a", key)));
}

TEST_F(RepairTest, WithoutTheAgeTreeNobodyKnowsNamesOrWhatIsLive) {
  Take();
  const uint64_t page = whole_.Find("a", KeyName(100))->path.back();
  const int64_t lost = static_cast<int64_t>(OnLeaf(page).size());
  Scramble(page);
  for (const uint64_t age : whole_.age_pages) Scramble(age);
  Repair();
  EXPECT_EQ(report_.dropped_records, lost);
  EXPECT_EQ(report_.dropped_unnamed, lost);
  EXPECT_EQ(report_.recovered_records, 0);
  EXPECT_THAT(report_.rebuilt_trees, ElementsAre("age"));
}

TEST_F(RepairTest, ChainsThatOverlapCannotBothStay) {
  PutOptions options;
  options.metadata = {{"m", std::string(1, 'm')}};
  const std::string bytes = ContentOf(1).substr(0, 1'300);
  // A header of just one unit, so that the frames may be shared.
  for (size_t n = 1; n < 100; ++n) {
    options.metadata[0].second = std::string(n, 'm');
    for (const std::string key : {"twin/1", "twin/2"}) {
      ASSERT_TRUE(cache_->Put("b", key, bytes, options).ok());
    }
    ASSERT_TRUE(cache_->Flush().ok());
    const L2Anatomy now = Dissect(ReadImage(&source_, kDirectory));
    if (now.Find("b", "twin/1")->record.header_bytes == kUnitBytes) break;
  }
  Take();
  const L2Anatomy::Blob* one = whole_.Find("b", "twin/1");
  const L2Anatomy::Blob* two = whole_.Find("b", "twin/2");
  ASSERT_EQ(one->record.header_bytes, kUnitBytes);
  Forge([&](l2::RepairPages* pages, l2::Superblock* s) {
    l2::Record forged = two->record;
    forged.extents = {
        {two->record.extents[0].first, 1},
        {one->record.extents[0].first + 1, one->record.extents[0].units - 1}};
    s->records =
        PutEntry(pages, s->records, s->epoch,
                 l2::RecordKey(two->ns_id, "twin/2"), l2::EncodeRecord(forged));
  });
  Repair();
  EXPECT_EQ(report_.dropped_records, 1);
  EXPECT_EQ(Dropped(DropCause::kOverlap), 1);
  EXPECT_EQ(report_.dropped[0].key, "twin/2");
}

TEST_F(RepairTest, RecordsThatSayTheImpossibleGo) {
  Take();
  const uint32_t b = whole_.Find("b", KeyName(1))->ns_id;
  Forge([&](l2::RepairPages* pages, l2::Superblock* s) {
    const std::string value =
        l2::EncodeRecord(whole_.Find("b", KeyName(3))->record);
    for (const auto& [key, bytes] :
         {std::pair<std::string, std::string>{l2::RecordKey(b, KeyName(2)),
                                              "nonsense"},
          {l2::RecordKey(b, ""), value},
          {l2::RecordKey(b + 7, "k"), value}}) {
      s->records = PutEntry(pages, s->records, s->epoch, key, bytes);
    }
    // A record beyond the file.
    l2::Record far = whole_.Find("b", KeyName(4))->record;
    far.extents = {{uint64_t{1} << 40, far.extents[0].units}};
    s->records = PutEntry(pages, s->records, s->epoch,
                          l2::RecordKey(b, KeyName(4)), l2::EncodeRecord(far));
  });
  Repair();
  EXPECT_EQ(Dropped(DropCause::kRecord), 2);
  EXPECT_EQ(Dropped(DropCause::kNamespace), 1);
  EXPECT_EQ(Dropped(DropCause::kChain), 1);
  EXPECT_THAT(missing_, UnorderedElementsAre(Name("b", KeyName(2)),
                                             Name("b", KeyName(4))));
}

// --- Invalidations.

// What a lost page cannot have said is kept; what it can, goes.
TEST_F(RepairTest, ALeafOfTombstonesCostsWhatTheyMayCover) {
  // Many tags, so that tombstones have leaves of their own.
  std::vector<std::string> tags;
  for (int i = 0; i < 600; ++i) tags.push_back(absl::StrCat("tag", i));
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(cache_
                    ->Put("b", absl::StrCat("tagged", i), "v",
                          {.tags = {absl::StrCat("other", i)}})
                    .ok());
  }
  ASSERT_TRUE(cache_->Put("b", "dead", "v", {.tags = {"tag300"}}).ok());
  ASSERT_TRUE(cache_->Flush().ok());
  ASSERT_TRUE(cache_->InvalidateTags("b", tags).ok());
  ASSERT_TRUE(cache_->Flush().ok());
  // Put later than all of them.
  ASSERT_TRUE(cache_->Put("b", "later", "v", {.tags = {"tag300"}}).ok());
  ASSERT_TRUE(cache_->Flush().ok());
  Take();
  const L2Anatomy::Blob* dead = whole_.Find("b", "dead");
  ASSERT_NE(dead, nullptr);
  const std::string tombstone = l2::TombstoneEntryKey(
      dead->ns_id, {TombstoneKind::kTag, "",
                    [&] {
                      std::string hash(8, '\0');
                      const uint64_t h = TagHash("tag300");
                      std::copy_n(reinterpret_cast<const char*>(&h), 8,
                                  hash.data());
                      return hash;
                    }(),
                    Hlc{}});
  Scramble(SystemLeafOf(tombstone));
  // An open refuses it.
  SimulatedDisk refused;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &refused, kDirectory));
  EXPECT_TRUE(absl::IsDataLoss(BlobCache::Open(Options(&refused)).status()));
  Repair();
  EXPECT_EQ(report_.dropped_records, Dropped(DropCause::kInvalidation));
  EXPECT_GE(report_.dropped_records, 1);
  EXPECT_LE(report_.dropped_records, 60);
  EXPECT_THAT(missing_, ElementsAre());  // Those have no such tags.
  auto opened = BlobCache::Open(Options(disk_.get()));
  ASSERT_TRUE(opened.ok());
  EXPECT_FALSE((*opened)->Get("b", "dead").has_value());
  EXPECT_TRUE((*opened)->Get("b", "later").has_value());
  int kept = 0;
  for (int i = 0; i < 100; ++i) {
    kept += (*opened)->Get("b", absl::StrCat("tagged", i)).has_value();
  }
  EXPECT_GE(kept, 40);
  // Older snapshots still hold what the lost ones cover.
  const auto snapshot = (*opened)->TakeSnapshot({});
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  for (const NamespaceState& ns : (*snapshot)->info().namespaces) {
    const bool lost_tombstones = ns.name == "b";
    EXPECT_EQ(ns.forgotten_through > Hlc(), lost_tombstones) << ns.name;
    EXPECT_EQ(ns.flushed_at, Hlc());
  }
}

TEST_F(RepairTest, ALeafOfNamespacesCostsThem) {
  ASSERT_TRUE(cache_->FlushNamespace("a").ok());
  Gone("a", [](int) { return true; });
  for (int i = 10; i < 20; ++i) Put("a", i);
  ASSERT_TRUE(cache_->Flush().ok());
  Take();
  Scramble(SystemLeafOf(l2::NamespaceEntryKey("a")));
  Repair();
  EXPECT_EQ(report_.dropped_records, Dropped(DropCause::kNamespace));
  // Flushed records are still in the tree.
  EXPECT_EQ(report_.dropped_records,
            static_cast<int64_t>(whole_.records.size()));
  EXPECT_EQ(missing_.size(), alive_.size());
  // An older copy of the leaf had their names.
  ASSERT_EQ(report_.invalidated.size(), 2);
  EXPECT_EQ(report_.invalidated[0].ns, "a");
  EXPECT_EQ(report_.invalidated[1].ns, "b");
  EXPECT_FALSE(NameIsLost());
  EXPECT_GT(generation_a_, 1);
}

// Without any older copy of the leaf, the journal has one of the names.
TEST_F(RepairTest, ANamespaceWhoseNameIsLostIsReportedByItsId) {
  ASSERT_TRUE(cache_->InvalidateKey("a", "no such key").ok());
  Take();
  const uint64_t page = SystemLeafOf(l2::NamespaceEntryKey("a"));
  Scramble(page);
  std::string& meta = image_.at("meta");
  const std::set<uint64_t> reached = [&] {
    std::set<uint64_t> all = {0, 1, 2, 3};
    for (const auto* pages : {&whole_.records_pages, &whole_.due_pages,
                              &whole_.age_pages, &whole_.system_pages}) {
      all.insert(pages->begin(), pages->end());
    }
    return all;
  }();
  for (uint64_t p = 0; p < meta.size() / kPageBytes; ++p) {
    if (reached.contains(p)) continue;
    std::fill_n(meta.begin() + static_cast<ptrdiff_t>(p * kPageBytes),
                kPageBytes, '\0');
  }
  Repair();
  EXPECT_EQ(report_.dropped_records, kKeys + 20);
  EXPECT_EQ(report_.dropped.front().ns, "a");
  EXPECT_EQ(report_.dropped.back().ns, "");
  EXPECT_NE(report_.dropped.back().ns_id, 0);
  ASSERT_EQ(report_.invalidated.size(), 1);
  EXPECT_EQ(report_.invalidated[0].ns, "a");
  // Its id is not given to another.
  const L2Anatomy now = Dissect(ReadImage(disk_.get(), kDirectory));
  EXPECT_GT(now.superblock.next_namespace_id, report_.dropped.back().ns_id);
}

TEST_F(RepairTest, EntriesOfTheSystemTreeThatSayTheImpossibleGo) {
  Take();
  const uint32_t a = whole_.Find("a", KeyName(1))->ns_id;
  const uint32_t b = whole_.Find("b", KeyName(1))->ns_id;
  Forge([&](l2::RepairPages* pages, l2::Superblock* s) {
    Tombstone t;
    t.kind = TombstoneKind::kPrefix;
    t.value = "k";
    t.hlc = s->hlc;
    l2::NamespaceEntry twin;
    twin.id = a;
    for (const auto& [key, value] : {
             std::pair<std::string, std::string>{"?", "unknown"},
             // A second chunk of a synopsis that has one.
             {l2::SynopsisEntryKey(b, 1), "chunk"},
             {l2::SynopsisEntryKey(b + 9, 0), "chunk"},
             {l2::TombstoneEntryKey(b + 9, t),
              l2::EncodeTombstoneEntry(t, /*spent=*/false)},
             {l2::TombstoneEntryKey(a, t), "short"},
             {l2::NamespaceEntryKey("twin"), l2::EncodeNamespaceEntry(twin)},
         }) {
      s->system = PutEntry(pages, s->system, s->epoch, key, value);
    }
  });
  Repair();
  EXPECT_GE(report_.damages, 3);
  EXPECT_EQ(report_.rebuilt_synopses, 1);
  // All of "a" begins with the prefix that nobody knows about.
  EXPECT_EQ(report_.dropped_records, kKeys);
  EXPECT_EQ(Dropped(DropCause::kInvalidation), kKeys);
}

TEST_F(RepairTest, TheListOfWhatWasDroppedIsCappedAndTheCountIsNot) {
  for (int i = 0; i < 1'500; ++i) {
    ASSERT_TRUE(cache_->Put("b", absl::StrCat("more", i), "small", {}).ok());
  }
  ASSERT_TRUE(cache_->Flush().ok());
  Take();
  Scramble(whole_.system_pages.front());
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  const auto report = RepairL2(Options(&disk));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->dropped_records, kKeys + 20 + 1'500);
  EXPECT_EQ(report->dropped.size(), RepairReport::kDroppedMax);
  EXPECT_EQ(report->after.records, 0);
  EXPECT_TRUE(report->after.clean());
}

// A newer epoch than that of the lost leaf proves what was put in it.
TEST_F(RepairTest, WhatWasPutAfterALostPageWasWrittenStays) {
  for (int i = 0; i < 1'500; ++i) {
    ASSERT_TRUE(cache_->InvalidatePrefix("b", absl::StrCat("x", i)).ok());
  }
  ASSERT_TRUE(cache_->Flush().ok());
  ASSERT_TRUE(cache_->Put("b", "x700/old", "v", {}).ok());
  ASSERT_TRUE(cache_->Flush().ok());
  ASSERT_TRUE(cache_->Put("b", "x700/new", "v", {}).ok());
  ASSERT_TRUE(cache_->Flush().ok());
  Take();
  const uint32_t b = whole_.Find("b", KeyName(1))->ns_id;
  Scramble(SystemLeafOf(
      l2::TombstoneEntryKey(b, {TombstoneKind::kPrefix, "", "x700", Hlc{}})));
  Repair();
  // Both came after the tombstone; only of the newer one that is proven, as
  // only the last two superblocks are there.
  ASSERT_EQ(report_.dropped_records, 1);
  EXPECT_EQ(report_.dropped[0].key, "x700/old");
  auto opened = BlobCache::Open(Options(disk_.get()));
  ASSERT_TRUE(opened.ok());
  EXPECT_TRUE((*opened)->Get("b", "x700/new").has_value());
}

TEST_F(RepairTest, TheJournalTakesEffect) {
  Take();
  // A life that ends before its commit.
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  {
    auto opened = BlobCache::Open(Options(&disk));
    ASSERT_TRUE(opened.ok());
    ASSERT_TRUE((*opened)->InvalidateKey("a", KeyName(1)).ok());
    ASSERT_TRUE((*opened)->InvalidateTags("a", {"fifty"}).ok());
    ASSERT_TRUE((*opened)->InvalidatePrefix("a", "key/001").ok());
    ASSERT_TRUE((*opened)->FlushNamespace("b").ok());
    ASSERT_TRUE((*opened)->FlushNamespace("never seen").ok());
    disk.KillProcess();
  }
  image_ = ReadImage(&disk, kDirectory);
  whole_ = Dissect(image_);
  Gone("a", [](int i) { return i == 1 || i % 50 == 0 || i / 10 == 1; });
  Gone("b", [](int) { return true; });
  const uint64_t page = whole_.Find("a", KeyName(200))->path.back();
  Scramble(page);
  Repair();
  EXPECT_EQ(report_.applied_journal_entries, 5);
  EXPECT_EQ(Dropped(DropCause::kPage), report_.dropped_records);
  EXPECT_EQ(report_.dropped_records, static_cast<int64_t>(OnLeaf(page).size()));
  auto opened = BlobCache::Open(Options(disk_.get()));
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ((*opened)->CurrentGeneration("b"), 1);
  EXPECT_EQ((*opened)->CurrentGeneration("never seen"), 1);
}

// --- Superblocks.

TEST_F(RepairTest, WithoutASoundSuperblockNothingIsTouched) {
  Take();
  for (const bool zeros : {false, true}) {
    L2Image image = image_;
    for (uint64_t page = 0; page < l2::kSuperblockPages; ++page) {
      std::fill_n(image.at("meta").begin() +
                      static_cast<ptrdiff_t>(page * kPageBytes + 20),
                  100, zeros ? '\0' : 'x');
      if (zeros) image.at("meta")[page * kPageBytes] = 0;
    }
    SimulatedDisk disk;
    ASSERT_NO_FATAL_FAILURE(WriteImage(image, &disk, kDirectory));
    const absl::Status status = RepairL2(Options(&disk)).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("no superblock is sound"));
    EXPECT_TRUE(ReadImage(&disk, kDirectory) == image);
  }
}

TEST_F(RepairTest, ANewerFormatIsLeftToWhoKnowsIt) {
  Take();
  std::string& meta = image_.at("meta");
  const uint64_t page = 2 * (1 - whole_.superblock.epoch % 2);
  std::string bytes = l2::EncodeSuperblock(whole_.superblock);
  bytes[8] = static_cast<char>(l2::kFormatVersion + 1);
  const uint64_t checksum =
      l2::Checksum64(absl::string_view(bytes).substr(0, kPageBytes - 8));
  std::copy_n(reinterpret_cast<const char*>(&checksum), 8,
              bytes.data() + kPageBytes - 8);
  meta.replace(page * kPageBytes, kPageBytes, bytes);
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  EXPECT_TRUE(absl::IsFailedPrecondition(RepairL2(Options(&disk)).status()));
  EXPECT_TRUE(ReadImage(&disk, kDirectory) == image_);
}

// Nothing else is damaged: what an open would do, but on record.
TEST_F(RepairTest, ALostPairOfSuperblocksIsWrittenAnew) {
  Take();
  const uint64_t other = 2 * (1 - whole_.superblock.epoch % 2);
  for (const uint64_t page : {other, other + 1}) {
    image_.at("meta")[page * kPageBytes + 30] ^= 0x5a;
  }
  Repair();
  EXPECT_EQ(report_.damages, 1);
  EXPECT_EQ(report_.epoch_before, whole_.superblock.epoch);
  EXPECT_TRUE(report_.new_lineage);
  EXPECT_EQ(report_.dropped_records, 0);
  EXPECT_THAT(missing_, ElementsAre());
  const L2Anatomy now = Dissect(ReadImage(disk_.get(), kDirectory));
  EXPECT_EQ(now.superblocks.size(), 4);
}

TEST_F(RepairTest, ANewL2IsSound) {
  SimulatedDisk disk;
  ASSERT_TRUE(BlobCache::Open(Options(&disk)).ok());
  const L2Image before = ReadImage(&disk, kDirectory);
  const auto report = RepairL2(Options(&disk));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->damages, 0);
  EXPECT_EQ(report->epoch, 1);
  EXPECT_TRUE(ReadImage(&disk, kDirectory) == before);
}

// The newest commit is lost, and a page besides: what it invalidated stays so,
// by the journal; and it is another history from here on.
TEST_F(RepairTest, ALostCommitIsAnotherHistory) {
  ASSERT_TRUE(cache_->InvalidateKey("a", KeyName(1)).ok());
  ASSERT_TRUE(cache_->InvalidatePrefix("b", "key/000").ok());
  ASSERT_TRUE(cache_->Flush().ok());
  Gone("a", [](int i) { return i == 1; });
  Gone("b", [](int i) { return i < 10; });
  Take();
  const l2::Superblock newest = whole_.superblock;
  Scramble(2 * (newest.epoch % 2));
  Scramble(2 * (newest.epoch % 2) + 1);
  std::string& meta = image_.at("meta");
  for (uint64_t copy = 0; copy < 2; ++copy) {
    meta[(2 * (newest.epoch % 2) + copy) * kPageBytes + 30] ^= 1;
  }
  const uint64_t page = whole_.due_pages[0];
  Scramble(page);
  Repair();
  EXPECT_EQ(report_.epoch_before, newest.epoch - 1);
  EXPECT_GT(report_.epoch, newest.epoch);
  EXPECT_TRUE(report_.new_lineage);
  EXPECT_THAT(missing_, ElementsAre());
  const L2Anatomy now = Dissect(ReadImage(disk_.get(), kDirectory));
  EXPECT_NE(now.superblock.lineage, newest.lineage);
  ASSERT_EQ(now.superblock.ancestors.size(), 1);
  EXPECT_EQ(now.superblock.ancestors[0], newest.lineage);
}

// ... unless the journal has moved on: then nobody knows what was invalidated.
TEST_F(RepairTest, ALostCommitWithoutItsJournalCostsEverything) {
  ASSERT_TRUE(cache_->FlushNamespace("a").ok());
  ASSERT_TRUE(cache_->Flush().ok());
  Gone("a", [](int) { return true; });
  const l2::Superblock lost =
      Dissect(ReadImage(&source_, kDirectory)).superblock;
  // Its entries are overwritten by those of the epoch after the next one.
  {
    auto journal =
        source_.Open(absl::StrCat(kDirectory, "/journal-", lost.epoch % 2), {});
    ASSERT_TRUE(journal.ok());
    std::string bytes((*journal)->Size(), '\0');
    ASSERT_TRUE((*journal)->ReadAt(0, absl::MakeSpan(bytes)).ok());
    const uint64_t later = lost.epoch + 2;
    std::copy_n(reinterpret_cast<const char*>(&later), 8, bytes.data() + 16);
    const std::string other = "x";  // The flush was of "a".
    bytes[42] = other[0];
    uint32_t size;
    std::copy_n(bytes.data() + 12, 4, reinterpret_cast<char*>(&size));
    const uint64_t checksum =
        l2::Checksum64(absl::string_view(bytes).substr(8, size - 8));
    std::copy_n(reinterpret_cast<const char*>(&checksum), 8, bytes.data());
    ASSERT_TRUE((*journal)->WriteAt(0, bytes).ok());
  }
  Take();
  for (uint64_t copy = 0; copy < 2; ++copy) {
    image_.at("meta")[(2 * (lost.epoch % 2) + copy) * kPageBytes + 30] ^= 0x5a;
  }
  Repair();
  EXPECT_TRUE(report_.new_lineage);
  EXPECT_EQ(report_.dropped_records, kKeys + 20);
  EXPECT_EQ(Dropped(DropCause::kNamespace), report_.dropped_records);
  EXPECT_GT(generation_a_, 1);
}

// --- Use.

TEST_F(RepairTest, AnL2ThatTakesNoChangesTakesThemAgain) {
  Take();
  const uint64_t page = whole_.Find("a", KeyName(100))->path.back();
  Scramble(page);
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  {
    auto opened = BlobCache::Open(Options(&disk));
    ASSERT_TRUE(opened.ok());
    ASSERT_TRUE((*opened)->InvalidateKey("a", KeyName(5)).ok());
    ASSERT_TRUE((*opened)->InvalidateKey("a", KeyName(100)).ok());
    EXPECT_FALSE((*opened)->Flush().ok());
    EXPECT_NE((*opened)->Stats().l2.degraded, "");
    disk.KillProcess();
  }
  Gone("a", [](int i) { return i == 5 || i == 100; });
  image_ = ReadImage(&disk, kDirectory);
  Repair();
  EXPECT_EQ(report_.dropped_records,
            static_cast<int64_t>(OnLeaf(page).size()) - 1);
}

TEST_F(RepairTest, CutAndMissingFiles) {
  Take();
  const L2Image whole = image_;
  for (const std::string name : {"blobs", "journal-0", "journal-1"}) {
    SCOPED_TRACE(name);
    image_ = whole;
    image_.erase(name);
    Repair();
    EXPECT_EQ(missing_.empty(), name != "blobs");
  }
  image_ = whole;
  image_.at("blobs").resize(image_.at("blobs").size() / 20);
  Repair();
  EXPECT_EQ(Dropped(DropCause::kChain), report_.dropped_records);
  image_ = whole;
  image_.at("meta").resize(8 * kPageBytes + 100);
  Repair();
  EXPECT_GE(report_.damages, 1);
  image_.erase("meta");
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  EXPECT_TRUE(absl::IsNotFound(RepairL2(Options(&disk)).status()));
  SimulatedDisk nothing;
  EXPECT_TRUE(absl::IsNotFound(RepairL2(Options(&nothing)).status()));
}

TEST_F(RepairTest, VerifyChangesNothing) {
  Take();
  Scramble(whole_.records_pages.back());
  image_.at("space").resize(700);
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  const auto report = VerifyL2(Options(&disk));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->clean());
  EXPECT_TRUE(ReadImage(&disk, kDirectory) == image_);
}

TEST_F(RepairTest, OneProcessAtATime) {
  EXPECT_TRUE(absl::IsUnavailable(RepairL2(Options(&source_)).status()));
}

TEST_F(RepairTest, StopsOnRequest) {
  Take();
  Scramble(whole_.records_pages.back());
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  int asked = 0;
  const absl::Status status =
      RepairL2(Options(&disk), [&] { return ++asked == 50; }).status();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(asked, 50);
  EXPECT_TRUE(ReadImage(&disk, kDirectory) == image_);
}

TEST_F(RepairTest, WithoutRoomNothingIsChanged) {
  Take();
  // Every page is spoken for: a tree of the file's size.
  for (const uint64_t page : whole_.due_pages) Scramble(page);
  for (const uint64_t page : whole_.age_pages) Scramble(page);
  std::string& meta = image_.at("meta");
  const uint64_t used = *std::max_element(whole_.records_pages.begin(),
                                          whole_.records_pages.end());
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  disk.SetFaultScript([&](const SimulatedDisk::Operation& now) {
    const bool new_page = now.kind == SimulatedDisk::OperationKind::kWrite &&
                          absl::EndsWith(now.path, "meta");
    return new_page ? SimulatedDisk::Fault::Fail(ENOSPC)
                    : SimulatedDisk::Fault();
  });
  EXPECT_GT(meta.size() / kPageBytes, used);
  const absl::Status status = RepairL2(Options(&disk)).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(ReadImage(&disk, kDirectory).at("meta") == meta);
}

// --- Sectors that cannot be read.

class BadSectors {
 public:
  using Disk = SimulatedDisk;

  void Add(const std::string& file, uint64_t offset, uint64_t length) {
    for (uint64_t at = offset / kSectorBytes;
         at <= (offset + length - 1) / kSectorBytes; ++at) {
      bad_.insert({absl::StrCat(kDirectory, "/", file), at});
    }
  }
  // Writing a sector replaces it.
  void Install(Disk* disk) {
    disk->SetFaultScript([this](const Disk::Operation& now) {
      if (now.length == 0) return Disk::Fault();
      bool bad = false;
      for (uint64_t at = now.offset / kSectorBytes;
           at <= (now.offset + now.length - 1) / kSectorBytes; ++at) {
        const auto sector = bad_.find({now.path, at});
        if (sector == bad_.end()) continue;
        if (now.kind == Disk::OperationKind::kRead) bad = true;
        if (now.kind == Disk::OperationKind::kWrite) bad_.erase(sector);
      }
      return bad ? Disk::Fault::Fail(EIO) : Disk::Fault();
    });
  }
  size_t size() const { return bad_.size(); }

 private:
  std::set<std::pair<std::string, uint64_t>> bad_;
};

TEST_F(RepairTest, WhatCannotBeReadIsLostAndWrittenAnew) {
  ASSERT_TRUE(cache_->InvalidateKey("a", KeyName(1)).ok());
  Take();
  const uint64_t leaf = whole_.Find("a", KeyName(100))->path.back();
  const std::vector<Name> names = OnLeaf(leaf);
  BadSectors bad;
  bad.Add("meta", leaf * kPageBytes + 512, 512);
  const L2Anatomy::Blob* blob = whole_.Find("a", KeyName(7));
  const uint64_t at = blob->record.extents[0].first * kUnitBytes;
  bad.Add("blobs", (at + 100'000) / kPageBytes * kPageBytes, kPageBytes);
  bad.Add("journal-1", 1024, 512);
  bad.Add("meta", 2 * (1 - whole_.superblock.epoch % 2) * kPageBytes, 512);
  bad.Add("space", 512, 512);
  disk_ = std::make_unique<SimulatedDisk>();
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, disk_.get(), kDirectory));
  bad.Install(disk_.get());
  EXPECT_TRUE(absl::IsDataLoss(VerifyL2(Options(disk_.get())).status()));
  const auto report = RepairL2(Options(disk_.get()));
  ASSERT_TRUE(report.ok()) << report.status();
  report_ = *report;
  EXPECT_TRUE(report_.after.clean());
  Gone("a", [](int i) { return i == 1; });
  EXPECT_EQ(bad.size(), 0);
  CheckCache();
  EXPECT_EQ(missing_.size(), names.size() + 1);
  EXPECT_EQ(Dropped(DropCause::kChain), 1);
  EXPECT_THAT(report_.lost_journals,
              ElementsAre(absl::StrCat(kDirectory, "/journal-1")));
}

// A read that fails once and then does not, costs nothing.
TEST_F(RepairTest, AReadThatFailsOnceCostsNothing) {
  Take();
  const uint64_t page = whole_.Find("a", KeyName(100))->path.back();
  const int64_t lost = static_cast<int64_t>(OnLeaf(page).size());
  Scramble(page);
  SimulatedDisk disk;
  ASSERT_NO_FATAL_FAILURE(WriteImage(image_, &disk, kDirectory));
  std::set<std::pair<std::string, uint64_t>> failed;
  disk.SetFaultScript([&](const SimulatedDisk::Operation& now) {
    const bool fails = now.kind == SimulatedDisk::OperationKind::kRead &&
                       absl::StrContains(now.path, kDirectory) &&
                       failed.insert({now.path, now.offset}).second;
    return fails ? SimulatedDisk::Fault::Fail(EIO) : SimulatedDisk::Fault();
  });
  const auto report = RepairL2(Options(&disk));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->dropped_records, lost);
  EXPECT_TRUE(report->after.clean());
  EXPECT_GT(failed.size(), 100);
}

}  // namespace
}  // namespace larder::cache
