// At every moment a lazily restored cache is what it would be had the snapshot
// been there from the first one: whatever is put, deleted and flushed
// meanwhile, and however often the process or the power goes.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backup/archive_test_support.h"
#include "backup/lazy_restore.h"
#include "backup/lazy_restore_fixture.h"
#include "cache/verify.h"
#include "gtest/gtest.h"

namespace larder::backup {
namespace {

using cache::BlobCache;
using cache::PutOptions;
using cache::l2::SimulatedDisk;

struct ModelBlob {
  std::string bytes;
  uint64_t version = 0;
  int64_t expires_at_unix_ms = 0;
  std::string tag;
};
using Model = std::map<BlobKey, ModelBlob>;

class LazyRun : public LazyRestoreFixture {
 public:
  explicit LazyRun(uint64_t run_seed) : random_(run_seed) {
    // So that the model need not know what a kill may lose.
    durability = cache::Durability::kEveryPut;
    checkpoint_bytes = 20'000;
    if (run_seed % 3 == 0) seal_keys = TestKeys("a");
  }

  void Go() {
    MakeSnapshot();
    ASSERT_FALSE(::testing::Test::HasFatalFailure());
    Reopen();
    const int steps = static_cast<int>(30 + Below(150));
    for (int i = 0; i < steps; ++i) {
      Step();
      ASSERT_FALSE(::testing::Test::HasFailure()) << "step " << i;
    }
    if (Below(2) == 0) CheckAll();
    ASSERT_FALSE(::testing::Test::HasFailure());
    if (lazy_ != nullptr) HydrateAll(lazy_);
    ASSERT_FALSE(::testing::Test::HasFailure());
    CheckAll();
    CheckSwept();
  }

 private:
  bool IsDone() const { return lazy_ == nullptr || lazy_->Report().done; }
  uint64_t Below(uint64_t n) { return random_() % n; }
  BlobKey AnyKey() {
    const uint64_t i = Below(150);
    // Prefixes of each other among them.
    return {i % 3 == 0 ? "images" : "pages",
            absl::StrCat(i % 5 == 0 ? "a/" : "b/", i)};
  }
  std::string Value() {
    return absl::StrCat(++values_, RandomBytes(random_(), Below(3000)));
  }

  void PutAny(BlobCache* cache) {
    const BlobKey key = AnyKey();
    ModelBlob blob{.bytes = Value(),
                   .version = ++values_,
                   .expires_at_unix_ms = 0,
                   .tag = absl::StrCat("tag", Below(6))};
    PutOptions options;
    options.version = blob.version;
    options.tags = {blob.tag};
    if (Below(4) == 0) {
      options.ttl_ms = static_cast<int64_t>(1000 + Below(200'000));
      blob.expires_at_unix_ms = clock.NowUnixMillis() + options.ttl_ms;
    }
    ASSERT_TRUE(cache->Put(key.first, key.second, blob.bytes, options).ok());
    blobs_[key] = blob;
  }
  void DeleteAny(BlobCache* cache) {
    const BlobKey key = AnyKey();
    ASSERT_TRUE(cache->InvalidateKey(key.first, key.second).ok());
    blobs_.erase(key);
  }
  void InvalidateAny(BlobCache* cache) {
    const std::string ns = Below(3) == 0 ? "images" : "pages";
    switch (Below(4)) {
      case 0:
        ASSERT_TRUE(cache->FlushNamespace(ns).ok());
        std::erase_if(blobs_,
                      [&](const auto& e) { return e.first.first == ns; });
        break;
      case 1: {
        const std::string prefix = absl::StrCat("b/", 1 + Below(9));
        ASSERT_TRUE(cache->InvalidatePrefix(ns, prefix).ok());
        std::erase_if(blobs_, [&](const auto& e) {
          return e.first.first == ns &&
                 absl::StartsWith(e.first.second, prefix);
        });
        break;
      }
      default: {
        const std::string tag = absl::StrCat("tag", Below(6));
        ASSERT_TRUE(cache->InvalidateTags(ns, {tag}).ok());
        std::erase_if(blobs_, [&](const auto& e) {
          return e.first.first == ns && e.second.tag == tag;
        });
      }
    }
  }
  void Sweep(BlobCache* cache) {
    for (bool done = false; !done;) {
      const auto slice = cache->SweepDueSlice({});
      ASSERT_TRUE(slice.ok()) << slice.status();
      done = slice->done;
    }
    for (bool done = false; !done;) {
      const auto slice = cache->SweepTombstonedSlice({});
      ASSERT_TRUE(slice.ok()) << slice.status();
      done = slice->done;
    }
    ASSERT_TRUE(cache->Flush().ok());
  }

  // A full dump and maybe deltas on it, enough for a fold in some runs.
  void MakeSnapshot() {
    const auto cache = OpenCache("/l2");
    for (int i = 0; i < 200; ++i) PutAny(cache.get());
    const uint64_t backups = Below(3) == 0 ? 1 + Below(11) : 1 + Below(3);
    for (uint64_t i = 0; i < backups; ++i) {
      if (i > 0) {
        for (uint64_t n = Below(30); n > 0; --n) PutAny(cache.get());
        for (uint64_t n = Below(5); n > 0; --n) DeleteAny(cache.get());
        if (Below(6) == 0) InvalidateAny(cache.get());
        if (Below(3) == 0) Sweep(cache.get());
      }
      Backup(cache.get(), {"/a"});
    }
  }

  void Reopen() {
    lazy_ = nullptr;
    cache_.reset();
    if (disk.Exists("/new") &&
        !LazyRestore::FindHydrating(&disk, "/new")->has_value()) {
      // It died just when all was done.
      ASSERT_TRUE(absl::IsAlreadyExists(TryOpen("/new", {"/a"}).status()));
      cache_ = OpenCache("/new");
    } else {
      auto lazy = Open("/new", {"/a"});
      lazy_ = lazy.get();
      cache_ = std::move(lazy);
    }
    ASSERT_NE(cache_, nullptr);
  }

  std::optional<ModelBlob> Expected(const BlobKey& key) const {
    const auto it = blobs_.find(key);
    if (it == blobs_.end() ||
        (it->second.expires_at_unix_ms != 0 &&
         it->second.expires_at_unix_ms <= clock.NowUnixMillis())) {
      return std::nullopt;
    }
    return it->second;
  }
  void Check(const BlobKey& key) {
    const std::optional<ModelBlob> expected = Expected(key);
    const auto hit = cache_->Get(key.first, key.second);
    ASSERT_EQ(hit.has_value(), expected.has_value())
        << key.first << "/" << key.second;
    if (!hit.has_value()) return;
    ASSERT_EQ(hit->bytes(), expected->bytes) << key.second;
    ASSERT_EQ(hit->attributes().version, expected->version) << key.second;
    ASSERT_NE(cache_->Exists(key.first, key.second), cache::Presence::kAbsent);
  }
  void CheckAll() {
    for (int i = 0; i < 150; ++i) {
      Check({i % 3 == 0 ? "images" : "pages",
             absl::StrCat(i % 5 == 0 ? "a/" : "b/", i)});
    }
  }
  void CompareAndSetAny() {
    const BlobKey key = AnyKey();
    const std::optional<ModelBlob> current = Expected(key);
    const uint64_t version = current.has_value() ? current->version : 0;
    const uint64_t expected = Below(3) == 0 ? version + 1 : version;
    ModelBlob blob{.bytes = Value(),
                   .version = ++values_,
                   .expires_at_unix_ms = 0,
                   .tag = "tag0"};
    const auto set =
        cache_->CompareAndSet(key.first, key.second, expected, blob.bytes,
                              {.version = blob.version, .tags = {blob.tag}});
    ASSERT_TRUE(set.ok()) << set.status();
    ASSERT_EQ(set->committed, expected == version) << key.second;
    if (set->committed) {
      blobs_[key] = blob;
    } else {
      ASSERT_EQ(set->current_version, version) << key.second;
    }
  }
  // In the middle of hydrating.
  void Die() {
    const uint64_t at = disk.operation_count() + Below(60);
    const uint64_t cut = Below(2) == 0 ? 0 : 1 + random_();
    bool died = false;
    const auto die = [&] {
      died = true;
      if (cut == 0) {
        disk.KillProcess();
      } else {
        disk.PowerCut(cut);
      }
    };
    disk.SetHook([&](const SimulatedDisk::Operation& operation) {
      if (!died && operation.index >= at) die();
      return absl::OkStatus();
    });
    for (int i = 0; i < 8 && !died; ++i) {
      if (!lazy_->Hydrate(3000).ok()) break;
    }
    disk.SetHook(nullptr);
    if (!died) die();
    Reopen();
  }

  void Step() {
    switch (Below(20)) {
      case 0:
      case 1:
      case 2:
        PutAny(cache_.get());
        break;
      case 3:
      case 4:
      case 5:
        DeleteAny(cache_.get());
        break;
      case 6:
        InvalidateAny(cache_.get());
        break;
      case 7:
        CompareAndSetAny();
        break;
      case 8:
        Sweep(cache_.get());
        break;
      case 9:
        clock.AdvanceMillis(static_cast<int64_t>(Below(20'000)));
        break;
      case 10:
        if (!IsDone()) Reopen();
        break;
      case 11:
        if (!IsDone()) Die();
        break;
      case 12:
      case 13:
      case 14: {
        if (lazy_ == nullptr) break;
        const auto done =
            lazy_->Hydrate(static_cast<int64_t>(1 + Below(30'000)));
        ASSERT_TRUE(done.ok()) << done.status();
        break;
      }
      default:
        for (int i = 0; i < 5; ++i) Check(AnyKey());
    }
  }

  // Nothing of how it came to be is left.
  void CheckSwept() {
    Sweep(cache_.get());
    int64_t live = 0;
    for (const auto& [key, blob] : blobs_) {
      live += Expected(key).has_value() ? 1 : 0;
    }
    EXPECT_EQ(cache_->Stats().l2.records, live);
    if (lazy_ != nullptr) {
      EXPECT_EQ(lazy_->Report().lost.blobs, 0);
    }
    cache_.reset();
    const auto report = cache::VerifyL2(CacheOptions("/new"));
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_TRUE(report->clean());
  }

  std::mt19937_64 random_;
  Model blobs_;
  uint64_t values_ = 0;
  std::unique_ptr<BlobCache> cache_;
  LazyRestore* lazy_ = nullptr;  // `cache_`; null once that is a plain one.
};

TEST(LazyRestorePropertyTest, IsAsIfTheSnapshotHadBeenThere) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    LazyRun run(seed);
    run.Go();
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace larder::backup
