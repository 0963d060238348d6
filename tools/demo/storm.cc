#include "tools/demo/storm.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/status_macros.h"
#include "sweeper/blob_cache_sweeper.h"
#include "tools/demo/corpus.h"

namespace larder::demo {
namespace {

constexpr size_t kPoolFilesMax = 256;
constexpr int64_t kPoolFileBytesMax = int64_t{64} << 10;
constexpr int64_t kEntriesPerSweep = 64;
constexpr uint64_t kStormKeys = 1500;
constexpr uint64_t kTags = 16;

std::string TagOf(uint64_t key) { return absl::StrCat("tag", key % kTags); }

}  // namespace

absl::Status Storm::Start() {
  for (size_t i = 0; i < stage_->corpus.files.size(); ++i) {
    const CorpusFile& file = stage_->corpus.files[i];
    if (file.bytes > kPoolFileBytesMax || pool_.size() == kPoolFilesMax) {
      continue;
    }
    Content content{.file = static_cast<int32_t>(i), .bytes = {}};
    LARDER_RETURN_IF_ERROR(ReadCorpusFile(file, &content.bytes));
    pool_.push_back(std::move(content));
  }
  if (pool_.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no file of at most ", kPoolFileBytesMax, " bytes"));
  }
  stop_ = false;
  writer_ = std::thread([this] { Write(); });
  sweeper_ = std::thread([this] { Sweep(); });
  return absl::OkStatus();
}

void Storm::Stop() {
  stop_ = true;
  if (writer_.joinable()) writer_.join();
  if (sweeper_.joinable()) sweeper_.join();
}

StormCounts Storm::counts() const {
  cache::MutexLock lock(&mu_);
  return counts_;
}

absl::Status Storm::status() const {
  cache::MutexLock lock(&mu_);
  return status_;
}

void Storm::Record(const absl::Status& status) {
  cache::MutexLock lock(&mu_);
  status_.Update(status);
}

void Storm::Write() {
  std::mt19937_64 random(42);
  cache::Clock* clock = cache::SystemClock();
  const int64_t start_nanos = clock->NowSteadyNanos();
  int64_t bytes = 0;
  while (!stop_.load(std::memory_order_relaxed)) {
    if (const absl::Status status = WriteOne(&random, &bytes); !status.ok()) {
      Record(status);
      return;
    }
    // Unpaced it would measure the disk, not the cache.
    const int64_t due_nanos =
        start_nanos + bytes * 1'000 / (kBytesPerSecond / 1'000'000);
    const int64_t early_nanos = due_nanos - clock->NowSteadyNanos();
    if (early_nanos > 0) {
      std::this_thread::sleep_for(std::chrono::nanoseconds(early_nanos));
    }
  }
}

void Storm::Sweep() {
  sweeper::BlobCacheSweeper sweeper(stage_->cache.get(), cache::SystemClock());
  while (!stop_.load(std::memory_order_relaxed)) {
    if (!hold_.load()) {
      if (const absl::Status status = SweepRound(&sweeper); !status.ok()) {
        Record(status);
        return;
      }
    }
    // Long enough for something to fall due.
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

// In steps, so that others see how far it is.
absl::Status Storm::SweepRound(sweeper::BlobCacheSweeper* sweeper) {
  bool more = true;
  while (more && !stop_.load(std::memory_order_relaxed)) {
    const auto report = sweeper->SweepExpired({.entries = kEntriesPerSweep});
    if (!report.ok()) return report.status();
    more = report->truncated_due_to_limit;
    sweeping_ = more && report->entries_evicted > 0;
    cache::MutexLock lock(&mu_);
    counts_.sweeps += more ? 0 : 1;
    counts_.swept += report->entries_evicted;
  }
  return absl::OkStatus();
}

// One change, chosen at random.
absl::Status Storm::WriteOne(std::mt19937_64* random, int64_t* bytes) {
  const uint64_t dice = (*random)() % 1000;
  const uint64_t number = (*random)() % kStormKeys;
  const Content& content = pool_[(*random)() % pool_.size()];
  const std::string key = absl::StrCat("key", number);
  cache::BlobCache* cache = stage_->cache.get();
  Model::Put put{.file = content.file};
  absl::Status status;
  StormCounts done;
  if (dice < 700) {
    put.tag = TagOf(number);
    status = PutFile(stage_, kStormNamespace, key, content.bytes, put);
    done.puts = 1;
  } else if (dice < 900) {
    put.ttl_ms = 100 + static_cast<int64_t>(number);
    status = PutFile(stage_, kBriefNamespace, absl::StrCat((*random)()),
                     content.bytes, put);
    done.puts = 1;
  } else if (dice < 950) {
    const auto& files = stage_->corpus.files;
    const CorpusFile& file = files[(*random)() % files.size()];
    status =
        PutFile(stage_, RootNamespace(file.root), file.key, content.bytes, put);
    done.puts = 1;
  } else if (dice < 997) {
    const auto deleted = cache->InvalidateKey(kStormNamespace, key);
    status = deleted.status();
    if (deleted.ok()) stage_->model.OnDelete(kStormNamespace, key, *deleted);
    done.deletes = 1;
  } else {
    const std::string tag = TagOf(number);
    const auto gone = cache->InvalidateTags(kStormNamespace, {tag});
    status = gone.status();
    if (gone.ok()) stage_->model.OnInvalidateTag(kStormNamespace, tag, *gone);
    done.invalidations = 1;
  }
  LARDER_RETURN_IF_ERROR(status);
  if (done.puts == 1)
    done.put_bytes = static_cast<int64_t>(content.bytes.size());
  *bytes += done.put_bytes;
  cache::MutexLock lock(&mu_);
  counts_.puts += done.puts;
  counts_.put_bytes += done.put_bytes;
  counts_.deletes += done.deletes;
  counts_.invalidations += done.invalidations;
  return absl::OkStatus();
}

}  // namespace larder::demo
