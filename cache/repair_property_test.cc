// Random L2s, random damage: what a repair keeps, what it may drop, and that
// the L2 is sound and works afterwards.
//
// Replay: LARDER_SEED=N LARDER_ROUNDS=1.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/l2/btree.h"
#include "cache/l2/hash.h"
#include "cache/l2/lost_invalidations.h"
#include "cache/l2/meta_pages.h"
#include "cache/l2/page.h"
#include "cache/l2/record.h"
#include "cache/l2/simulated_disk.h"
#include "cache/l2/superblock.h"
#include "cache/l2_image.h"
#include "cache/options.h"
#include "cache/repair.h"
#include "cache/repair_report.h"
#include "cache/verify.h"

namespace larder::cache {
namespace {

using l2::Extent;
using l2::kPageBytes;
using l2::kUnitBytes;
using l2::SimulatedDisk;
using l2::Tree;
using Name = L2Anatomy::Name;
using Random = std::mt19937_64;

constexpr char kDirectory[] = "/l2";
constexpr int64_t kNow = 1'700'000'000'000;
constexpr uint64_t kSectorBytes = 512;

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}

BlobCacheOptions Options(SimulatedDisk* disk, Clock* clock) {
  BlobCacheOptions o;
  o.l2_path = kDirectory;
  o.l2_bytes_max = int64_t{64} << 20;
  o.l1_bytes_max = 1 << 20;
  o.l1_shards = 1;
  o.background_commits = false;
  o.clock = clock;
  o.file_system = disk;
  o.random_seed = 7;
  return o;
}

std::string Bytes(Random& random, bool compressible) {
  const uint64_t size = random() % 8 == 0   ? 20'000 + random() % 40'000
                        : random() % 3 == 0 ? random() % 200
                                            : 600 + random() % 3'000;
  std::string bytes(size, static_cast<char>(random()));
  for (size_t i = 0; i < size && !compressible; ++i) {
    bytes[i] = static_cast<char>(random());
  }
  return bytes;
}

// A life of an L2: what it must hold at its end.
class Life {
 public:
  explicit Life(uint64_t seed) : random_(seed) {}

  void Run() {
    auto opened = BlobCache::Open(Options(&disk_, &clock_));
    ASSERT_TRUE(opened.ok()) << opened.status();
    cache_ = *std::move(opened);
    key_bytes_ = random_() % 3 == 0 ? 300 : 12;
    const int steps = static_cast<int>(80 + random_() % 700);
    for (int i = 0; i < steps; ++i) Step();
    ASSERT_TRUE(cache_->Flush().ok());
    // What only the journal holds.
    for (uint64_t n = random_() % 4; n > 0; --n) Invalidate();
    if (random_() % 4 == 0) {
      cache_.reset();
    } else {
      disk_.KillProcess();
      cache_.reset();
    }
  }

  SimulatedDisk* disk() { return &disk_; }
  ManualClock* clock() { return &clock_; }
  const std::map<Name, std::string>& alive() const { return alive_; }
  const std::map<std::string, uint64_t>& generations() const {
    return generations_;
  }
  const std::set<Name>& names() const { return names_; }

 private:
  struct Attributes {
    std::set<std::string> tags;
  };

  std::string Ns() { return absl::StrCat("ns", random_() % 3); }
  std::string Key() {
    const uint64_t n = random_() % 400;
    return absl::StrCat("p", n % 5, "/", n, std::string(key_bytes_, 'k'));
  }
  std::string Tag() { return absl::StrCat("tag", random_() % 12); }

  void Step() {
    clock_.AdvanceMillis(1 + static_cast<int64_t>(random_() % 3));
    const uint64_t dice = random_() % 100;
    if (dice < 80) return Put();
    if (dice < 90) return Invalidate();
    if (dice < 96) {
      ASSERT_TRUE(cache_->Flush().ok());
      return;
    }
    ASSERT_TRUE(cache_->SweepDueSlice({}).ok());
    ASSERT_TRUE(cache_->SweepTombstonedSlice({}).ok());
  }

  void Put() {
    PutOptions o;
    Attributes a;
    for (uint64_t n = random_() % 3; n > 0; --n) {
      o.tags.push_back(Tag());
      a.tags.insert("t:" + o.tags.back());
    }
    if (random_() % 5 == 0) {
      o.dependencies = {Tag()};
      a.tags.insert("d:" + o.dependencies[0]);
    }
    if (random_() % 3 == 0) o.ttl_ms = 3'600'000;
    if (random_() % 6 == 0) o.idle_ttl_ms = 3'600'000;
    const Name name(Ns(), Key());
    const std::string bytes = Bytes(random_, random_() % 2 == 0);
    const auto put = cache_->Put(name.first, name.second, bytes, o);
    ASSERT_TRUE(put.ok()) << put.status();
    names_.insert(name);
    generations_.try_emplace(name.first, 0);
    alive_[name] = bytes;
    attributes_[name] = a;
  }

  void Kill(const std::string& ns, auto&& matches) {
    std::erase_if(alive_, [&](const auto& blob) {
      return blob.first.first == ns &&
             matches(blob.first.second, attributes_[blob.first]);
    });
  }

  void Invalidate() {
    const std::string ns = Ns();
    switch (random_() % 6) {
      case 0: {
        const std::string tag = Tag();
        ASSERT_TRUE(cache_->InvalidateTags(ns, {tag}).ok());
        return Kill(ns, [&](const std::string&, const Attributes& a) {
          return a.tags.contains("t:" + tag);
        });
      }
      case 1: {
        const std::string tag = Tag();
        ASSERT_TRUE(cache_->InvalidateDependencies(ns, {tag}).ok());
        return Kill(ns, [&](const std::string&, const Attributes& a) {
          return a.tags.contains("d:" + tag);
        });
      }
      case 2: {
        const std::string prefix = Key().substr(0, 3 + random_() % 3);
        ASSERT_TRUE(cache_->InvalidatePrefix(ns, prefix).ok());
        return Kill(ns, [&](const std::string& key, const Attributes&) {
          return key.substr(0, prefix.size()) == prefix;
        });
      }
      case 3: {
        if (random_() % 3 != 0) return;
        const auto flushed = cache_->FlushNamespace(ns);
        ASSERT_TRUE(flushed.ok()) << flushed.status();
        generations_[ns] = flushed->generation_after;
        return Kill(ns,
                    [](const std::string&, const Attributes&) { return true; });
      }
      default: {
        const std::string key = Key();
        ASSERT_TRUE(cache_->InvalidateKey(ns, key).ok());
        return Kill(ns, [&](const std::string& k, const Attributes&) {
          return k == key;
        });
      }
    }
  }

  Random random_;
  ManualClock clock_{kNow};
  SimulatedDisk disk_;
  std::unique_ptr<BlobCache> cache_;
  size_t key_bytes_ = 12;
  std::map<Name, std::string> alive_;
  std::map<Name, Attributes> attributes_;
  std::set<Name> names_;
  std::map<std::string, uint64_t> generations_;
};

// What was damaged.
struct Damage {
  std::set<uint64_t> pages;  // Trees' and superblocks', of `meta`.
  std::set<uint64_t> units;  // Of `blobs`.
};

void ScrambleBytes(std::string* bytes, uint64_t at, uint64_t length,
                   Random& random) {
  for (uint64_t i = at; i < std::min(at + length, bytes->size()); ++i) {
    (*bytes)[i] = static_cast<char>((*bytes)[i] ^ (1 + random() % 255));
  }
}

// Makes the map call free what random pages or units hold.
void Unmark(L2Image* image, Random& random) {
  std::string& space = (*image)["space"];
  const uint64_t sector = random() % (space.size() / kSectorBytes);
  char* const begin = space.data() + sector * kSectorBytes;
  for (uint64_t i = 16; i < kSectorBytes; ++i) {
    begin[i] = static_cast<char>(begin[i] & random());
  }
  const uint64_t checksum = l2::Checksum64({begin + 8, kSectorBytes - 8});
  std::copy_n(reinterpret_cast<const char*>(&checksum), 8, begin);
}

void DamageOnce(const L2Anatomy& a, L2Image* image, Random& random, Damage* d) {
  std::string& meta = (*image)["meta"];
  std::string& blobs = (*image)["blobs"];
  std::string& space = (*image)["space"];
  const std::vector<uint64_t>* const trees[] = {&a.records_pages, &a.due_pages,
                                                &a.age_pages, &a.system_pages};
  const auto some_page = [&] {
    const std::vector<uint64_t>& pages = *trees[random() % 4];
    // All may be gone but for namespaces.
    return pages.empty() ? a.system_pages[0] : pages[random() % pages.size()];
  };
  const uint64_t page = some_page();
  switch (random() % 9) {
    case 0:
      ScrambleBytes(&meta, page * kPageBytes + random() % 4000,
                    2 + random() % 90, random);
      d->pages.insert(page);
      return;
    case 1:
      std::fill_n(meta.begin() + static_cast<ptrdiff_t>(page * kPageBytes),
                  kPageBytes, '\0');
      d->pages.insert(page);
      return;
    case 2: {
      const uint64_t other = some_page();
      if (other == page) return;
      meta.replace(page * kPageBytes, kPageBytes,
                   image->at("meta").substr(other * kPageBytes, kPageBytes));
      d->pages.insert(page);
      return;
    }
    case 3:
      meta[page * kPageBytes + random() % kPageBytes] ^=
          static_cast<char>(1 << random() % 8);
      d->pages.insert(page);
      return;
    case 4: {
      const uint64_t copy = random() % l2::kSuperblockPages;
      ScrambleBytes(&meta, copy * kPageBytes + random() % 300, 50, random);
      d->pages.insert(copy);
      return;
    }
    case 5:
      ScrambleBytes(&space, random() % space.size(), 1 + random() % 600,
                    random);
      return;
    case 6:
      return Unmark(image, random);
    default: {
      const uint64_t at = random() % blobs.size();
      const uint64_t length = 1 + random() % 3'000;
      ScrambleBytes(&blobs, at, length, random);
      for (uint64_t u = at / kUnitBytes; u <= (at + length - 1) / kUnitBytes;
           ++u) {
        d->units.insert(u);
      }
      return;
    }
  }
}

class Round {
 public:
  explicit Round(uint64_t seed) : random_(seed * 7919), life_(seed) {}

  void Run() {
    life_.Run();
    if (::testing::Test::HasFatalFailure()) return;
    const L2Image whole = ReadImage(life_.disk(), kDirectory);
    anatomy_ = Dissect(whole);
    L2Image image = whole;
    for (uint64_t n = 1 + random_() % 4; n > 0; --n) {
      DamageOnce(anatomy_, &image, random_, &damage_);
    }
    if (random_() % 8 == 0) {
      image["space"].resize(random_() % (image["space"].size() + 1));
    }
    ASSERT_NO_FATAL_FAILURE(WriteImage(image, &disk_, kDirectory));
    // To look does not touch.
    (void)VerifyL2(Options(&disk_, life_.clock()));
    EXPECT_TRUE(ReadImage(&disk_, kDirectory) == image);
    FindAllowance(whole, image);

    const auto report = RepairL2(Options(&disk_, life_.clock()));
    if (!HasSoundSuperblock()) {
      EXPECT_TRUE(absl::IsDataLoss(report.status())) << report.status();
      EXPECT_TRUE(ReadImage(&disk_, kDirectory) == image);
      return;
    }
    ASSERT_TRUE(report.ok()) << report.status();
    report_ = *report;
    CheckReport();
    CheckTrees();
    CheckCache();
    if (::testing::Test::HasFailure()) return;
    CheckLife();
  }

  const RepairReport& report() const { return report_; }

 private:
  bool HasSoundSuperblock() const {
    return std::any_of(anatomy_.superblocks.begin(), anatomy_.superblocks.end(),
                       [&](const auto& s) {
                         const uint64_t first = 2 * (s.epoch % 2);
                         return !damage_.pages.contains(first) ||
                                !damage_.pages.contains(first + 1);
                       });
  }
  // Both copies of the newest superblock: the one before counts.
  bool NewestIsLost() const {
    const uint64_t first = 2 * (anatomy_.superblock.epoch % 2);
    return damage_.pages.contains(first) && damage_.pages.contains(first + 1);
  }
  bool IsDamaged(const std::vector<uint64_t>& path) const {
    return std::any_of(path.begin(), path.end(), [&](uint64_t page) {
      return lost_pages_.contains(page);
    });
  }

  // Which records may go because of what.
  void FindAllowance(const L2Image& whole, const L2Image& image) {
    for (const uint64_t page : damage_.pages) {
      int bits = 0;
      for (size_t at = page * kPageBytes; at < (page + 1) * kPageBytes; ++at) {
        bits += __builtin_popcount(static_cast<unsigned char>(
            whole.at("meta")[at] ^ image.at("meta")[at]));
      }
      if (bits > 1) lost_pages_.insert(page);
    }
    const ImageFile meta(&image.at("meta"));
    const l2::MetaPages pages(&meta, meta.Size() / kPageBytes + 1);
    EXPECT_TRUE(Tree(&pages, anatomy_.superblock.system)
                    .VisitPages([](const Tree::PageInfo&) {},
                                [&](const Tree::Damage& d) {
                                  if (lost_pages_.contains(d.ref.page)) {
                                    lost_.Add(d.low, d.high,
                                              anatomy_.superblock.hlc);
                                  }
                                })
                    .ok());
  }

  bool MayGo(const L2Anatomy::Blob& blob) const {
    for (const Extent& e : blob.record.extents) {
      for (uint64_t u = e.first; u < e.first + e.units; ++u) {
        if (damage_.units.contains(u)) return true;
      }
    }
    if (IsDamaged(blob.path)) {
      // Its leaf is there, and the age tree says that it is live.
      if (IsDamaged({blob.path.back()}) || IsDamaged(blob.age_path)) {
        return true;
      }
    }
    return lost_.MayBeFlushed(blob.name.first).has_value() ||
           lost_.MayCover(blob.ns_id, blob.name.second, blob.record);
  }

  void CheckReport() {
    EXPECT_TRUE(report_.after.clean());
    EXPECT_EQ(report_.after.orphaned_bytes, 0);
    for (const std::string& line : report_.after.damaged) {
      ADD_FAILURE() << line;
    }
    const auto verified = VerifyL2(Options(&disk_, life_.clock()));
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_TRUE(verified->clean());
    EXPECT_EQ(verified->orphaned_bytes, 0);
    EXPECT_EQ(verified->records, report_.after.records);
    EXPECT_EQ(verified->epoch, report_.epoch);
    int64_t by_cause = 0;
    for (const int64_t n : report_.dropped_by_cause) by_cause += n;
    EXPECT_EQ(by_cause, report_.dropped_records);
    EXPECT_EQ(
        static_cast<int64_t>(report_.dropped.size()) + report_.dropped_unnamed,
        std::min<int64_t>(report_.dropped_records,
                          RepairReport::kDroppedMax + report_.dropped_unnamed));
    for (const RepairReport::Dropped& d : report_.dropped) {
      EXPECT_FALSE(d.why.empty());
    }
  }

  void CheckTrees() {
    const L2Image image = ReadImage(&disk_, kDirectory);
    const L2Anatomy now = Dissect(image);
    EXPECT_EQ(now.superblock.epoch, report_.epoch);
    if (NewestIsLost()) return;
    EXPECT_TRUE(now.superblock.lineage == anatomy_.superblock.lineage ||
                report_.new_lineage);
    int64_t removed = 0;
    for (const auto& [key, blob] : anatomy_.blobs) {
      const bool gone = !now.records.contains(key);
      const bool is_alive = life_.alive().contains(blob.name);
      // Only the journal removes what is not alive.
      EXPECT_TRUE(!gone || !is_alive || MayGo(blob)) << blob.name.second;
      removed += gone;
      EXPECT_TRUE(gone || now.records.at(key) == anatomy_.records.at(key));
    }
    EXPECT_LE(report_.dropped_records, removed);
    EXPECT_GE(report_.dropped_records + report_.applied_journal_entries,
              removed);
    for (const auto& [key, bytes] : now.records) {
      EXPECT_TRUE(anatomy_.records.contains(key));
    }
    if (report_.new_lineage) return;
    // What a replica at the old epoch gets tells it all.
    EXPECT_TRUE(ApplyDelta(anatomy_, image) == now.records);
  }

  void CheckCache() {
    auto opened = BlobCache::Open(Options(&disk_, life_.clock()));
    ASSERT_TRUE(opened.ok()) << opened.status();
    for (const Name& name : life_.names()) {
      const auto hit = (*opened)->Get(name.first, name.second);
      const auto alive = life_.alive().find(name);
      if (!hit.has_value()) continue;
      // What a lost superblock was the only one to say, may be forgotten: then
      // an older value is there, but never what was invalidated.
      ASSERT_TRUE(alive != life_.alive().end())
          << name.first << "/" << name.second << " came back";
      EXPECT_TRUE(NewestIsLost() || hit->bytes() == alive->second);
    }
    if (!NewestIsLost()) {
      for (const auto& [key, blob] : anatomy_.blobs) {
        const auto alive = life_.alive().find(blob.name);
        if (alive == life_.alive().end() || MayGo(blob)) continue;
        EXPECT_TRUE((*opened)->Get(blob.name.first, blob.name.second))
            << blob.name.second;
      }
      for (const auto& [ns, generation] : life_.generations()) {
        // Without a page that ever had its name, nobody knows it.
        if (lost_.MayBeFlushed(ns).has_value()) continue;
        EXPECT_GE((*opened)->CurrentGeneration(ns), generation) << ns;
      }
    }
    EXPECT_EQ((*opened)->Stats().l2.damaged_reads, 0);
  }

  // It goes on: puts, invalidations, sweeps, restarts.
  void CheckLife() {
    std::map<Name, std::string> put;
    for (int life = 0; life < 2; ++life) {
      auto opened = BlobCache::Open(Options(&disk_, life_.clock()));
      ASSERT_TRUE(opened.ok()) << opened.status();
      BlobCache* cache = opened->get();
      for (const auto& [name, bytes] : put) {
        const auto hit = cache->Get(name.first, name.second);
        ASSERT_TRUE(hit.has_value() && hit->bytes() == bytes) << name.second;
      }
      for (int i = 0; i < 40; ++i) {
        const Name name(absl::StrCat("ns", random_() % 4),
                        absl::StrCat("new", i, "/", life));
        put[name] = Bytes(random_, false);
        const auto done = cache->Put(name.first, name.second, put[name], {});
        ASSERT_TRUE(done.ok()) << done.status();
      }
      EXPECT_TRUE(cache->SweepDueSlice({}).ok());
      EXPECT_TRUE(cache->SweepTombstonedSlice({}).ok());
      EXPECT_TRUE(cache->ReclaimOrphansSlice({}).ok());
      ASSERT_TRUE(cache->Flush().ok());
      EXPECT_EQ(cache->Stats().l2.degraded, "");
    }
    const auto verified = VerifyL2(Options(&disk_, life_.clock()));
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_TRUE(verified->clean());
    // There is nothing left to repair.
    const L2Image before = ReadImage(&disk_, kDirectory);
    const auto again = RepairL2(Options(&disk_, life_.clock()));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->epoch, again->epoch_before);
    EXPECT_EQ(again->damages, 0);
    EXPECT_EQ(again->dropped_records, 0);
    EXPECT_TRUE(verified->orphaned_bytes != 0 ||
                ReadImage(&disk_, kDirectory) == before);
  }

  Random random_;
  Life life_;
  SimulatedDisk disk_;
  L2Anatomy anatomy_;
  Damage damage_;
  std::set<uint64_t> lost_pages_;
  l2::LostInvalidations lost_;
  RepairReport report_;
};

TEST(RepairPropertyTest, NothingGoodIsLostAndNothingBadStays) {
  const uint64_t seed =
      static_cast<uint64_t>(FromEnvironment("LARDER_SEED", 1));
  const int64_t rounds = FromEnvironment("LARDER_ROUNDS", 60);
  std::printf("LARDER_SEED=%llu\n", static_cast<unsigned long long>(seed));
  int64_t dropped = 0, recovered = 0, lossless = 0, committed = 0;
  std::array<int64_t, kDropCauses> causes{};
  for (int64_t i = 0; i < rounds; ++i) {
    const uint64_t at = seed + static_cast<uint64_t>(i);
    SCOPED_TRACE(absl::StrCat("LARDER_SEED=", at, " LARDER_ROUNDS=1"));
    Round round(at);
    round.Run();
    if (::testing::Test::HasFailure()) return;
    const RepairReport& r = round.report();
    dropped += r.dropped_records;
    recovered += r.recovered_records;
    lossless += r.dropped_records == 0;
    committed += r.epoch != r.epoch_before;
    for (size_t c = 0; c < kDropCauses; ++c) causes[c] += r.dropped_by_cause[c];
  }
  std::printf(
      "%lld rounds: %lld commits, %lld lossless, %lld dropped "
      "(page %lld record %lld chain %lld overlap %lld invalidation %lld "
      "namespace %lld), %lld recovered\n",
      static_cast<long long>(rounds), static_cast<long long>(committed),
      static_cast<long long>(lossless), static_cast<long long>(dropped),
      static_cast<long long>(causes[0]), static_cast<long long>(causes[1]),
      static_cast<long long>(causes[2]), static_cast<long long>(causes[3]),
      static_cast<long long>(causes[4]), static_cast<long long>(causes[5]),
      static_cast<long long>(recovered));
}

}  // namespace
}  // namespace larder::cache
