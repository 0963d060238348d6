#include "bench/l2/sweep.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "bench/data.h"
#include "bench/l2/records.h"
#include "bench/measure.h"
#include "bench/stores/larder.h"
#include "cache/blob.h"
#include "cache/blob_cache.h"
#include "cache/clock.h"
#include "cache/options.h"
#include "cache/status_macros.h"
#include "sweeper/blob_cache_sweeper.h"
#include "sweeper/reports.h"

namespace larder::bench {
namespace {

constexpr char kRead[] = "read";  // The namespace that stays.
constexpr int64_t kReadBlobs = 10'000;
constexpr int64_t kReadBytes = 16 * kKiB;
constexpr int64_t kTtlMillis = 3'600'000;
constexpr double kIdleSeconds = 1;

// The machine's clock, some time ahead.
class ShiftedClock : public cache::Clock {
 public:
  int64_t NowUnixMillis() const override {
    return cache::SystemClock()->NowUnixMillis() + ahead_millis_.load();
  }
  int64_t NowSteadyNanos() const override {
    return cache::SystemClock()->NowSteadyNanos();
  }
  void Advance(int64_t millis) { ahead_millis_ += millis; }

 private:
  std::atomic<int64_t> ahead_millis_ = 0;
};

// A thread that reads blobs of kRead in random order until it is stopped.
class Reader {
 public:
  explicit Reader(cache::BlobCache* cache)
      : thread_([this, cache] { Run(cache); }) {}
  ~Reader() { Stop(); }

  // Returns: microseconds of each get.
  std::vector<double> Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return std::move(micros_);
  }

 private:
  void Run(cache::BlobCache* cache) {
    const std::vector<int64_t> order = Shuffled(kReadBlobs, 1);
    Sum used;
    for (size_t i = 0; !stop_; ++i) {
      const std::string key = KeyOf(order[i % order.size()]);
      const Stopwatch watch;
      const std::optional<cache::Hit> hit = cache->Get(kRead, key);
      micros_.push_back(watch.micros());
      if (hit.has_value()) used.Add(hit->bytes());
    }
  }

  std::atomic<bool> stop_ = false;
  std::vector<double> micros_;
  std::thread thread_;  // Last: uses what is above.
};

absl::Status FillRead(cache::BlobCache* cache) {
  const RandomValues values(kReadBytes);
  for (int64_t i = 0; i < kReadBlobs; ++i) {
    LARDER_RETURN_IF_ERROR(
        cache->Put(kRead, KeyOf(i), values.Of(i), L2Put()).status());
  }
  return cache->Flush();
}

std::vector<double> ReadIdly(cache::BlobCache* cache) {
  Reader reader(cache);
  for (const Stopwatch watch; watch.seconds() < kIdleSeconds;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return reader.Stop();
}

struct Sweep {
  double seconds = 0;
  std::vector<double> get_micros;  // Meanwhile.
};

// Sweeps what is due, which are `records`.
absl::StatusOr<Sweep> SweepOnce(cache::BlobCache* cache,
                                const cache::Clock& clock, int64_t records) {
  sweeper::BlobCacheSweeper sweeper(cache, &clock);
  Sweep sweep;
  Reader reader(cache);
  const Stopwatch watch;
  LARDER_ASSIGN_OR_RETURN(const sweeper::SweepReport report,
                          sweeper.SweepExpired({}));
  // Until nothing of it is left to be done later.
  LARDER_RETURN_IF_ERROR(cache->Flush());
  sweep.seconds = watch.seconds();
  sweep.get_micros = reader.Stop();
  if (report.entries_evicted == records) return sweep;
  return absl::InternalError(
      absl::StrCat("swept ", report.entries_evicted, " of ", records));
}

absl::StatusOr<Rows> SweepOf(const Setting& setting, absl::string_view work,
                             const RandomValues& values) {
  const int64_t records = setting.Scaled(1'000'000, 10'000);
  LARDER_ASSIGN_OR_RETURN(const Scratch scratch,
                          Scratch::Make(setting, "sweep"));
  ShiftedClock clock;
  cache::BlobCacheOptions options = L2Options(
      scratch.Sub("l2"), RoomFor(records) + 2 * kReadBlobs * kReadBytes);
  options.clock = &clock;
  LARDER_ASSIGN_OR_RETURN(const std::unique_ptr<LarderStore> store,
                          LarderStore::Open(options));
  LARDER_RETURN_IF_ERROR(FillRead(store->cache()));
  cache::PutOptions due = L2Put();
  due.ttl_ms = kTtlMillis;
  Samples rates;
  Samples gets;
  // Round 0 warms up.
  for (int round = 0; round <= setting.rounds; ++round) {
    LARDER_RETURN_IF_ERROR(FillRecords(store.get(), 0, records, values, due));
    const std::vector<double> idle = ReadIdly(store->cache());
    clock.Advance(2 * kTtlMillis);
    LARDER_ASSIGN_OR_RETURN(const Sweep sweep,
                            SweepOnce(store->cache(), clock, records));
    if (round == 0) continue;
    rates.Add("larder", static_cast<double>(records) / sweep.seconds);
    gets.Add("larder", Quantile(sweep.get_micros, 0.99));
    gets.Add("larder, idle", Quantile(idle, 0.99));
  }
  Row rate{std::string(work), "records/s", rates.Median("larder"), {}, {}};
  rate.bar = {AtLeast("records/s", rate.larder, 500'000)};
  Row get{absl::StrCat(work, ", get p99 meanwhile"),
          "us",
          gets.Median("larder"),
          gets.Others("larder"),
          {}};
  get.bar = {AtMost("meanwhile / idle",
                    get.larder / gets.Median("larder, idle"), 1.2)};
  return Rows{std::move(rate), std::move(get)};
}

}  // namespace

absl::StatusOr<Rows> SweepDue(const Setting& setting) {
  LARDER_ASSIGN_OR_RETURN(
      Rows rows, SweepOf(setting, "SweepExpired", RandomValues(kRecordBytes)));
  // Each has a chain in `blobs`, which goes as well.
  LARDER_ASSIGN_OR_RETURN(
      Rows chains, SweepOf(setting, "SweepExpired, 1 KiB", RandomValues(kKiB)));
  rows.insert(rows.end(), chains.begin(), chains.end());
  return rows;
}

}  // namespace larder::bench
